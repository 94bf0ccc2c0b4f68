//! How far the arms err: tables of means, of how they fall, of differences, and of three poses.

use std::fmt::Write;

use super::super::digest::{posed_size, poses};
use super::super::lost::Lost;
use super::super::number::{self, count};
use super::{escape, key, minus};
use crate::compare::results::{Difference, Estimate, Results};
use crate::compare::stats::{Interval, interval, mean};

/// Means over the seeds, by arm and training-set size.
pub fn errors(page: &mut String, results: &Results, name: &str) -> std::fmt::Result {
    let sizes = results.sizes();
    if results.cells.is_empty() {
        page.push_str("<p>No network was trained.</p>\n");
        return Ok(());
    }
    page.push_str("<div class=\"scroll\"><table>\n<thead><tr><th scope=\"col\">arm</th>");
    for &size in &sizes {
        write!(page, "<th scope=\"col\">{}<br>samples</th>", count(size as u64))?;
    }
    page.push_str("</tr></thead>\n<tbody>\n");
    let best: Vec<Option<f64>> = sizes
        .iter()
        .map(|&size| results.arms.iter().filter_map(|arm| mean(&results.values(&arm.name, size))).reduce(f64::min))
        .collect();
    for arm in &results.arms {
        write!(page, "<tr><th scope=\"row\">{}{}</th>", key(results, &arm.name), escape(&arm.name))?;
        for (&size, &best) in sizes.iter().zip(&best) {
            let values = results.values(&arm.name, size);
            let lost = Lost::of(results.at(&arm.name, size));
            let Some(mean) = mean(&values) else {
                match lost.is_none() {
                    true => page.push_str("<td>–</td>"),
                    false => write!(page, "<td class=\"lost\">{}</td>", lost.word("<br>"))?,
                }
                continue;
            };
            let class = if best == Some(mean) && results.arms.len() > 1 { " class=\"best\"" } else { "" };
            write!(page, "<td{class}>{}", number::metric(name, mean))?;
            if let Some(Interval { low, high, .. }) = interval(name, &values) {
                write!(page, "<small>{} to {}</small>", minus(&number::metric(name, low)), number::metric(name, high))?;
            }
            let all = results.at(&arm.name, size).count();
            for (count, reason) in lost.reasons() {
                write!(page, "<small class=\"lost\">{count} of {all} {reason}</small>")?;
            }
            page.push_str("</td>");
        }
        page.push_str("</tr>\n");
    }
    let (quantity, unit) = number::quantity(name);
    let in_unit = if unit.is_empty() { String::new() } else { format!(" in{unit}") };
    writeln!(
        page,
        "</tbody></table></div>\n<p class=\"note\">Mean {}{} over the seeds, with its 95 % confidence interval below \
         where there are two seeds or more; lower is better, the lowest of a column is bold.</p>",
        escape(quantity),
        escape(&in_unit)
    )
}

/// How errors fall, where that is known.
pub fn curves(page: &mut String, results: &Results, name: &str) -> std::fmt::Result {
    if results.curves.is_empty() {
        return Ok(());
    }
    let floors = results.curves.iter().any(|curve| curve.floor.is_some());
    page.push_str(
        "<div class=\"scroll\"><table>\n<thead><tr><th scope=\"col\">a n<sup>−b</sup></th><th scope=\"col\">b</th>",
    );
    if floors {
        page.push_str("<th scope=\"col\">b, with<br>a floor</th><th scope=\"col\">floor</th>");
    }
    page.push_str("</tr></thead>\n<tbody>\n");
    let entry = |estimate: &Estimate, text: &dyn Fn(f64) -> String| {
        let ends = estimate.ci95.map(|[low, high]| format!("<small>{} to {}</small>", minus(&text(low)), text(high)));
        format!("<td>{}{}</td>", minus(&text(estimate.value)), ends.unwrap_or_default())
    };
    for curve in &results.curves {
        write!(page, "<tr><th scope=\"row\">{}{}</th>", key(results, &curve.arm), escape(&curve.arm))?;
        page.push_str(&entry(&curve.exponent, &number::exponent));
        match &curve.floor {
            Some(fit) => {
                page.push_str(&entry(&fit.exponent, &number::exponent));
                page.push_str(&entry(&fit.floor, &|value| number::metric(name, value.max(0.0))));
            }
            None if floors => page.push_str("<td>–</td><td>–</td>"),
            None => {}
        }
        page.push_str("</tr>\n");
    }
    let with_floor = if floors {
        " The law with a floor, a n<sup>−b</sup> + c, is fitted beside it where there are five sizes or more and errors fall."
    } else {
        ""
    };
    writeln!(
        page,
        "</tbody></table></div>\n<p class=\"note\">How errors fall with the number n of samples, by least squares of their \
         logarithms over all seeds, with 95 % confidence intervals over the seeds.{with_floor}</p>"
    )
}

