//! Which layer of which network is equivariant, as a table for every arm.

use std::fmt::Write;

use super::html::{escape, key};
use super::number;
use super::words::words;
use crate::compare::results::{LayerError, Results};
use crate::compare::stats::mean;

/// Tables for the arms that say what their layers are, with the most training samples, on average over the seeds.
pub(super) fn layers(page: &mut String, results: &Results) -> std::fmt::Result {
    let Some(&size) = results.sizes().last() else { return Ok(()) };
    let words = words(results.domain);
    let [moves, columns] = words.layers_note;
    let mut shown: Vec<Vec<&[LayerError]>> = Vec::new();
    for arm in &results.arms {
        let cells: Vec<&[LayerError]> =
            results.at(&arm.name, size).map(|cell| &cell.layers[..]).filter(|layers| !layers.is_empty()).collect();
        let Some(first) = cells.first() else { continue };
        if shown.is_empty() {
            page.push_str("<h3>Layer by layer</h3>\n");
        }
        // Arms that differ in tests alone have one network.
        if shown.contains(&cells) {
            continue;
        }
        write!(
            page,
            "<details><summary>{}{}</summary>\n<div class=\"scroll\"><table>\n<thead><tr><th scope=\"col\">layer</th>",
            key(results, &arm.name),
            escape(&arm.name)
        )?;
        for column in words.layers {
            write!(page, "<th scope=\"col\">{}</th>", column.page)?;
        }
        page.push_str("</tr></thead>\n<tbody>\n");
        for (place, layer) in first.iter().enumerate() {
            write!(page, "<tr><th scope=\"row\">{}</th>", escape(&layer.layer))?;
            for column in words.layers {
                let values: Vec<f64> = cells.iter().filter_map(|layers| (column.pick)(layers.get(place)?)).collect();
                let text = mean(&values).map_or("–".to_string(), number::typeset);
                write!(page, "<td>{text}</td>")?;
            }
            page.push_str("</tr>\n");
        }
        page.push_str("</tbody></table></div>\n</details>\n");
        shown.push(cells);
    }
    if !shown.is_empty() {
        writeln!(
            page,
            "<p class=\"note\">How far every layer is from commuting with {moves}, with {} training samples, on average over the seeds. Alone: the layer on \
             what it is given in the network; a large number among small ones names the layer that breaks the symmetry. So far: all layers up to this \
             one. {columns}</p>",
            number::count(size as u64)
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::results::Cell;
    use crate::report::sample::{points, sample};

    #[test]
    fn layers_are_shown_for_the_arms_that_have_them() {
        let mut results = sample(2);
        let mut page = String::new();
        layers(&mut page, &results).unwrap();
        assert!(page.is_empty(), "no network says what its layers are");
        let layer = |name: &str, exact| LayerError {
            layer: name.to_string(),
            exact: Some(exact),
            exact_so_far: Some(f64::NAN),
            interpolated: None,
            resampling_floor: Some(0.5),
        };
        let last = *results.sizes().last().unwrap();
        for (cell, exact) in
            results.cells.iter_mut().filter(|cell| cell.train_size == last && cell.arm == "plain").zip([0.25, 0.75])
        {
            cell.layers = vec![layer("convolution 1", exact), layer("a < b", 1e-7)];
        }
        layers(&mut page, &results).unwrap();
        assert_eq!(page.matches("<details>").count(), 1);
        assert!(page.contains("plain") && page.contains("convolution 1") && page.contains("a &lt; b"), "{page}");
        assert!(page.contains("<td>0.50</td>") && page.contains("not finite") && page.contains("<td>–</td>"), "{page}");
        let text = serde_json::to_string(&results).unwrap();
        let read: Results = serde_json::from_str(&text).unwrap();
        assert!(read.at("plain", last).all(|cell| cell.layers[0].exact_so_far.unwrap().is_nan()));
    }

    #[test]
    fn layers_of_points_are_not_resampled() {
        let mut results = points(2);
        let last = *results.sizes().last().unwrap();
        let layer = LayerError {
            layer: "embedding".to_string(),
            exact: Some(0.25),
            exact_so_far: Some(0.5),
            interpolated: None,
            resampling_floor: None,
        };
        let of_plain = |cell: &&mut Cell| cell.train_size == last && cell.arm == "plain";
        results.cells.iter_mut().filter(of_plain).for_each(|cell| cell.layers = vec![layer.clone()]);
        let mut page = String::new();
        layers(&mut page, &results).unwrap();
        assert!(page.contains("<th scope=\"col\">alone</th><th scope=\"col\">so far</th></tr>"), "{page}");
        assert!(page.contains("<th scope=\"row\">embedding</th><td>0.25</td><td>0.50</td></tr>"), "{page}");
        assert!(
            page.contains("translations and permutations") && !page.contains("esampl") && !page.contains("pixel"),
            "{page}"
        );
    }
}
