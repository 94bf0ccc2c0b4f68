//! Where the numbers come from: the command that makes them again, and every network.

use std::fmt::Write;

use super::super::number::{self, count, duration, enumeration, typeset};
use super::super::words::words;
use super::{escape, key};
use crate::compare::results::{CellStatus, Results};

/// The command, and what it ran on.
pub fn reproduce(page: &mut String, results: &Results) -> std::fmt::Result {
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

/// One row a network.
pub fn cells(page: &mut String, results: &Results, name: &str) -> std::fmt::Result {
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
