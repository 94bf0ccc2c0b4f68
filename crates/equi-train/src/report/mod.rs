//! What a comparison found, for machines (`results.json`, `results.csv`) and for people (a table on the terminal and
//! `report.html`, one file that needs no network).

mod axis;
mod digest;
mod html;
mod layers;
mod lost;
mod number;
mod picture;
mod plot;
mod rows;
#[cfg(test)]
mod sample;
mod table;
mod terminal;
mod tuning;
mod turning;
mod verdict;
mod words;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use thiserror::Error;

pub use html::html;
pub(crate) use lost::in_a_line;
pub use lost::lost;
pub use picture::picture;
pub use rows::csv;
pub use table::table;
pub use verdict::verdict;

use crate::{
    atomic,
    compare::{
        results::{DataSymmetry, Results, SCHEMA},
        stats::{curves, differences, summarise},
    },
};

/// The name of the file with everything, schema 1.
pub const JSON: &str = "results.json";
/// The name of the file with one row a cell.
pub const CSV: &str = "results.csv";
/// The name of the report.
pub const HTML: &str = "report.html";
/// Name of the file with the learning curves.
pub const SVG: &str = "learning-curves.svg";

/// Why results could not be written or read.
#[derive(Debug, Error)]
pub enum ReportError {
    /// The operating system refused.
    #[error("{path} cannot be written: {source}; choose a folder you may write to with --out DIR")]
    Write {
        /// The file.
        path: PathBuf,
        /// The reason given.
        source: io::Error,
    },
    /// The operating system refused.
    #[error("{path} cannot be read: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason given.
        source: io::Error,
    },
    /// The file is not a result of this program, or of another version.
    #[error("{path} does not hold results of schema {SCHEMA}: {reason}; choose another folder with --out DIR")]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A row could not be formed.
    #[error("results.csv cannot be formed: {0}")]
    Csv(#[from] ::csv::Error),
}

/// A value of the metric called `name`, as reports write it.
pub fn number(name: &str, value: f64) -> String {
    number::metric(name, value)
}

/// What the data symmetry score says, in one sentence.
pub fn data_symmetry(symmetry: &DataSymmetry) -> String {
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let [low, high] = symmetry.ci95;
    let p = if symmetry.p_value < 1e-3 { "p < 0.001".into() } else { format!("p = {:.2}", symmetry.p_value) };
    let conclusion = if symmetry.p_value < SIGNIFICANT {
        "their orientation is not uniform, so there is something that a built-in symmetry cannot use"
    } else {
        "no sign that their orientation is anything but uniform"
    };
    format!(
        "Data symmetry: a classifier tells samples from ones moved by random {} in {} of {} cases (95 % interval {} to {}; {p}): \
         {conclusion}.",
        symmetry.moves,
        percent(symmetry.accuracy),
        number::count(symmetry.samples as u64),
        percent(low),
        percent(high),
    )
}

/// Below this, a p-value of the data symmetry score is taken for a sign.
const SIGNIFICANT: f64 = 0.01;

/// Fills what follows from the cells: the summary, differences, curves and the verdict.
pub fn conclude(results: &mut Results) {
    results.summary = summarise(&results.arms, &results.cells);
    results.differences = differences(&results.arms, &results.cells);
    results.curves = curves(&results.arms, &results.cells);
    results.verdict = verdict(results);
}

/// The content of `results.json`: indented, but for lists of numbers, which are one line each.
pub fn json(results: &Results) -> String {
    let pretty = serde_json::to_string_pretty(results).expect("results are strings, numbers and lists");
    let mut text = String::with_capacity(pretty.len());
    let mut in_list = false;
    // Strings have no line breaks of their own in JSON, and a line that begins with a number is an entry of a list.
    for line in pretty.lines() {
        let entry = line.trim_start();
        let number = entry.starts_with(|first: char| first == '-' || first.is_ascii_digit())
            || entry.trim_end_matches(',') == "null";
        match (in_list, number) {
            (true, true) => text = text + " " + entry,
            (false, true) => text += entry,
            (true, false) if entry.starts_with(']') => text += entry,
            _ if text.is_empty() => text += line,
            _ => text = text + "\n" + line,
        }
        in_list = number;
    }
    text.push('\n');
    text
}

