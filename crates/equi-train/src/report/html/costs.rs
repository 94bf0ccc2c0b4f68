//! What the arms cost, and what they are.

use std::fmt::Write;

use super::super::digest::{ArmDigest, train_seconds};
use super::super::number::{self, count, duration};
use super::{escape, key};
use crate::compare::results::Results;

/// The table of costs, and below it every arm in words.
pub fn costs(page: &mut String, results: &Results) -> std::fmt::Result {
    let largest = results.sizes().last().copied();
    page.push_str(
        "<div class=\"scroll\"><table>\n<thead><tr><th scope=\"col\">arm</th><th scope=\"col\">parameters</th>\
         <th scope=\"col\">MFLOPs<br>a test</th><th scope=\"col\">MFLOPs<br>in training</th>\
         <th scope=\"col\">samples/s<br>in training</th>",
    );
    if let Some(size) = largest {
        write!(page, "<th scope=\"col\">training time,<br>{} samples</th>", count(size as u64))?;
    }
    page.push_str("<th scope=\"col\">peak<br>memory</th></tr></thead>\n<tbody>\n");
    for arm in &results.arms {
        let digest = ArmDigest::new(results, arm);
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "–".into());
        write!(
            page,
            "<tr><th scope=\"row\">{}{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td>",
            key(results, &arm.name),
            escape(&arm.name),
            count(arm.parameters as u64),
            number::plain(digest.mega_flops()),
            number::plain(arm.training_flops() as f64 / 1e6),
            or_dash(digest.samples_per_second.map(number::plain)),
        )?;
        if let Some(size) = largest {
            write!(page, "<td>{}</td>", or_dash(train_seconds(results, &arm.name, size).map(duration)))?;
        }
        let memory = digest.peak_rss_mib.map(|mib| format!("{} MiB", number::plain(mib)));
        writeln!(page, "<td>{}</td></tr>", or_dash(memory))?;
    }
    page.push_str("</tbody></table></div>\n<dl>\n");
    for arm in &results.arms {
        writeln!(
            page,
            "<dt>{}{}</dt><dd>{}<br><span class=\"note\">Augmentation: {}</span></dd>",
            key(results, &arm.name),
            escape(&arm.name),
            escape(&arm.model),
            escape(&arm.augmentation)
        )?;
    }
    page.push_str("</dl>\n");
    Ok(())
}
