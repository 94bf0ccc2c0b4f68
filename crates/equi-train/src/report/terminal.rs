//! Learning curves on a terminal: a letter for every arm, both axes logarithmic.

use super::number;
use crate::compare::results::Results;
use crate::compare::stats::mean;

/// Columns and rows of the plot, without its labels.
const SIZE: [usize; 2] = [60, 11];

/// The mean metric of every arm against the training samples; nothing with fewer than two sizes, or where no mean is positive.
pub(super) fn plot(results: &Results) -> String {
    let sizes = results.sizes();
    let ([first, .., last], Some(name)) = (&sizes[..], results.metric_name()) else { return String::new() };
    // Of every arm: column and logarithm of the metric.
    let along = |size: usize| {
        let share = (size as f64 / *first as f64).ln() / (*last as f64 / *first as f64).ln();
        (share * (SIZE[0] - 1) as f64).round() as usize
    };
    let point = |arm: &str, size: usize| {
        mean(&results.values(arm, size)).filter(|&value| value > 0.0).map(|value| (along(size), value.ln()))
    };
    let lines: Vec<Vec<(usize, f64)>> =
        results.arms.iter().map(|arm| sizes.iter().filter_map(|&size| point(&arm.name, size)).collect()).collect();
    let ends = |pick: fn(f64, f64) -> f64| lines.iter().flatten().map(|(_, value)| *value).reduce(pick);
    let (Some(low), Some(high)) = (ends(f64::min), ends(f64::max)) else { return String::new() };
    let row = |value: f64| match high - low {
        0.0 => 0,
        range => ((high - value) / range * (SIZE[1] - 1) as f64).round() as usize,
    };

    let mut cells = vec![[' '; SIZE[0]]; SIZE[1]];
    for line in &lines {
        for pair in line.windows(2) {
            let between = (pair[0].0 + 1..pair[1].0).map(|column| {
                let share = (column - pair[0].0) as f64 / (pair[1].0 - pair[0].0) as f64;
                (row(pair[0].1 + share * (pair[1].1 - pair[0].1)), column)
            });
            for (row, column) in between {
                let cell = &mut cells[row][column];
                *cell = if *cell == ' ' { '·' } else { *cell };
            }
        }
    }
    for (letter, line) in ('a'..='z').cycle().zip(&lines) {
        for &(column, value) in line {
            let cell = &mut cells[row(value)][column];
            *cell = if cell.is_alphabetic() || *cell == '*' { '*' } else { letter };
        }
    }

    let labels = [(0, high), (SIZE[1] - 1, low)].map(|(row, value)| (row, number::metric(name, value.exp())));
    let width = labels.iter().map(|(_, label)| label.chars().count()).max().unwrap_or(0);
    let mut text = format!("{name}\n");
    for (number, cells) in cells.iter().enumerate() {
        let label = labels.iter().find(|(row, _)| *row == number).map_or("", |(_, label)| label);
        let line: String = cells.iter().collect();
        text += &format!("{label:>width$} |{}\n", line.trim_end());
    }
    text += &format!("{:>width$} +{}\n", "", "-".repeat(SIZE[0]));
    // Sizes where they belong, those that would touch the one before left out.
    let mut scale = String::new();
    for &size in &sizes {
        let label = number::count(size as u64);
        let start = (along(size) + 1).saturating_sub(label.len() / 2).min(SIZE[0] + 1 - label.len().min(SIZE[0]));
        if scale.is_empty() || start > scale.len() {
            scale = format!("{scale:start$}{label}");
        }
    }
    text += &format!("{:width$} {scale} samples\n", "");
    let names = ('a'..='z').cycle().zip(&results.arms).map(|(letter, arm)| format!("{letter} {}", arm.name));
    text + &super::table::wrapped(&format!("{}; * several.", names.collect::<Vec<_>>().join(", "))) + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample::{points, sample};

    #[test]
    fn lines_go_where_the_means_are() {
        let results = sample(3);
        let text = plot(&results);
        let rows: Vec<&str> = text.lines().collect();
        assert!(rows.iter().all(|row| row.chars().count() <= 80), "{text}");
        assert_eq!(rows.iter().filter(|row| row.contains('|')).count(), SIZE[1]);
        for arm in &results.arms {
            assert!(text.contains(&arm.name), "{text}");
        }
        for size in results.sizes() {
            assert!(text.contains(&number::count(size as u64)), "{text}");
        }
        // The highest mean is in the first row, the lowest in the last, each as an arm's letter.
        let letters = |row: &str| row.split('|').nth(1).unwrap().contains(|c: char| c.is_alphabetic() || c == '*');
        assert!(letters(rows[1]) && letters(rows[SIZE[1]]), "{text}");
        assert!(plot(&points(2)).contains("MSE"));
    }

    #[test]
    fn one_size_and_no_positive_mean_have_no_plot() {
        let mut results = sample(2);
        let first = results.sizes()[0];
        let mut zero = results.clone();
        zero.cells.iter_mut().for_each(|cell| cell.metric.iter_mut().for_each(|metric| metric.value = 0.0));
        assert_eq!(plot(&zero), "");
        // The same everywhere: one row.
        let mut same = results.clone();
        same.cells.iter_mut().for_each(|cell| cell.metric.iter_mut().for_each(|metric| metric.value = 2.0));
        assert!(plot(&same).contains('*'));
        results.cells.retain(|cell| cell.train_size == first);
        assert_eq!(plot(&results), "");
    }
}
