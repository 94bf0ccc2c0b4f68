//! `report.html`: one file, no network, readable on a phone, in the dark and on paper.
//!
//! Sections of the page are files here, and `layers.rs`, `tuning.rs` and `turning/` beside this folder.

mod costs;
mod equivariance;
mod errors;
mod meaning;
mod networks;

use std::fmt::Write;

use super::{
    layers::layers,
    lost::Lost,
    number::{self, capital, count},
    plot::{self, Plot},
    tuning::tuning,
    turning::turning,
};
use crate::compare::results::Results;
use costs::costs;
use equivariance::equivariance;
use errors::{curves, differences, errors, posed};
use meaning::meaning;
use networks::{cells, reproduce};

/// The colours, for pages and pictures.
pub(super) const PALETTE: &str = include_str!("../palette.css");
const CSS: &str = include_str!("../report.css");

/// The whole page.
pub fn html(results: &Results) -> String {
    let name = results.metric_name().unwrap_or("test metric");
    let mut page = String::new();
    // Writing to a string does not fail.
    write_page(&mut page, results, name).expect("a string takes every write");
    page
}

fn write_page(page: &mut String, results: &Results, name: &str) -> std::fmt::Result {
    let task = escape(&results.task);
    write!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"generator\" content=\"equi\">\n<title>{task}: comparison of {} arms</title>\n\
         <style>\n{PALETTE}{CSS}</style>\n</head>\n<body>\n",
        results.arms.len()
    )?;
    write!(page, "<header>\n<p class=\"kicker\">equi compare</p>\n<h1>{task}</h1>\n")?;
    if let Some(score) = &results.data_symmetry {
        writeln!(page, "<p>{}</p>", escape(&super::data_symmetry(score).replace(" %", "\u{a0}%")))?;
    }
    verdict(page, results)?;
    facts(page, results)?;
    page.push_str("</header>\n<main>\n");

    let (quantity, _) = number::quantity(name);
    writeln!(page, "<h2>{}</h2>", escape(&capital(quantity)))?;
    errors(page, results, name)?;
    legend(page, results)?;
    plots(page, plot::learning(results, name))?;
    curves(page, results, name)?;
    differences(page, results, name)?;
    posed(page, results, name)?;
    turning(page, results)?;

    page.push_str("<h2>Cost</h2>\n");
    costs(page, results)?;
    plots(page, [plot::flops(results, name), plot::seconds(results, name)].into_iter().flatten())?;

    page.push_str("<h2>Equivariance</h2>\n");
    equivariance(page, results)?;
    plots(page, plot::equivariance(results))?;
    layers(page, results)?;

    let curves = plot::validation(results, name);
    if !curves.is_empty() {
        page.push_str("<h2>Validation during training</h2>\n");
        legend(page, results)?;
        plots(page, curves)?;
    }

    tuning(page, results, name)?;
    meaning(page, results, name)?;
    reproduce(page, results)?;
    cells(page, results, name)?;
    page.push_str("</main>\n</body>\n</html>\n");
    Ok(())
}

/// The paragraph, broken where its subject changes so that a phone shows more than a wall of words.
fn verdict(page: &mut String, results: &Results) -> std::fmt::Result {
    let text = if results.verdict.is_empty() { super::verdict(results) } else { results.verdict.clone() };
    page.push_str("<section class=\"verdict\" aria-label=\"Verdict\">\n");
    let mut paragraph = String::new();
    // "95" and its sign belong on one line.
    let text = text.replace(" %", "\u{a0}%");
    for sentence in text.split_inclusive(". ") {
        paragraph += sentence;
        if paragraph.len() > 260 {
            writeln!(page, "<p>{}</p>", escape(paragraph.trim()))?;
            paragraph.clear();
        }
    }
    if !paragraph.trim().is_empty() {
        writeln!(page, "<p>{}</p>", escape(paragraph.trim()))?;
    }
    page.push_str("</section>\n");
    Ok(())
}

fn facts(page: &mut String, results: &Results) -> std::fmt::Result {
    let lost = Lost::of(&results.cells);
    let sizes: Vec<String> = results.sizes().iter().map(|&size| count(size as u64)).collect();
    let networks = match lost.is_none() {
        true => results.cells.len().to_string(),
        false => format!("{} ({})", results.cells.len(), lost.counted().join(", ")),
    };
    page.push_str("<dl class=\"facts\">\n");
    for (term, value) in [
        ("Preset", results.preset.clone()),
        ("Training samples", sizes.join(", ")),
        ("Test samples", count(results.recipe.test_size as u64)),
        ("Seeds", results.seeds().len().to_string()),
        ("Networks trained", networks),
        ("Matched by", results.matched_by.clone()),
        ("Device", results.device.clone()),
    ] {
        writeln!(page, "<div><dt>{term}</dt><dd>{}</dd></div>", escape(&value))?;
    }
    page.push_str("</dl>\n");
    Ok(())
}

fn legend(page: &mut String, results: &Results) -> std::fmt::Result {
    page.push_str("<ul class=\"legend\" aria-label=\"Legend\">");
    for arm in &results.arms {
        write!(page, "<li>{}{}</li>", key(results, &arm.name), escape(&arm.name))?;
    }
    page.push_str("</ul>\n");
    Ok(())
}

/// The shape and colour of an arm, as in the plots.
pub(super) fn key(results: &Results, arm: &str) -> String {
    let style = plot::style(results, arm);
    let points: Vec<String> = plot::outline(style, 12.0).iter().map(|(x, y)| format!("{x},{y}")).collect();
    format!(
        "<svg class=\"key\" viewBox=\"-16 -16 32 32\" aria-hidden=\"true\"><polygon points=\"{}\" \
         fill=\"var(--arm-{style})\"/></svg>",
        points.join(" ")
    )
}

