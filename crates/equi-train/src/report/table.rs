//! The result on a terminal of 80 columns.

use comfy_table::{Cell as Entry, CellAlignment, ColumnConstraint, Table, presets};

use super::{
    digest::{ArmDigest, posed_size, poses},
    lost::Lost,
    number, terminal,
    words::words,
};
use crate::compare::{
    results::{Estimate, Results},
    stats,
};

/// What the data symmetry score says, and tables: the metric by arm and training-set size, how it falls, the metric in three poses,
/// and what every arm costs and how equivariant it is.
pub fn table(results: &Results) -> String {
    let name = results.metric_name().unwrap_or("metric");
    let sizes = results.sizes();
    // Many columns fit a terminal only if they are narrow.
    let between = if sizes.len() > 3 { "\n" } else { " " };

    let mut errors = plain_table();
    errors.set_header(
        [name.to_string()].into_iter().chain(sizes.iter().map(|&n| format!("n = {}", number::count(n as u64)))),
    );
    for arm in &results.arms {
        let row = sizes.iter().map(|&size| entry(results, &arm.name, size, name, between));
        errors.add_row([Entry::new(&arm.name)].into_iter().chain(row));
    }
    if sizes.len() > 3 {
        errors.column_iter_mut().skip(1).for_each(|column| {
            column.set_padding((0, 1));
        });
    }
    let arms: Vec<ArmDigest> = results.arms.iter().map(|arm| ArmDigest::new(results, arm)).collect();
    let words = words(results.domain);
    let mut costs = plain_table();
    costs.set_header(
        ["arm", "parameters", "MFLOPs\na test", "samples/s\ntraining"]
            .into_iter()
            .chain(words.errors.iter().filter_map(|column| column.table)),
    );
    for arm in &arms {
        let shown = words.errors.iter().zip(&arm.errors).filter(|(column, _)| column.table.is_some());
        costs.add_row(
            [
                arm.arm.name.clone(),
                number::count(arm.arm.parameters as u64),
                number::plain(arm.mega_flops()),
                arm.samples_per_second.map_or("–".into(), number::plain),
            ]
            .into_iter()
            .chain(shown.map(|(_, error)| error.map_or("–".into(), number::magnitude))),
        );
    }
    let floor = arms.iter().filter_map(|arm| arm.resampling_floor_45).reduce(f64::max);
    let floor = floor.map(|floor| format!(".\nResampling alone changes the images by {}", number::magnitude(floor)));
    for table in [&mut errors, &mut costs] {
        table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    }
    format!(
        "{}{errors}\nMean over the seeds [95 % confidence interval]; lower is better.\n\n{}{}{}{costs}\n\
         {}{}.\n",
        results.data_symmetry.as_ref().map(|score| wrapped(&super::data_symmetry(score)) + "\n").unwrap_or_default(),
        terminal::plot(results),
        curves(results),
        posed(results, name),
        words.table_note,
        floor.unwrap_or_default()
    )
}

/// Lines of at most 80 characters.
pub(super) fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + 1 + word.chars().count() <= 80 => *line += &format!(" {word}"),
            _ => lines.push(word.to_string()),
        }
    }
    lines.join("\n") + "\n"
}

/// The metric in three poses, at the largest size; nothing where it is not known.
fn posed(results: &Results, name: &str) -> String {
    let (Some(names), Some(size)) = (&results.poses, posed_size(results)) else {
        return String::new();
    };
    let mut table = plain_table();
    table.set_header(["pose"].into_iter().chain(names.iter().map(String::as_str)));
    for arm in &results.arms {
        let found = poses(results, &arm.name, size);
        let text = found.map(|value| value.map_or("–".into(), |value| number::metric(name, value)));
        table.add_row([arm.name.clone()].into_iter().chain(text));
    }
    table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    format!(
        "{table}\n{}\n",
        wrapped(&format!(
            "Mean {name} of the same test samples in three poses, n = {}: as they come, within the group, and out of its range.",
            number::count(size as u64)
        ))
    )
}

/// How errors fall; nothing where that is not known.
fn curves(results: &Results) -> String {
    if results.curves.is_empty() {
        return String::new();
    }
    let mut table = plain_table();
    table.set_header(["n^-b", "b", "with a floor: b", "floor"]);
    let name = results.metric_name().unwrap_or("metric");
    let number = |estimate: &Estimate, text: &dyn Fn(f64) -> String| match estimate.ci95 {
        Some([low, high]) => format!("{} [{}, {}]", text(estimate.value), text(low), text(high)),
        None => text(estimate.value),
    };
    for curve in &results.curves {
        let floor = curve.floor.as_ref();
        let dash = || "–".to_string();
        table.add_row([
            curve.arm.clone(),
            number(&curve.exponent, &number::exponent),
            floor.map_or_else(dash, |fit| number(&fit.exponent, &number::exponent)),
            floor.map_or_else(dash, |fit| number(&fit.floor, &|value| number::metric(name, value.max(0.0)))),
        ]);
    }
    table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    if results.curves.iter().all(|curve| curve.floor.is_none()) {
        // Fewer sizes than a floor takes.
        table.column_iter_mut().skip(2).for_each(|column| {
            column.set_constraint(ColumnConstraint::Hidden);
        });
    }
    format!("{table}\nErrors fall about as n^-b with n samples [95 % confidence interval].\n\n")
}

fn plain_table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    table
}

/// The mean and its interval, with `between` between the two ends.
fn entry(results: &Results, arm: &str, size: usize, name: &str, between: &str) -> Entry {
    let values = results.values(arm, size);
    let lost = Lost::of(results.at(arm, size));
    let mut text = match stats::mean(&values) {
        Some(mean) => number::metric(name, mean),
        None if lost.is_none() => return Entry::new("–"),
        None => return Entry::new(lost.word("\n")),
    };
    if let Some(stats::Interval { low, high, .. }) = stats::interval(name, &values) {
        text += &format!("\n[{},{between}{}]", number::metric(name, low), number::metric(name, high));
    }
    for (count, reason) in lost.reasons() {
        text += &format!("\n{count} {reason}");
    }
    Entry::new(text)
}
