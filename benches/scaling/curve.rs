//! Times against sizes: slopes, JSON, and the page that shows them.

use std::fmt;

use serde_json::{Value, json};

use crate::machine::Machine;
use crate::works::Plot;

/// A size, and what was measured and counted there.
pub struct Point {
    pub size: usize,
    /// Medians, in seconds.
    pub forward: f64,
    pub backward: f64,
    /// Counted, of a forward pass.
    pub flops: f64,
    pub bytes: f64,
    /// Seconds that a forward pass takes at least.
    pub limit: f64,
    /// Whether that is because of memory.
    pub by_memory: bool,
}

/// One kind of work at all its sizes.
pub struct Curve {
    pub plot: &'static str,
    pub name: &'static str,
    pub axis: &'static str,
    pub points: Vec<Point>,
}

/// Of the line through the logarithms, by least squares.
pub fn slope(points: &[(f64, f64)]) -> f64 {
    let logs: Vec<(f64, f64)> = points.iter().map(|(x, y)| (x.ln(), y.ln())).collect();
    let mean = |of: fn(&(f64, f64)) -> f64| logs.iter().map(of).sum::<f64>() / logs.len() as f64;
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    let (above, below) = logs
        .iter()
        .fold((0.0, 0.0), |(above, below), p| (above + (p.0 - x) * (p.1 - y), below + (p.0 - x) * (p.0 - x)));
    above / below
}

impl Curve {
    /// Of a quantity of its points.
    pub fn slope(&self, of: impl Fn(&Point) -> f64) -> f64 {
        slope(&self.points.iter().map(|point| (point.size as f64, of(point))).collect::<Vec<_>>())
    }

    /// The same of the larger half, where fixed costs weigh less.
    fn slope_of_large(&self, of: impl Fn(&Point) -> f64) -> f64 {
        let from = (self.points.len() / 2).min(self.points.len() - 2);
        slope(&self.points[from..].iter().map(|point| (point.size as f64, of(point))).collect::<Vec<_>>())
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let [forward, backward, limit] = [self.forward, self.backward, self.limit].map(|seconds| 1e3 * seconds);
        let by = if self.by_memory { "memory" } else { "arithmetic" };
        write!(f, "{:>8}: {forward:9.3} ms, with backward {backward:9.3} ms; limit {limit:8.3} ms by {by}", self.size)
    }
}

pub fn json(machine: &Machine, curves: &[Curve]) -> Value {
    let point = |p: &Point| {
        json!({
            "size": p.size, "forward_seconds": p.forward, "forward_and_backward_seconds": p.backward, "flops": p.flops,
            "bytes": p.bytes, "limit_seconds": p.limit, "limited_by": if p.by_memory { "memory" } else { "arithmetic" },
        })
    };
    let curve = |c: &Curve| {
        json!({
            "plot": c.plot, "work": c.name, "axis": c.axis, "points": c.points.iter().map(point).collect::<Vec<_>>(),
            "slope_forward": c.slope(|p| p.forward), "slope_forward_and_backward": c.slope(|p| p.backward),
            "slope_limit": c.slope(|p| p.limit), "slope_forward_larger_half": c.slope_of_large(|p| p.forward),
            "slope_limit_larger_half": c.slope_of_large(|p| p.limit),
        })
    };
    json!({ "schema": 1, "machine": machine.json(), "curves": curves.iter().map(curve).collect::<Vec<_>>() })
}

/// Three figures.
fn figures(value: f64) -> String {
    let digits = 2 - (value.abs().log10().floor() as i32).clamp(-3, 2);
    format!("{value:.*}", digits as usize)
}

/// Markdown.
pub fn page(machine: &Machine, plots: &[Plot], curves: &[Curve]) -> String {
    let mut page = format!(
        "# How cost grows\n\nWritten by `cargo bench --bench scaling`.\n{machine}.\n\n\
         Medians. A slope is that of the line through the logarithms of the larger half of the sizes: 1 where twice the size costs twice the \
         time. The limit of a forward pass is the larger of its operations at the speed of the matrix product and its bytes at that of \
         memory; operations are those of the layer as documented, bytes its inputs, weights and outputs once each.\n"
    );
    for plot in plots {
        page += &format!("\n## {}\n\n![Time against {}]({}.svg)\n\n", plot.title, plot.axis, plot.name);
        page += "| work | slope, forward | with backward | limit | at the largest: ms, forward | with backward | limit | reached |\n";
        page += "|---|---|---|---|---|---|---|---|\n";
        for curve in curves.iter().filter(|curve| curve.plot == plot.name) {
            let last = curve.points.last().expect("every curve has points");
            let [forward, backward, limit] =
                [last.forward, last.backward, last.limit].map(|seconds| figures(1e3 * seconds));
            page += &format!(
                "| {} | {:.2} | {:.2} | {:.2} | {forward} | {backward} | {limit}, {} | {:.0} % |\n",
                curve.name,
                curve.slope_of_large(|p| p.forward),
                curve.slope_of_large(|p| p.backward),
                curve.slope_of_large(|p| p.limit),
                if last.by_memory { "memory" } else { "arithmetic" },
                100.0 * last.limit / last.forward,
            );
        }
        for work in plot.works {
            page += &format!("\n- {}: {}.", work.name, work.shapes);
        }
        page.push('\n');
    }
    page
}
