//! `learning-curves.svg`: the learning curves by themselves, with their legend, for documents and slides. Light or dark as its surroundings.

use std::fmt::Write;

use super::html::escape;
use super::number::capital;
use super::plot::{self, SIZE};
use super::{html, number};
use crate::compare::results::Results;

/// Height of a line of the legend, and the distance of two entries in characters.
const LINE: u32 = 56;
const BETWEEN: usize = 4;
/// Width of a character of the legend, on average.
const CHARACTER: u32 = 19;

/// The picture; none where nothing can be plotted.
pub fn picture(results: &Results) -> Option<String> {
    let name = results.metric_name()?;
    let plot = plot::learning(results, name)?;
    let lines = legend(results);
    let (width, height) = (SIZE.0, SIZE.1 + LINE * (lines.len() as u32 + 1));
    let (quantity, unit) = number::quantity(name);
    let title = format!("{}: {}{unit}", results.task, capital(quantity));
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\" font-family=\"system-ui, sans-serif\">\n\
         <title>{title}</title>\n<style>\n{}</style>\n<rect width=\"{width}\" height=\"{height}\" fill=\"var(--paper)\"/>\n\
         <text x=\"{}\" y=\"40\" font-size=\"38\" text-anchor=\"middle\" fill=\"var(--ink)\">{title}</text>\n",
        html::PALETTE,
        width / 2,
        title = escape(&title),
    );
    // A string takes every write.
    let mut place = |piece: &str| svg.push_str(piece);
    for (row, line) in lines.iter().enumerate() {
        let characters: usize = line.iter().map(|arm| arm.chars().count() + BETWEEN).sum();
        let mut x = (width.saturating_sub(characters as u32 * CHARACTER)) / 2;
        let y = LINE * (row as u32 + 1) + LINE / 2;
        for arm in line {
            let style = plot::style(results, arm);
            let points: Vec<String> = plot::outline(style, 12.0).iter().map(|(x, y)| format!("{x},{y}")).collect();
            let mut entry = String::new();
            write!(
                entry,
                "<polygon transform=\"translate({} {y})\" points=\"{}\" fill=\"var(--arm-{style})\"/>\n\
                 <text x=\"{}\" y=\"{}\" font-size=\"34\" fill=\"var(--ink)\">{}</text>\n",
                x + 16,
                points.join(" "),
                x + 40,
                y + 12,
                escape(arm)
            )
            .expect("a string takes every write");
            place(&entry);
            x += (arm.chars().count() + BETWEEN) as u32 * CHARACTER;
        }
    }
    let inner = plot.svg.replacen(
        "<svg ",
        &format!("<svg y=\"{}\" width=\"{}\" height=\"{}\" ", height - SIZE.1, SIZE.0, SIZE.1),
        1,
    );
    place(&inner);
    place("</svg>\n");
    Some(svg)
}

/// The arms, as many in a line as fit.
fn legend(results: &Results) -> Vec<Vec<&str>> {
    let most = (SIZE.0 / CHARACTER) as usize;
    let mut lines: Vec<Vec<&str>> = Vec::new();
    let mut used = most;
    for arm in &results.arms {
        let long = arm.name.chars().count() + BETWEEN;
        if used + long > most {
            lines.push(Vec::new());
            used = 0;
        }
        used += long;
        lines.last_mut().expect("there is a line").push(&arm.name);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample::{points, sample};

    #[test]
    fn the_picture_stands_by_itself() {
        for results in [sample(3), points(2)] {
            let svg = picture(&results).unwrap();
            assert!(svg.starts_with("<svg xmlns=") && svg.ends_with("</svg>\n"));
            assert_eq!(svg.matches("<svg ").count(), svg.matches("</svg>").count());
            assert!(svg.contains("prefers-color-scheme: dark") && svg.contains(">augmented</text>"), "{svg}");
            assert!(svg.contains(&results.task) && !svg.contains("NaN"));
        }
        let mut nothing = sample(1);
        nothing.cells.clear();
        assert_eq!(picture(&nothing), None);
    }

    #[test]
    fn no_line_of_the_legend_is_wider_than_the_picture() {
        let mut results = sample(2);
        let names = ["equivariant-augmented", "frame-averaged", "augmented-tta", "canonical"];
        let more =
            names.map(|name| crate::compare::results::ArmSummary { name: name.into(), ..results.arms[0].clone() });
        results.arms.extend(more);
        let lines = legend(&results);
        assert_eq!(lines.concat().len(), results.arms.len());
        for line in lines {
            let characters: usize = line.iter().map(|arm| arm.chars().count() + BETWEEN).sum();
            assert!(characters as u32 * CHARACTER <= SIZE.0);
        }
    }
}
