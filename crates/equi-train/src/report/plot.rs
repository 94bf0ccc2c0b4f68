//! The plots of the report, as inline SVG whose colours follow the page.
//!
//! Plotters writes colours as hexadecimal numbers. Each role has a number of its own here, which is replaced by a CSS
//! variable afterwards, so one drawing serves light, dark and print.

use plotters::{
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use super::{
    axis::Axis,
    digest::{is_trained, train_seconds},
    number::{self, capital},
    words::words,
};
use crate::compare::{
    results::{ArmSummary, CellStatus, Results},
    stats::mean,
};

/// Pixels of the drawing; the page shows it at half this size or less, which hides that plotters rounds to pixels.
pub(super) const SIZE: (u32, u32) = (1040, 720);
const INK: RGBColor = RGBColor(1, 1, 1);
const GRID: RGBColor = RGBColor(2, 2, 2);
const MUTED: RGBColor = RGBColor(3, 3, 3);
/// Colours and shapes for arms; more arms than this start again.
pub(super) const STYLES: usize = 8;

/// A picture with its title and the words that explain it.
pub(super) struct Plot {
    pub title: String,
    pub caption: String,
    pub svg: String,
}

/// The place of an arm in the palette: known names keep their colour from report to report.
pub(super) fn style(results: &Results, arm: &str) -> usize {
    const KNOWN: [&str; STYLES] = [
        "equivariant",
        "augmented",
        "plain",
        "equivariant-augmented",
        "linear",
        "canonical",
        "augmented-tta",
        "frame-averaged",
    ];
    KNOWN
        .iter()
        .position(|&known| known == arm)
        .unwrap_or_else(|| results.arms.iter().position(|other| other.name == arm).unwrap_or(0) % STYLES)
}

/// The outline of a marker of about this radius: circle, square, triangle, diamond, inverted triangle, cross, star, hexagon.
pub(super) fn outline(style: usize, radius: f64) -> Vec<(i32, i32)> {
    let polygon = |corners: u32, first: f64, radius: f64| -> Vec<(f64, f64)> {
        (0..corners)
            .map(|corner| {
                let angle = first + std::f64::consts::TAU * f64::from(corner) / f64::from(corners);
                (radius * angle.cos(), radius * angle.sin())
            })
            .collect()
    };
    let quarter = std::f64::consts::FRAC_PI_2;
    let points = match style % STYLES {
        0 => polygon(32, 0.0, radius),
        1 => polygon(4, quarter / 2.0, 1.25 * radius),
        2 => polygon(3, -quarter, 1.3 * radius),
        3 => polygon(4, 0.0, 1.3 * radius),
        4 => polygon(3, quarter, 1.3 * radius),
        6 => {
            let (outer, inner) =
                (polygon(5, -quarter, 1.4 * radius), polygon(5, -quarter + 0.2 * quarter * 2.0, 0.6 * radius));
            outer.into_iter().zip(inner).flat_map(|(tip, dent)| [tip, dent]).collect()
        }
        7 => polygon(6, 0.0, 1.15 * radius),
        _ => {
            let (long, short) = (1.15 * radius, 0.4 * radius);
            let arm = [(short, -short), (long, -short), (long, short)];
            (0..4)
                .flat_map(|turn| {
                    arm.map(|(x, y)| match turn {
                        0 => (x, y),
                        1 => (-y, x),
                        2 => (-x, -y),
                        _ => (y, -x),
                    })
                })
                .collect()
        }
    };
    points.into_iter().map(|(x, y)| (x.round() as i32, y.round() as i32)).collect()
}

/// Test metric against training-set size.
pub(super) fn learning(results: &Results, name: &str) -> Option<Plot> {
    let sizes = results.sizes();
    let values = results.cells.iter().filter_map(|cell| cell.value());
    let y = Axis::metric(name, values)?;
    let x = Axis::log(sizes.iter().map(|&size| size as f64), 0.12)?
        .with_ticks(sizes.iter().map(|&size| (size as f64, number::count(size as u64))).collect());
    let mut marks = Vec::new();
    for (place, arm) in results.arms.iter().enumerate() {
        let colour = style(results, &arm.name);
        let beside = dodge(place, results.arms.len(), x.length() * 0.012);
        let mut line = Vec::new();
        for &size in &sizes {
            let at = x.at(size as f64) + beside;
            let values = results.values(&arm.name, size);
            for &value in &values {
                marks.push(Mark::dot(at, y.at(value), colour));
            }
            if values.len() > 1 {
                let (low, high) =
                    values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), &v| (l.min(v), h.max(v)));
                marks.push(Mark::line(vec![(at, y.at(low)), (at, y.at(high))], Paint::Arm(colour), 3));
            }
            if results.at(&arm.name, size).any(|cell| cell.status.is_lost()) {
                marks.push(Mark::Cross { at: (at, y.range.end), colour });
            }
            line.extend(mean(&values).map(|mean| (at, y.at(mean))));
        }
        marks.extend(line.iter().map(|&at| Mark::Marker { at, colour }));
        marks.push(Mark::line(line, Paint::Arm(colour), 4));
    }
    let (quantity, unit) = number::quantity(name);
    Some(Plot {
        title: format!("{} against training samples", capital(&with_unit(quantity, unit))),
        caption: "Shapes are means over the seeds, dots are single seeds, bars reach from the lowest to the highest. \
                  Arms are set a little apart so that they do not hide each other. A cross at the upper edge marks a \
                  size at which a network diverged or panicked."
            .into(),
        svg: draw(&x, &y, "training samples", &marks),
    })
}

