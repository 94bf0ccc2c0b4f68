//! How equivariant the trained networks are.

use std::fmt::Write;

use super::super::digest::ArmDigest;
use super::super::number::typeset;
use super::super::words::words;
use super::{escape, key};
use crate::compare::results::Results;

/// The table of the largest errors of every arm.
pub fn equivariance(page: &mut String, results: &Results) -> std::fmt::Result {
    let arms: Vec<ArmDigest> = results.arms.iter().map(|arm| ArmDigest::new(results, arm)).collect();
    let words = words(results.domain);
    if arms.iter().all(|arm| arm.errors.iter().all(Option::is_none)) {
        page.push_str("<p>No network was measured.</p>\n");
        return Ok(());
    }
    page.push_str("<div class=\"scroll\"><table>\n<thead><tr><th scope=\"col\">arm</th>");
    for column in words.errors {
        write!(page, "<th scope=\"col\">{}</th>", column.page)?;
    }
    page.push_str("</tr></thead>\n<tbody>\n");
    for arm in &arms {
        write!(page, "<tr><th scope=\"row\">{}{}</th>", key(results, &arm.arm.name), escape(&arm.arm.name))?;
        for &value in &arm.errors {
            write!(page, "<td>{}</td>", value.map_or_else(|| "–".into(), typeset))?;
        }
        page.push_str("</tr>\n");
    }
    let floor = arms.iter().filter_map(|arm| arm.resampling_floor_45).reduce(f64::max);
    let floor = floor.map(|floor| format!(" Resampling alone changes the images by {}.", typeset(floor)));
    writeln!(page, "</tbody></table></div>\n<p class=\"note\">{}{}</p>", words.page_note, floor.unwrap_or_default())?;
    Ok(())
}