/// Writes `results.json`, `results.csv`, `report.html` and, where there is something to plot, `learning-curves.svg` into `folder`, each of them whole
/// or not at all.
pub fn write(results: &Results, folder: &Path) -> Result<(), ReportError> {
    // The JSON last: where it is, the others are.
    let picture = picture(results).map(|picture| (SVG, picture));
    let files = [(CSV, csv(results)?), (HTML, html(results)), (JSON, json(results))];
    for (name, content) in picture.into_iter().chain(files) {
        let path = folder.join(name);
        atomic::write(&path, content.as_bytes()).map_err(|source| ReportError::Write { path, source })?;
    }
    Ok(())
}

/// Reads a `results.json`.
pub fn read(path: &Path) -> Result<Results, ReportError> {
    let text = fs::read_to_string(path).map_err(|source| ReportError::Read { path: path.into(), source })?;
    let format = |reason: String| ReportError::Format { path: path.into(), reason };
    let value: serde_json::Value = serde_json::from_str(&text).map_err(|error| format(error.to_string()))?;
    match value.get("schema").and_then(serde_json::Value::as_u64) {
        Some(schema) if schema == u64::from(SCHEMA) => {}
        Some(schema) => return Err(format(format!("it has schema {schema}"))),
        None => return Err(format("it has no schema number".into())),
    }
    // From the text again, not from the value: line and column make the message useful.
    serde_json::from_str(&text).map_err(|error| format(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::{sample::*, *};
    use crate::compare::results::{Cell, EquivarianceError, Poses};

    #[test]
    fn json_reads_back_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let results = sample(3);
        write(&results, folder.path()).unwrap();
        assert_eq!(read(&folder.path().join(JSON)).unwrap(), results);
        let mut names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, [SVG, HTML, CSV, JSON]);
    }

    #[test]
    fn lists_of_numbers_are_one_line_each() {
        let mut results = sample(2);
        results.cells[0].validation_curve = vec![-1.5, f64::NAN, 1e-9, 88.0];
        results.commit = "[\n1,\n2\n]".into();
        let text = json(&results);
        assert!(text.contains("\n      \"validation_curve\": [-1.5, null, 1e-9, 88.0],\n"), "{text}");
        assert!(text.contains("\"sizes\": [100, 400, 1600],\n"), "{text}");
        assert!(text.contains("\n  \"differences\": [\n    {\n"), "other lists are indented");
        let back: Results = serde_json::from_str(&text).unwrap();
        assert_eq!((json(&back), &back.commit), (text, &results.commit));
    }

    #[test]
    fn numbers_that_are_not_finite_survive_as_nan() {
        let folder = tempfile::tempdir().unwrap();
        let mut results = sample(2);
        diverge(&mut results.cells[0]);
        results.cells[1].equivariance_error = Some(EquivarianceError {
            exact_untrained: Some(f64::INFINITY),
            exact: Some(0.5),
            rotation_45: Some(f64::NAN),
            resampling_floor_45: Some(0.1),
            small_turns: Some(0.5),
        });
        conclude(&mut results);
        write(&results, folder.path()).unwrap();
        let back = read(&folder.path().join(JSON)).unwrap();
        assert!(back.cells[0].validation_curve[2].is_nan());
        let error = back.cells[1].equivariance_error.unwrap();
        assert!(
            error.exact_untrained.unwrap().is_nan() && error.rotation_45.unwrap().is_nan() && error.exact == Some(0.5)
        );
        assert_eq!(json(&back), json(&results));
    }

    #[test]
    fn a_group_without_exact_symmetries_has_no_exact_error_anywhere() {
        let mut results = sample(2);
        for cell in &mut results.cells {
            let error = cell.equivariance_error.as_mut().unwrap();
            (error.exact_untrained, error.exact) = (None, None);
            cell.peak_rss_mib = None;
        }
        conclude(&mut results);
        let value: serde_json::Value = serde_json::from_str(&json(&results)).unwrap();
        assert!(value["cells"][0]["equivariance_error"]["exact"].is_null());
        assert!(value["cells"][0]["peak_rss_mib"].is_null());
        assert_eq!(serde_json::from_str::<Results>(&json(&results)).unwrap(), results);
        assert!(table(&results).contains(" – ") && html(&results).contains("<td>–</td><td>–</td>"));
        assert!(!results.verdict.contains("Quarter turns") && results.verdict.contains("A turn by 45 degrees"));
    }

    #[test]
    fn what_is_no_result_is_refused_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(JSON);
        let refuse = |content: &str| {
            fs::write(&path, content).unwrap();
            read(&path).unwrap_err().to_string()
        };
        assert!(refuse("{\"schema\": 2}").contains("it has schema 2"));
        assert!(refuse("{}").contains("no schema number"));
        assert!(refuse("{\"schema\": 1}").contains("missing field"));
        assert!(refuse(&json(&sample(1))[..200]).contains("EOF"));
        let unwritable = write(&sample(1), &folder.path().join("none")).unwrap_err().to_string();
        assert!(unwritable.contains("--out DIR"), "{unwritable}");
    }

    /// Results that are in the repository, written before there were differences, curves and methods.
    #[test]
    fn results_of_earlier_versions_are_read_and_shown() {
        for name in ["tests/results/nbody-491937da1347.json", "../../docs/results/nbody-paper/results.json"] {
            let mut results = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap();
            assert!(results.curves.is_empty() && results.summary.iter().all(|size| size.ci95_method.is_none()));
            for shown in [table(&results), html(&results)] {
                assert!(shown.contains("equivariant") && !shown.contains("NaN"), "{shown}");
            }
            let summary = results.summary.clone();
            conclude(&mut results);
            for (now, then) in results.summary.iter().zip(summary) {
                // Three seeds have Student's intervals, now as then; quantiles differ in the tenth digit.
                assert_eq!((&now.arm, now.train_size, now.mean), (&then.arm, then.train_size, then.mean));
                let ends = |ends: Option<[f64; 2]>| ends.unwrap_or_default();
                assert!(ends(now.ci95).iter().zip(ends(then.ci95)).all(|(a, b)| (a - b).abs() < 1e-8 * b.abs()));
            }
        }
    }

    #[test]
    fn the_data_symmetry_score_comes_first_and_says_what_it_means() {
        let mut results = sample(2);
        let mut score = DataSymmetry {
            moves: "rotations".into(),
            samples: 2000,
            correct: 1020,
            accuracy: 0.51,
            ci95: [0.4878, 0.5321],
            p_value: 0.1925,
        };
        results.data_symmetry = Some(score.clone());
        conclude(&mut results);
        let sentence = data_symmetry(&score);
        assert!(
            sentence.contains("in 51.0 % of 2,000 cases (95 % interval 48.8 % to 53.2 %; p = 0.19): no sign"),
            "{sentence}"
        );
        assert!(table(&results).replace('\n', " ").starts_with(&sentence), "{}", table(&results));
        assert!(table(&results).lines().all(|line| line.chars().count() <= 80));
        let page = html(&results);
        assert!(page.find("Data symmetry").unwrap() < page.find("class=\"verdict\"").unwrap());
        (score.accuracy, score.p_value) = (0.97, 1e-300);
        assert!(data_symmetry(&score).contains("p < 0.001): their orientation is not uniform"));
        results.data_symmetry = Some(score);
        assert_eq!(serde_json::from_str::<Results>(&json(&results)).unwrap(), results);
    }

    #[test]
    fn three_poses_are_shown_where_they_were_tested() {
        let mut results = sample(2);
        assert!(!table(&results).contains("upright") && !html(&results).contains("upright"));
        results.poses = Some(["upright", "any angle", "mirrored"].map(str::to_string));
        for (place, cell) in results.cells.iter_mut().enumerate() {
            let outside = if place == 0 { f64::NAN } else { 77.25 };
            cell.poses = Some(Poses { canonical: 12.5, random: 34.25, outside });
        }
        diverge(&mut results.cells[1]);
        results.cells[1].poses = None;
        conclude(&mut results);
        let (text, page) = (table(&results), html(&results));
        for part in ["upright", "any angle", "mirrored", "12.50", "34.25", "77.25"] {
            assert!(text.contains(part) && page.contains(part), "{part}: {text}");
        }
        assert!(text.lines().all(|line| line.chars().count() <= 80) && !text.contains("NaN"), "{text}");
        let text = csv(&results).unwrap();
        let mut reader = ::csv::Reader::from_reader(text.as_bytes());
        let at = reader.headers().unwrap().iter().position(|column| column == "pose_canonical").unwrap();
        let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
        assert_eq!([&rows[0][at], &rows[0][at + 2], &rows[1][at], &rows[2][at + 2]], ["12.5", "", "", "77.25"]);
        // A value that is not finite is read back as such.
        let back: Results = serde_json::from_str(&json(&results)).unwrap();
        assert!(back.cells[0].poses.unwrap().outside.is_nan() && back.cells[1].poses.is_none());
    }

    #[test]
    fn differences_and_curves_follow_the_cells() {
        let mut results = sample(3);
        assert_eq!((results.differences.len(), results.curves.len()), (9, 3));
        let last = &results.differences[8];
        assert_eq!((last.first.as_str(), last.second.as_str(), last.train_size), ("augmented", "equivariant", 1600));
        assert!((last.mean - 3.8).abs() < 1e-12 && last.seeds == 3);
        // A cell without a value is in no pair, and its seed has two sizes of three.
        diverge(&mut results.cells[0]);
        conclude(&mut results);
        assert_eq!(results.differences[0].seeds, 2);
        assert!(results.curves[0].exponent.ci95.is_some());
        results.cells.iter_mut().filter(|cell| cell.train_size == 100).for_each(diverge);
        conclude(&mut results);
        assert!(results.curves.is_empty(), "two sizes are no curve");
        assert!(!html(&results).contains("n<sup>"));
    }

    #[test]
    fn csv_has_one_row_a_cell_and_blanks_for_what_is_missing() {
        let mut results = sample(2);
        diverge(&mut results.cells[0]);
        crash(&mut results.cells[1]);
        results.task = "a \"quoted\", task".into();
        conclude(&mut results);
        let text = csv(&results).unwrap();
        let mut reader = ::csv::Reader::from_reader(text.as_bytes());
        let header = reader.headers().unwrap().clone();
        let column = |name: &str| header.iter().position(|column| column == name).unwrap();
        let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
        assert_eq!(rows.len(), 18);
        assert_eq!((&rows[0][column("status")], &rows[0][column("value")]), ("diverged", ""));
        assert_eq!((&rows[1][column("status")], &rows[1][column("value")]), ("panicked", ""));
        assert_eq!(&rows[0][column("task")], "a \"quoted\", task");
        for (row, cell) in rows.iter().zip(&results.cells).skip(2) {
            assert_eq!(row[column("value")].parse::<f64>().unwrap(), cell.value().unwrap());
            let size = results.summary.iter().find(|size| (&size.arm, size.train_size) == (&cell.arm, cell.train_size));
            let size = size.unwrap();
            assert_eq!(row[column("mean")].parse::<f64>().ok(), size.mean);
            assert_eq!(row[column("ci95_low")].parse::<f64>().ok(), size.ci95.map(|ends| ends[0]));
            assert_eq!(&row[column("ci95_method")], if size.ci95.is_some() { "student-t" } else { "" });
            assert_eq!(row[column("exact")].parse::<f64>().ok(), cell.equivariance_error.unwrap().exact);
        }
    }

    #[test]
    fn the_table_fits_a_terminal() {
        let mut results = sample(2);
        diverge(&mut results.cells[0]);
        results.cells[2..4].iter_mut().for_each(diverge);
        crash(&mut results.cells[6]);
        results.cells[8..10].iter_mut().for_each(crash);
        diverge(&mut results.cells[10]);
        crash(&mut results.cells[11]);
        let text = table(&results);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        for part in ["n = 1,600", "21.00", "98,442", "4.3e-7", "1 diverged", " diverged ", "1 panicked", " panicked "] {
            assert!(text.contains(part), "{part} is missing:\n{text}");
        }
        // Six sizes: the same cells again for others.
        let mut many = points(3);
        let others: Vec<_> =
            many.cells.iter().cloned().map(|cell| Cell { train_size: 2 * cell.train_size, ..cell }).collect();
        many.cells.extend(others);
        let text = table(&many);
        assert_eq!(many.sizes().len(), 6);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        results.cells.clear();
        assert!(table(&results).contains("equivariant"));
    }

    #[test]
    fn the_summary_follows_the_cells() {
        let mut results = sample(3);
        assert_eq!(results.summary.len(), 9);
        let last = &results.summary[8];
        assert_eq!((last.arm.as_str(), last.train_size), ("equivariant", 1600));
        assert!((last.mean.unwrap() - 4.6).abs() < 1e-12);
        results.cells.iter_mut().filter(|cell| cell.train_size == 100).for_each(diverge);
        conclude(&mut results);
        assert_eq!((results.summary[0].mean, results.summary[0].ci95), (None, None));
    }
}