/// Metric against forward cost, at the largest size that has results.
pub(super) fn flops(results: &Results, name: &str) -> Option<Plot> {
    let size = results.cells.iter().filter(|cell| cell.value().is_some()).map(|cell| cell.train_size).max()?;
    let y = Axis::metric(
        name,
        results.cells.iter().filter(|cell| cell.train_size == size && cell.steps > 0).filter_map(|cell| cell.value()),
    )?;
    let mega = |flops: u64| flops as f64 / 1e6;
    let arms: Vec<&ArmSummary> = results.arms.iter().filter(|arm| is_trained(results, &arm.name)).collect();
    let x = Axis::fitting_wide(arms.iter().map(|arm| mega(arm.test_flops())), number::tick)?;
    let mut marks = Vec::new();
    for (place, arm) in arms.iter().enumerate() {
        let colour = style(results, &arm.name);
        let at = x.at(mega(arm.test_flops())) + dodge(place, arms.len(), x.length() * 0.012);
        let values = results.values(&arm.name, size);
        marks.extend(values.iter().map(|&value| Mark::dot(at, y.at(value), colour)));
        marks.extend(mean(&values).map(|mean| Mark::Marker { at: (at, y.at(mean)), colour }));
    }
    let (quantity, unit) = number::quantity(name);
    Some(Plot {
        title: format!("{} against cost in tests", capital(&with_unit(quantity, unit))),
        caption: format!(
            "With {} training samples. MFLOPs of one sample in tests, two per multiply-add, counted layer by layer, all forward passes.",
            number::count(size as u64)
        ),
        svg: draw(&x, &y, "MFLOPs a test sample", &marks),
    })
}

/// Metric against training time.
pub(super) fn seconds(results: &Results, name: &str) -> Option<Plot> {
    let sizes = results.sizes();
    let points: Vec<(usize, Vec<(f64, f64)>)> = results
        .arms
        .iter()
        .filter(|arm| is_trained(results, &arm.name))
        .map(|arm| {
            let line = sizes.iter().filter_map(|&size| {
                Some((train_seconds(results, &arm.name, size)?, mean(&results.values(&arm.name, size))?))
            });
            (style(results, &arm.name), line.collect())
        })
        .collect();
    let all = || points.iter().flat_map(|(_, line)| line);
    let x = Axis::fitting_wide(all().map(|point| point.0), number::tick)?;
    let y = Axis::metric(name, all().map(|point| point.1))?;
    let mut marks = Vec::new();
    for (colour, line) in &points {
        let line: Vec<_> = line.iter().map(|&(seconds, value)| (x.at(seconds), y.at(value))).collect();
        marks.extend(line.iter().map(|&at| Mark::Marker { at, colour: *colour }));
        marks.push(Mark::line(line, Paint::Arm(*colour), 4));
    }
    let (quantity, unit) = number::quantity(name);
    Some(Plot {
        title: format!("{} against training time", capital(&with_unit(quantity, unit))),
        caption:
            "Means over the seeds, in wall-clock seconds for one network; every line goes through the training-set \
                  sizes in order. Lower and further left is better."
                .into(),
        svg: draw(&x, &y, "seconds of training", &marks),
    })
}

