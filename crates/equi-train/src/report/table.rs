//! The result on a terminal of 80 columns.

use comfy_table::{Cell as Entry, CellAlignment, Table, presets};

use super::{digest::ArmDigest, number, words::words};
use crate::compare::results::{CellStatus, Results};

/// Two tables: the metric by arm and training-set size, and what every arm costs and how equivariant it is.
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
        ["arm", "parameters", "MFLOPs\na sample", "samples/s\ntraining"]
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
        "{errors}\nMean over the seeds [95 % confidence interval]; lower is better.\n\n{costs}\n\
         {}{}.\n",
        words.table_note,
        floor.unwrap_or_default()
    )
}

fn plain_table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    table
}

/// The mean and its interval, with `between` between the two ends.
fn entry(results: &Results, arm: &str, size: usize, name: &str, between: &str) -> Entry {
    let values = results.values(arm, size);
    let diverged = results.at(arm, size).filter(|cell| cell.status == CellStatus::Diverged).count();
    let mut text = match crate::compare::stats::mean(&values) {
        Some(mean) => number::metric(name, mean),
        None if diverged > 0 => return Entry::new("diverged"),
        None => return Entry::new("–"),
    };
    if let Some([low, high]) = crate::compare::stats::interval(name, &values) {
        text += &format!("\n[{},{between}{}]", number::metric(name, low), number::metric(name, high));
    }
    if diverged > 0 {
        text += &format!("\n{diverged} diverged");
    }
    Entry::new(text)
}
