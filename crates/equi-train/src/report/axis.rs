//! Axes of plots: their range, and round numbers to label them with.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

use super::number;

/// One direction of a plot. Coordinates of the drawing are the values, or their decimal logarithms.
#[derive(Clone)]
pub(super) struct Axis {
    pub range: Range<f64>,
    pub log: bool,
    /// Coordinates and labels.
    pub ticks: Vec<(f64, String)>,
}

impl Axis {
    pub fn at(&self, value: f64) -> f64 {
        if self.log { value.log10() } else { value }
    }

    pub fn length(&self) -> f64 {
        self.range.end - self.range.start
    }

    /// Logarithmic when the values span more than a factor of 5 and none is 0, linear from 0 otherwise.
    pub fn fitting(values: impl Iterator<Item = f64>, label: impl Fn(f64) -> String) -> Option<Self> {
        let values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
        let (low, high) = extent(values.iter().copied())?;
        if low > 0.0 && high / low > 5.0 {
            Self::log(values.into_iter(), 0.06).map(|axis| axis.with_steps(label))
        } else {
            Self::linear(values.into_iter().chain([0.0]), 0.06, label)
        }
    }

    /// For a metric: percentages as they fit, all others by their ratios.
    pub fn metric(name: &str, values: impl Iterator<Item = f64>) -> Option<Self> {
        if name.ends_with('%') {
            Self::fitting(values, number::tick)
        } else {
            Self::log(values.filter(|&value| value > 0.0), 0.06).map(|axis| axis.with_steps(number::tick))
        }
    }

    /// Logarithmic with room at both ends, for quantities whose ratio matters.
    pub fn fitting_wide(values: impl Iterator<Item = f64>, label: impl Fn(f64) -> String) -> Option<Self> {
        Self::log(values.filter(|&value| value > 0.0), 0.12).map(|axis| axis.with_steps(label))
    }

    pub fn linear(values: impl Iterator<Item = f64>, margin: f64, label: impl Fn(f64) -> String) -> Option<Self> {
        let (low, high) = extent(values)?;
        let length = if high > low { high - low } else { 1.0 };
        let step = nice(length / 5.0);
        let range =
            if low == 0.0 { 0.0..high + margin * length } else { low - margin * length..high + margin * length };
        let ticks = ((range.start / step).ceil() as i64..=(range.end / step).floor() as i64)
            .map(|i| (i as f64 * step, label(i as f64 * step)))
            .collect();
        Some(Self { range, log: false, ticks })
    }

    pub fn log(values: impl Iterator<Item = f64>, margin: f64) -> Option<Self> {
        let (low, high) = extent(values.filter(|&value| value > 0.0))?;
        let (low, high) = (low.log10(), high.log10());
        let room = margin * (high - low).max(0.5);
        Some(Self { range: low - room..high + room, log: true, ticks: Vec::new() })
    }

    pub fn with_ticks(mut self, values: Vec<(f64, String)>) -> Self {
        self.ticks = values.into_iter().map(|(value, label)| (self.at(value), label)).collect();
        self
    }

    /// Ticks at 1, 2 and 5 times the powers of ten, at the powers alone where they suffice, or closer where they do not.
    pub fn with_steps(self, label: impl Fn(f64) -> String) -> Self {
        let factors: &[f64] = match self.length() {
            2.5.. => &[1.0],
            0.9.. => &[1.0, 2.0, 5.0],
            _ => &[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0],
        };
        let decades = self.range.start.floor() as i32..=self.range.end.ceil() as i32;
        let values = decades.flat_map(|decade| factors.iter().map(move |factor| factor * 10f64.powi(decade)));
        let inside: Vec<(f64, String)> =
            values.filter(|value| self.range.contains(&value.log10())).map(|value| (value, label(value))).collect();
        self.with_ticks(inside)
    }

    /// Ticks at powers of ten, every second one when there are many.
    pub fn with_decades(self) -> Self {
        let step = if self.length() > 6.0 { 2 } else { 1 };
        let decades = self.range.start.ceil() as i32..=self.range.end.floor() as i32;
        let ticks = decades
            .filter(|decade| decade % step == 0)
            .map(|decade| (10f64.powi(decade), format!("10{}", number::superscript(&decade.to_string()))))
            .collect();
        self.with_ticks(ticks)
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, coordinate: &f64, (first, last): (i32, i32)) -> i32 {
        let fraction = (coordinate - self.range.start) / self.length();
        first + (fraction * f64::from(last - first)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.ticks.iter().map(|tick| tick.0).collect()
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, coordinate: &f64) -> String {
        let own = self.ticks.iter().find(|tick| tick.0 == *coordinate);
        own.map(|tick| tick.1.clone()).unwrap_or_default()
    }
}

fn extent(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.filter(|value| value.is_finite()).fold(None, |extent, value| match extent {
        None => Some((value, value)),
        Some((low, high)) => Some((low.min(value), high.max(value))),
    })
}

/// The nearest of 1, 2, 5 times a power of ten that is not smaller.
fn nice(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    [1.0, 2.0, 5.0].into_iter().map(|factor| factor * power).find(|&nice| nice >= step * 0.999).unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        let labels = |axis: &Axis| axis.ticks.iter().map(|tick| tick.1.clone()).collect::<Vec<_>>();
        assert_eq!(labels(&Axis::fitting([4.0, 62.0].into_iter(), number::tick).unwrap()), ["5", "10", "20", "50"]);
        assert_eq!(
            labels(&Axis::fitting([4.0, 9.0].into_iter(), |v| format!("{v}")).unwrap()),
            ["0", "2", "4", "6", "8"]
        );
        let errors = Axis::log([2e-7, 1.3].into_iter(), 0.08).unwrap().with_decades();
        assert_eq!(labels(&errors), ["10⁻⁶", "10⁻⁴", "10⁻²", "10⁰"]);
    }
}