/// Equivariance errors: exact symmetries before and after training, and 45 degrees beside the resampling floor.
pub(super) fn equivariance(results: &Results) -> Option<Plot> {
    let words = words(results.domain);
    let columns: Vec<_> = words.errors.iter().filter_map(|column| Some((column.plot?, column.pick))).collect();
    let errors =
        || results.cells.iter().filter_map(|cell| Some((cell.arm.as_str(), cell.equivariance_error.as_ref()?)));
    let positive = |value: f64| value.is_finite() && value > 0.0;
    let floors: Vec<f64> =
        errors().filter_map(|(_, error)| error.resampling_floor_45).filter(|&floor| positive(floor)).collect();
    let values = errors()
        .flat_map(|(_, error)| columns.iter().filter_map(|(_, pick)| pick(error)))
        .filter(|&value| positive(value));
    let y = Axis::log(values.chain(floors.iter().copied()), 0.08)?.with_decades();
    let x = Axis {
        // The floor, where there is one, is named at the right.
        range: -0.5..columns.len() as f64 + if floors.is_empty() { -0.5 } else { 0.2 },
        log: false,
        ticks: columns.iter().enumerate().map(|(i, (name, _))| (i as f64, (*name).into())).collect(),
    };
    let mut marks = Vec::new();
    if let Some(floor) = mean(&floors).map(|floor| y.at(floor)) {
        marks.push(Mark::line(vec![(1.55, floor), (2.45, floor)], Paint::Muted, 4));
        marks.push(Mark::Text { at: (2.5, floor), text: "resampling\nalone".into() });
    }
    for (place, arm) in results.arms.iter().enumerate() {
        let colour = style(results, &arm.name);
        for (place_of_column, (_, pick)) in columns.iter().enumerate() {
            let at = place_of_column as f64 + dodge(place, results.arms.len(), 0.6 / results.arms.len().max(1) as f64);
            for value in results.of_arm(&arm.name).filter_map(|cell| pick(cell.equivariance_error.as_ref()?)) {
                if value == 0.0 {
                    marks.push(Mark::Marker { at: (at, y.range.start), colour });
                } else if positive(value) {
                    marks.push(Mark::Marker { at: (at, y.at(value)), colour });
                } else {
                    marks.push(Mark::Cross { at: (at, y.range.end), colour });
                }
            }
        }
    }
    Some(Plot {
        title: "Relative equivariance error".into(),
        caption: format!(
            "One shape per network, before and after training. {} A shape on the lower edge is an error of exactly 0, a cross \
             at the upper edge one that is not finite.",
            words.plot_note
        ),
        svg: draw(&x, &y, "", &marks),
    })
}

/// Validation error by epoch, one plot per training-set size.
pub(super) fn validation(results: &Results, name: &str) -> Vec<Plot> {
    results.sizes().into_iter().filter_map(|size| validation_at(results, name, size)).collect()
}

fn validation_at(results: &Results, name: &str, size: usize) -> Option<Plot> {
    let cells = || results.cells.iter().filter(|cell| cell.train_size == size);
    let y = Axis::metric(name, cells().flat_map(|cell| cell.validation_curve.iter().copied()))?;
    let epochs = cells().map(|cell| cell.validation_curve.len()).max()?;
    let x = Axis::linear([1.0, epochs.max(2) as f64].into_iter(), 0.0, |epoch| format!("{epoch:.0}"))?;
    let mut marks = Vec::new();
    for cell in cells() {
        let colour = style(results, &cell.arm);
        let line: Vec<(f64, f64)> = cell
            .validation_curve
            .iter()
            .enumerate()
            .filter(|(_, value)| value.is_finite() && (!y.log || **value > 0.0))
            .map(|(epoch, &value)| (x.at(epoch as f64 + 1.0), y.at(value)))
            .collect();
        match cell.status {
            CellStatus::Diverged => marks.extend(line.last().map(|&at| Mark::Cross { at, colour })),
            // It has no curve.
            CellStatus::Panicked => {}
            CellStatus::Done => {
                let best = cell.best_epoch.checked_sub(1).and_then(|epoch| cell.validation_curve.get(epoch));
                let best = best.filter(|value| value.is_finite() && (!y.log || **value > 0.0));
                marks.extend(
                    best.map(|&value| Mark::Marker { at: (x.at(cell.best_epoch as f64), y.at(value)), colour }),
                );
            }
        }
        marks.push(Mark::line(line, Paint::Arm(colour), 3));
    }
    let (quantity, unit) = number::quantity(name);
    let quantity = format!("Validation {}", quantity.strip_prefix("test ").unwrap_or(quantity));
    Some(Plot {
        title: format!("{} with {} training samples", with_unit(&quantity, unit), number::count(size as u64)),
        caption:
            "One line a seed; the shape is the epoch whose weights were tested, a cross the end of a network that \
                  diverged."
                .into(),
        svg: draw(&x, &y, "epoch", &marks),
    })
}

