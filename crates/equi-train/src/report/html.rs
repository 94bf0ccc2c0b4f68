//! `report.html`: one file, no network, readable on a phone, in the dark and on paper.

use std::fmt::Write;

use super::{
    digest::{ArmDigest, posed_size, poses, train_seconds},
    layers::layers,
    lost::Lost,
    number::{self, capital, count, duration, enumeration, typeset},
    plot::{self, Plot},
    tuning::tuning,
    turning::turning,
    words::words,
};
use crate::compare::{
    results::{CellStatus, Difference, Estimate, Results},
    stats::{Interval, interval, mean},
};

/// The colours, for pages and pictures.
pub(super) const PALETTE: &str = include_str!("palette.css");
const CSS: &str = include_str!("report.css");

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

fn errors(page: &mut String, results: &Results, name: &str) -> std::fmt::Result {
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
fn curves(page: &mut String, results: &Results, name: &str) -> std::fmt::Result {
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
fn differences(page: &mut String, results: &Results, name: &str) -> std::fmt::Result {
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
fn posed(page: &mut String, results: &Results, name: &str) -> std::fmt::Result {
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

fn costs(page: &mut String, results: &Results) -> std::fmt::Result {
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

fn equivariance(page: &mut String, results: &Results) -> std::fmt::Result {
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

fn meaning(page: &mut String, results: &Results, name: &str) -> std::fmt::Result {
    let (quantity, _) = number::quantity(name);
    let matched = match results.matched_by.as_str() {
        "params" => "All arms were given about the same number of trainable parameters",
        "flops" => "All arms were given about the same number of floating-point operations per sample",
        "time" => "A training step of every arm takes about as long on this device",
        _ => "The arms were matched as named above",
    };
    let training = if results.recipe.arm_rates.is_empty() {
        "Optimiser, learning rate, schedule, number of steps and samples a step are the same for all arms. One learning rate \
         for all need not be the best one for each; `--learning-rate` tries another."
    } else {
        "Optimiser, schedule, number of steps and samples a step are the same for all arms. Learning rates are those that the \
         task gives each arm; `--learning-rate` gives all the same."
    };
    let words = words(results.domain);
    page.push_str("<h2>What the numbers mean</h2>\n<dl>\n");
    let terms = [
        (capital(quantity), "Measured once on the test set, with the weights of the epoch that did best on the validation \
            split. The test set is the same for all arms, sizes and seeds and chooses nothing.".to_string()),
        ("Confidence interval".into(), "The 95 % interval of the mean over the seeds: by Student's t distribution for \
            fewer than eight, which assumes independent, roughly normal seeds, and by the studentised bootstrap from eight on, \
            which forgives skewness but needs as many. That of a percentage is cut to 0 to 100. With two seeds it is \
            12.7 standard errors to each side. All arms of a seed share their samples and \
            the test set, so the order of two arms is judged by the differences within the seeds. That the test set is \
            finite is not in the interval, and it says nothing about other architectures or training recipes.".into()),
        ("Seed".into(), "Decides the initial weights, which samples are drawn, their order and the augmentation. Smaller \
            training sets are contained in the larger ones of the same seed.".into()),
        ("Training".into(), training.into()),
        ("Augmentation".into(), words.augmentation.into()),
        ("Parameters and FLOPs".into(), format!("{matched}. Parameters are counted on the built network; FLOPs are those \
            of one sample, two for a multiply-add, layer by layer: in tests those of all its forward passes, of which averages \
            over poses take several, and in training those of one forward pass and its gradient, which takes two products \
            for each of the pass. Augmentation costs nothing in FLOPs here and shows in the samples per second. Arms that \
            differ in tests alone share one network, trained once.")),
        ("Samples per second, training time, peak memory".into(), "Wall clock of the training loop on this machine and device; compare them within this report only. Peak memory is that of the whole \
            process, data set included, while it worked on a network; the largest over the networks of an arm. On a GPU, \
            its own memory is not in it. Where the system does not reset it, it is the peak of the process so far.".into()),
        ("Equivariance error".into(), words.definition.into()),
        ("Data symmetry".into(), "Half of the samples, each moved at random or left alone by the toss of a coin, train a logistic \
            regression to tell which; the other half tries it. Where the orientation of the data is uniform nothing can tell, \
            and right answers are binomial with probability one half, which gives the exact interval and p-value. Features are \
            harmonics or moments, which turn without resampling. What they do not show, the score does not find.".into()),
        ("Diverged, panicked".into(), "The loss of a network that diverged left the finite numbers; one that panicked stopped with an \
            error of its own, which the table of every network has. Such a network has no test metric and is left out of the \
            means, which then flatter its arm: read them with that in mind.".into()),
    ];
    let (lost, others) = terms.split_last().expect("there are terms");
    let floor = words.floor.map(|floor| ("Resampling floor".into(), floor.into()));
    for (term, text) in others.iter().chain(&floor).chain([lost]) {
        writeln!(page, "<dt>{}</dt><dd>{}</dd>", escape(term), escape(text))?;
    }
    page.push_str("</dl>\n");
    Ok(())
}

fn reproduce(page: &mut String, results: &Results) -> std::fmt::Result {
    let seeds: Vec<String> = results.seeds().iter().map(u64::to_string).collect();
    let steps: Vec<String> = results
        .sizes()
        .into_iter()
        .map(|size| format!("{} (n = {})", count(results.recipe.steps(size) as u64), count(size as u64)))
        .collect();
    write!(page, "<h2>Reproduce</h2>\n<pre>{}</pre>\n<dl class=\"facts\">\n", escape(&results.command))?;
    for (term, value) in [
        ("equi", results.commit.clone()),
        ("Burn", results.burn.clone()),
        ("Device", results.device.clone()),
        ("Preset", results.preset.clone()),
        ("Seeds", seeds.join(", ")),
        ("Steps", enumeration(&steps)),
        ("Samples a step", count(results.recipe.batch_size as u64)),
        ("Peak learning rate", number::rates(&results.recipe)),
        ("Results schema", results.schema.to_string()),
    ]
    .into_iter()
    .chain(results.data.clone().map(|data| ("Data", data)))
    {
        writeln!(page, "<div><dt>{term}</dt><dd>{}</dd></div>", escape(&value))?;
    }
    let again = match results.device.as_str() {
        "flex" | "ndarray" => "bit for bit",
        _ => "up to rounding, for this device adds in an order of its own",
    };
    writeln!(
        page,
        "</dl>\n<p class=\"note\">The same command on the same kind of device gives the same weights and metrics {again}; \
         times and memory vary. The same numbers lie beside this page as results.json and results.csv.</p>"
    )
}

fn cells(page: &mut String, results: &Results, name: &str) -> std::fmt::Result {
    write!(
        page,
        "<h2>Every network</h2>\n<details><summary>{} rows</summary>\n<div class=\"scroll\"><table>\n<thead><tr>\
         <th scope=\"col\">arm</th><th scope=\"col\">samples</th><th scope=\"col\">seed</th><th scope=\"col\">{}</th>\
         <th scope=\"col\">best epoch</th><th scope=\"col\">steps</th><th scope=\"col\">time</th>",
        results.cells.len(),
        escape(name)
    )?;
    let errors = || words(results.domain).errors.iter().filter(|column| column.cells.is_some());
    for column in errors() {
        write!(page, "<th scope=\"col\">{}</th>", column.cells.unwrap_or_default())?;
    }
    page.push_str("</tr></thead>\n<tbody>\n");
    for cell in &results.cells {
        let value = match (cell.status, cell.value()) {
            (lost @ (CellStatus::Diverged | CellStatus::Panicked), _) => {
                let reason = cell.message.as_deref().map(|message| format!("<small>{}</small>", escape(message)));
                format!("<td class=\"lost\">{}{}</td>", lost.name(), reason.unwrap_or_default())
            }
            (CellStatus::Done, Some(value)) => format!("<td>{}</td>", number::metric(name, value)),
            (CellStatus::Done, None) => "<td>–</td>".into(),
        };
        write!(
            page,
            "<tr><td>{}{}</td><td>{}</td><td>{}</td>{value}<td>{}</td><td>{}</td><td>{}</td>",
            key(results, &cell.arm),
            escape(&cell.arm),
            count(cell.train_size as u64),
            cell.seed,
            cell.best_epoch,
            count(cell.steps as u64),
            duration(cell.train_seconds),
        )?;
        for column in errors() {
            let error = cell.equivariance_error.as_ref().and_then(column.pick);
            write!(page, "<td>{}</td>", error.map_or_else(|| "–".into(), typeset))?;
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody></table></div>\n</details>\n");
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