fn plots(page: &mut String, plots: impl IntoIterator<Item = Plot>) -> std::fmt::Result {
    let mut plots = plots.into_iter().peekable();
    if plots.peek().is_none() {
        return Ok(());
    }
    page.push_str("<div class=\"plots\">\n");
    for Plot { title, caption, svg } in plots {
        let named = svg.replacen("role=\"img\"", &format!("role=\"img\" aria-label=\"{}\"", escape(&title)), 1);
        writeln!(
            page,
            "<figure><b>{}</b>\n{named}<figcaption>{}</figcaption></figure>",
            escape(&title),
            escape(&caption)
        )?;
    }
    page.push_str("</div>\n");
    Ok(())
}

pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

/// A typeset minus sign.
fn minus(number: &str) -> String {
    number.replace('-', "−")
}

#[cfg(test)]
mod tests {
    use super::{
        super::{conclude, sample::*},
        *,
    };

    #[test]
    fn the_page_needs_nothing_from_outside() {
        let page = html(&sample(2));
        let namespaces = page.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
        for outside in ["http://", "https://", "src=", "@import", "url(", "<script", "<link"] {
            assert!(!namespaces.contains(outside), "{outside}");
        }
        assert_eq!(page.matches("<figure>").count(), 7, "learning, two costs, equivariance, three validations");
        assert!(page.find("class=\"verdict\"").unwrap() < page.find("<table>").unwrap(), "the verdict comes first");
        for part in [
            "21.00",
            "98,442",
            "equi compare mnist-rot --preset quick",
            "0.1.0 (1a2b3c4)",
            "<dt>Test samples</dt><dd>2,000</dd>",
            "96 (n = 400)",
            "<dt>Peak learning rate</dt><dd>0.01</dd>",
            "0.22.1",
            "4.3\u{202f}×\u{202f}10⁻⁷",
        ] {
            assert!(page.contains(part), "{part}");
        }
    }

    #[test]
    fn points_are_not_spoken_of_as_images() {
        let page = html(&points(2));
        for part in [
            "<h2>Test MSE</h2>",
            "<small>0.00",
            "Under random rotations",
            "‖f(g·x) − g·f(x)‖",
            "<dt>Peak learning rate</dt><dd>0.01; equivariant 0.0005</dd>",
            "Learning rates are those that the task gives each arm",
            "Validation MSE with 100 training samples",
        ] {
            assert!(page.contains(part), "{part}");
        }
        for wrong in ["45°", "logits", "pixels", "Resampling", "percent of", "NaN"] {
            assert!(!page.contains(wrong), "{wrong}");
        }
    }

    #[test]
    fn only_deterministic_devices_promise_the_same_bits() {
        let mut results = sample(2);
        assert!(html(&results).contains("metrics bit for bit;"));
        results.device = "wgpu".into();
        assert!(!html(&results).contains("bit for bit") && html(&results).contains("metrics up to rounding"));
    }

    #[test]
    fn text_from_outside_is_escaped_everywhere() {
        let mut results = sample(2);
        let evil = "<script>\"x\" & 'y'</script>";
        results.arms[0].name = evil.into();
        results.arms[0].model = evil.into();
        results.arms[1].augmentation = evil.into();
        for cell in &mut results.cells {
            if cell.arm == "plain" {
                cell.arm = evil.into();
            }
            if let Some(metric) = &mut cell.metric {
                metric.name = evil.into();
            }
        }
        diverge(&mut results.cells[0]);
        results.cells[0].message = Some(evil.into());
        for field in [
            &mut results.task,
            &mut results.preset,
            &mut results.device,
            &mut results.burn,
            &mut results.commit,
            &mut results.command,
            &mut results.matched_by,
        ] {
            *field = evil.into();
        }
        conclude(&mut results);
        let page = html(&results);
        assert!(!page.contains("<script") && !page.contains("</script"));
        assert!(page.contains("&lt;script&gt;&quot;x&quot; &amp; &#39;y&#39;&lt;/script&gt;"));
    }

    #[test]
    fn lost_cells_are_shown_as_what_they_are() {
        let mut results = sample(2);
        diverge(&mut results.cells[0]);
        results.cells[2..4].iter_mut().for_each(diverge);
        conclude(&mut results);
        let page = html(&results);
        assert!(page.contains("1 of 2 diverged") && page.contains("<td class=\"lost\">diverged</td>"));
        assert!(page.contains("18 (3 diverged)") && page.contains("the loss was NaN at step 31"));
        assert!(page.contains("<dt>Diverged, panicked</dt>"));
        crash(&mut results.cells[1]);
        crash(&mut results.cells[4]);
        results.cells[6..8].iter_mut().for_each(crash);
        conclude(&mut results);
        let page = html(&results);
        for part in [
            "<td class=\"lost\">1 diverged<br>1 panicked</td>",
            "<small class=\"lost\">1 of 2 panicked</small>",
            "<td class=\"lost\">panicked</td>",
            "<td class=\"lost\">panicked<small>no such shape</small></td>",
            "18 (3 diverged, 4 panicked)",
        ] {
            assert!(page.contains(part), "no {part}");
        }
        results.cells.iter_mut().for_each(diverge);
        conclude(&mut results);
        let page = html(&results);
        assert!(page.contains("None of the 18 networks") && page.contains("No network was measured"));
        results.cells.clear();
        conclude(&mut results);
        assert!(html(&results).contains("No network was trained"));
    }
}