fn with_unit(quantity: &str, unit: &str) -> String {
    if unit.is_empty() { quantity.into() } else { format!("{quantity} ({})", unit.trim()) }
}

/// The offset of one arm among several that share a place.
fn dodge(place: usize, arms: usize, step: f64) -> f64 {
    (place as f64 - (arms as f64 - 1.0) / 2.0) * step
}

#[derive(Clone, Copy)]
enum Paint {
    Arm(usize),
    Muted,
}

impl Paint {
    fn colour(self) -> RGBColor {
        match self {
            Paint::Arm(style) => RGBColor(0x10 + style as u8, 0, 0),
            Paint::Muted => MUTED,
        }
    }
}

/// Something in a plot, in coordinates of the drawing.
enum Mark {
    Line { points: Vec<(f64, f64)>, paint: Paint, width: u32 },
    Dot { at: (f64, f64), colour: usize },
    Marker { at: (f64, f64), colour: usize },
    Cross { at: (f64, f64), colour: usize },
    Text { at: (f64, f64), text: String },
}

impl Mark {
    fn line(points: Vec<(f64, f64)>, paint: Paint, width: u32) -> Self {
        Mark::Line { points, paint, width }
    }

    fn dot(x: f64, y: f64, colour: usize) -> Self {
        Mark::Dot { at: (x, y), colour }
    }
}

fn draw(x: &Axis, y: &Axis, x_name: &str, marks: &[Mark]) -> String {
    let mut svg = String::new();
    // A string takes every write; what else could fail is a range without length, and `Axis` makes none.
    draw_into(&mut svg, x, y, x_name, marks).expect("drawing into a string does not fail");
    follow_the_page(svg)
}

type Drawn<'a> = Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>;

fn draw_into<'a>(svg: &'a mut String, x: &Axis, y: &Axis, x_name: &str, marks: &[Mark]) -> Drawn<'a> {
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    let text = |colour: RGBColor| ("sans-serif", 40).into_font().color(&colour);
    let widest = y.ticks.iter().map(|tick| tick.1.chars().count()).max().unwrap_or(0) as u32;
    let mut chart = ChartBuilder::on(&area)
        .margin(14)
        .margin_right(30)
        .x_label_area_size(if x_name.is_empty() { 66 } else { 112 })
        .y_label_area_size(38 + 20 * widest)
        .build_cartesian_2d(x.clone(), y.clone())?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID.stroke_width(2))
        .axis_style(MUTED.stroke_width(2))
        .set_all_tick_mark_size(8)
        .label_style(text(INK))
        .axis_desc_style(text(INK))
        .x_desc(x_name)
        .draw()?;
    for mark in marks {
        match mark {
            Mark::Line { points, paint, width } => {
                chart.draw_series([PathElement::new(points.clone(), paint.colour().stroke_width(*width))])?;
            }
            Mark::Dot { at, colour } => {
                chart.draw_series([Circle::new(*at, 6, Paint::Arm(*colour).colour().mix(0.55).filled())])?;
            }
            Mark::Marker { at, colour } => {
                let shape = Polygon::new(outline(*colour, 12.0), Paint::Arm(*colour).colour().filled());
                chart.draw_series([EmptyElement::at(*at) + shape])?;
            }
            Mark::Cross { at, colour } => {
                let stroke = Paint::Arm(*colour).colour().stroke_width(5);
                chart.draw_series([EmptyElement::at(*at)
                    + PathElement::new([(-12, -12), (12, 12)], stroke)
                    + PathElement::new([(-12, 12), (12, -12)], stroke)])?;
            }
            Mark::Text { at, text: words } => {
                let style = ("sans-serif", 36).into_font().color(&INK).pos(Pos::new(HPos::Left, VPos::Center));
                let lines: Vec<&str> = words.lines().collect();
                for (place, line) in lines.iter().enumerate() {
                    let below = 36.0 * (place as f64 - (lines.len() as f64 - 1.0) / 2.0);
                    let text = Text::new(line.to_string(), (0, below as i32), style.clone());
                    chart.draw_series([EmptyElement::at(*at) + text])?;
                }
            }
        }
    }
    area.present()
}