/// What every arm has more than the best of its column, seed by seed.
pub fn differences(page: &mut String, results: &Results, name: &str) -> std::fmt::Result {
    if results.differences.iter().all(|difference| difference.ci95.is_none()) {
        return Ok(());
    }
    let sizes = results.sizes();
    let mean_of = |arm: &str, size: usize| mean(&results.values(arm, size));
    let best = sizes.iter().map(|&size| {
        let means = results.arms.iter().filter_map(|arm| Some((arm.name.as_str(), mean_of(&arm.name, size)?)));
        means.min_by(|a, b| a.1.total_cmp(&b.1)).map(|arm| arm.0)
    });
    let best: Vec<Option<&str>> = best.collect();
    page.push_str("<div class=\"scroll\"><table>\n<thead><tr><th scope=\"col\">above the best</th>");
    for (&size, best) in sizes.iter().zip(&best) {
        let best = escape(best.unwrap_or_default());
        write!(page, "<th scope=\"col\">{} samples<br>{best}</th>", count(size as u64))?;
    }
    page.push_str("</tr></thead>\n<tbody>\n");
    for arm in &results.arms {
        write!(page, "<tr><th scope=\"row\">{}{}</th>", key(results, &arm.name), escape(&arm.name))?;
        for (&size, &best) in sizes.iter().zip(&best) {
            let pair = |first: &str, second: &str| {
                let here =
                    |d: &&Difference| (d.train_size, d.first.as_str(), d.second.as_str()) == (size, first, second);
                results.differences.iter().find(here)
            };
            let Some(best) = best.filter(|&best| best != arm.name) else {
                page.push_str("<td>–</td>");
                continue;
            };
            let (found, sign) = match pair(&arm.name, best) {
                Some(found) => (Some(found), 1.0),
                None => (pair(best, &arm.name), -1.0),
            };
            let Some(found) = found else {
                page.push_str("<td>–</td>");
                continue;
            };
            let text = |value: f64| minus(&number::metric(name, sign * value));
            write!(page, "<td>{}", text(found.mean))?;
            if let Some([low, high]) = found.ci95 {
                let (low, high) = if sign > 0.0 { (low, high) } else { (high, low) };
                write!(page, "<small>{} to {}</small>", text(low), text(high))?;
            }
            if let Some(p) = found.p_holm {
                let p = if p < 1e-3 { "p &lt; 0.001".to_string() } else { format!("p = {p:.3}") };
                write!(page, "<small>{p}</small>")?;
            }
            page.push_str("</td>");
        }
        page.push_str("</tr>\n");
    }
    page.push_str(
        "</tbody></table></div>\n<p class=\"note\">By how much an arm is above the arm with the lowest mean, on average over the \
         seeds in which both have a result, with its 95 % confidence interval, and the p-value of Student’s t test, adjusted by Holm’s \
         method for all pairs of arms with as many samples. Below 0.05, with three seeds or more, the order of these two is settled.</p>\n",
    );
    Ok(())
}

/// The metric in three poses, where it is known.
pub fn posed(page: &mut String, results: &Results, name: &str) -> std::fmt::Result {
    let (Some(names), Some(size)) = (&results.poses, posed_size(results)) else {
        return Ok(());
    };
    page.push_str("<div class=\"scroll\"><table>\n<thead><tr><th scope=\"col\">pose</th>");
    for (kind, name) in ["canonical", "in the group", "out of range"].iter().zip(names) {
        write!(page, "<th scope=\"col\">{kind}:<br>{}</th>", escape(name))?;
    }
    page.push_str("</tr></thead>\n<tbody>\n");
    for arm in &results.arms {
        write!(page, "<tr><th scope=\"row\">{}{}</th>", key(results, &arm.name), escape(&arm.name))?;
        for value in poses(results, &arm.name, size) {
            write!(page, "<td>{}</td>", value.map_or_else(|| "–".into(), |value| number::metric(name, value)))?;
        }
        page.push_str("</tr>\n");
    }
    let (quantity, unit) = number::quantity(name);
    let in_unit = if unit.is_empty() { String::new() } else { format!(" in{unit}") };
    writeln!(
        page,
        "</tbody></table></div>\n<p class=\"note\">Mean {}{} of the same test samples in three poses, with {} training samples: the \
         first quarter of the test set (at least 500 and at most 10,000 samples), so numbers differ a little from those above.</p>",
        escape(quantity),
        escape(&in_unit),
        count(size as u64)
    )
}
