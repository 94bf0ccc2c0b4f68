//! The plots: time against size, both logarithmic. One drawing serves light and dark pages: no background, and inks whose contrast is above 4
//! to white and to black pages alike.

use std::error::Error;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::curve::{Curve, Point};

const SIZE: (u32, u32) = (920, 560);
const INK: RGBColor = RGBColor(0x77, 0x77, 0x77);
const COLOURS: [RGBColor; 3] = [RGBColor(0x2f, 0x7f, 0xc4), RGBColor(0xc4, 0x61, 0x15), RGBColor(0x2b, 0x88, 0x55)];

#[derive(Clone, Copy, PartialEq)]
enum Mark {
    Full,
    Open,
    Dashes,
}

/// Milliseconds of the three lines of a curve: forward passes with full marks, with the backward pass open ones, the limit dashed.
fn series(point: &Point) -> [f64; 3] {
    [point.forward, point.backward, point.limit].map(|seconds| 1e3 * seconds)
}

fn milliseconds(value: f64) -> String {
    if (0.01..1e4).contains(&value) { format!("{value}") } else { format!("{value:.0e}") }
}

/// The curves of one plot, as SVG.
pub fn draw(curves: &[&Curve]) -> Result<String, Box<dyn Error>> {
    let mut svg = String::new();
    draw_into(&mut svg, curves).map_err(|error| error.to_string())?;
    Ok(svg.replacen("<svg ", "<svg role=\"img\" ", 1))
}

fn draw_into(svg: &mut String, curves: &[&Curve]) -> Result<(), Box<dyn Error>> {
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let sizes: Vec<f64> = points().map(|p| p.size as f64).collect();
    let times: Vec<f64> = points().flat_map(series).collect();
    let extent = |values: &[f64]| values.iter().fold((f64::INFINITY, 0.0_f64), |(a, b), &v| (a.min(v), b.max(v)));
    let ((left, right), (low, high)) = (extent(&sizes), extent(&times));
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    let text = |size: i32| ("sans-serif", size).into_font().color(&INK);
    let mut chart = ChartBuilder::on(&area)
        .margin(12)
        .margin_right(56)
        .margin_top(20 + 30 * (curves.len() as i32 + 1))
        .x_label_area_size(64)
        .y_label_area_size(92)
        .build_cartesian_2d(
            (left / 1.15..right * 1.15).log_scale().with_key_points(key_points(&sizes)),
            (low / 1.6..high * 1.6).log_scale(),
        )?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .bold_line_style(INK.mix(0.35).stroke_width(1))
        .light_line_style(TRANSPARENT)
        .axis_style(INK.stroke_width(1))
        .label_style(text(22))
        .axis_desc_style(text(22))
        .x_label_formatter(&|x| count(*x))
        .y_label_formatter(&|y| milliseconds(*y))
        .x_desc(curves[0].axis)
        .y_desc("ms")
        .draw()?;
    for (curve, colour) in curves.iter().zip(COLOURS.iter().cycle()) {
        for (place, mark) in [Mark::Full, Mark::Open, Mark::Dashes].into_iter().enumerate() {
            let line = curve.points.iter().map(|p| (p.size as f64, series(p)[place]));
            let width = if mark == Mark::Full { 3 } else { 2 };
            if mark == Mark::Dashes {
                chart.draw_series(DashedLineSeries::new(line, 7, 6, colour.stroke_width(width)))?;
                continue;
            }
            chart.draw_series(LineSeries::new(line.clone(), colour.stroke_width(width)))?;
            let style = if mark == Mark::Full { colour.filled() } else { colour.stroke_width(2) };
            chart.draw_series(line.map(|at| Circle::new(at, 6, style)))?;
        }
    }
    // The names, above the plot.
    let named = text(22).pos(Pos::new(HPos::Left, VPos::Center));
    for (place, (curve, colour)) in curves.iter().zip(COLOURS.iter().cycle()).enumerate() {
        let y = 28 + 30 * place as i32;
        area.draw(&PathElement::new([(104, y), (144, y)], colour.stroke_width(3)))?;
        area.draw(&Circle::new((124, y), 6, colour.filled()))?;
        area.draw(&Text::new(curve.name, (158, y), named.clone()))?;
    }
    let y = 28 + 30 * curves.len() as i32;
    area.draw(&Circle::new((110, y), 6, INK.filled()))?;
    area.draw(&Text::new("forward", (124, y), named.clone()))?;
    area.draw(&Circle::new((238, y), 6, INK.stroke_width(2)))?;
    area.draw(&Text::new("forward and backward", (252, y), named.clone()))?;
    for start in [492, 505, 518] {
        area.draw(&PathElement::new([(start, y), (start + 7, y)], INK.stroke_width(2)))?;
    }
    area.draw(&Text::new("limit of a forward pass", (534, y), named))?;
    area.present()?;
    Ok(())
}

/// Sizes, each once: those that are named on the axis.
fn key_points(sizes: &[f64]) -> Vec<f64> {
    let mut sizes = sizes.to_vec();
    sizes.sort_by(f64::total_cmp);
    sizes.dedup();
    sizes
}

fn count(x: f64) -> String {
    let digits = format!("{x:.0}");
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|g| std::str::from_utf8(g).expect("digits")).collect();
    groups.join(",")
}