/// Colours by role instead of by number, the page's font, and a size that the page decides.
fn follow_the_page(svg: String) -> String {
    let mut svg = svg
        .replacen(&format!(r#"width="{}" height="{}" "#, SIZE.0, SIZE.1), r#"role="img" "#, 1)
        .replace(r#" font-family="sans-serif""#, "")
        .replace("#010101", "var(--ink)")
        .replace("#020202", "var(--grid)")
        .replace("#030303", "var(--muted)");
    for style in 0..STYLES {
        svg = svg.replace(&format!("#{:02X}0000", 0x10 + style), &format!("var(--arm-{style})"));
    }
    svg
}

#[cfg(test)]
mod tests {
    use super::{super::sample::*, *};

    #[test]
    fn every_colour_follows_the_page() {
        let results = sample(2);
        let plots = [
            learning(&results, "test error %"),
            flops(&results, "test error %"),
            seconds(&results, "test error %"),
            equivariance(&results),
        ];
        for plot in plots.into_iter().map(Option::unwrap).chain(validation(&results, "test error %")) {
            assert!(!plot.svg.contains("\"#"), "a fixed colour is left in {}: {}", plot.title, plot.svg);
            assert!(plot.svg.contains("var(--arm-0)") && plot.svg.contains("var(--arm-2)"), "{}", plot.title);
            assert!(!plot.svg.contains("NaN") && !plot.svg.contains("inf"), "{}", plot.title);
        }
    }

    #[test]
    fn plots_of_broken_results_are_drawn_or_absent() {
        let mut results = sample(1);
        diverge(&mut results.cells[0]);
        crash(&mut results.cells[1]);
        results.cells[4].equivariance_error.as_mut().unwrap().exact = Some(f64::NAN);
        results.cells[5].equivariance_error.as_mut().unwrap().exact = Some(0.0);
        results.cells[5].metric.as_mut().unwrap().value = 0.0;
        assert!(learning(&results, "test error %").is_some() && equivariance(&results).is_some());
        // One size, one value: an axis without length.
        results.cells.truncate(1);
        results.cells[0] = sample(1).cells.remove(0);
        for plot in [learning(&results, "m"), flops(&results, "m"), seconds(&results, "m"), equivariance(&results)] {
            assert!(!plot.unwrap().svg.contains("NaN"));
        }
        diverge(&mut results.cells[0]);
        assert!(
            learning(&results, "m").is_none() && equivariance(&results).is_none() && flops(&results, "m").is_none()
        );
        results.cells.clear();
        assert!(validation(&results, "m").is_empty());
    }

    #[test]
    fn a_lost_network_leaves_a_cross_at_its_size_and_a_diverged_one_another_where_its_curve_ends() {
        // A cross is two strokes of this width, which nothing else has.
        let crosses = |svg: &str| svg.matches("stroke-width=\"5\"").count() / 2;
        let mut results = sample(2);
        assert_eq!(crosses(&learning(&results, "test error %").unwrap().svg), 0);
        diverge(&mut results.cells[0]);
        crash(&mut results.cells[2]);
        let plot = learning(&results, "test error %").unwrap();
        assert_eq!(crosses(&plot.svg), 2);
        assert!(plot.caption.ends_with("a network diverged or panicked."), "{}", plot.caption);
        let ends: Vec<usize> = validation(&results, "test error %").iter().map(|plot| crosses(&plot.svg)).collect();
        assert_eq!(ends, [1, 0, 0]);
    }

    #[test]
    fn what_was_not_trained_has_no_place_among_the_costs() {
        let results = points(2);
        let curve = learning(&results, "test MSE").unwrap();
        assert_eq!(curve.title, "Test MSE against training samples");
        let linear = format!("var(--arm-{})", style(&results, "linear"));
        assert!(curve.svg.contains(&linear));
        for plot in [flops(&results, "test MSE").unwrap(), seconds(&results, "test MSE").unwrap()] {
            assert!(
                !plot.svg.contains(&linear) && !plot.svg.contains("NaN") && !plot.svg.contains("inf"),
                "{}",
                plot.title
            );
        }
        assert!(equivariance(&results).unwrap().svg.contains("after training"));
        assert_eq!(validation(&results, "test MSE")[0].title, "Validation MSE with 100 training samples");
    }
}
