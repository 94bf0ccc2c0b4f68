//! Functions of a distance: bases of them, and cut-offs.
//!
//! `start`, `end` and distances are in the same unit, whichever it is. All functions and their derivatives are finite for all
//! finite distances: at zero, at the centres, at both ends and outside. Factors are multiplied, never divided by: Burn takes the gradient
//! of a quotient by a number in f32.

use burn::tensor::{Tensor, TensorData};
use serde::{Deserialize, Serialize};
use std::f64::consts::{FRAC_PI_2, PI};
use std::ops::Range;

use crate::error::{Error, Result};

/// Which functions a [`RadialBasis`] has, as e3nn scales them. `d` is the distance from a centre in units of the distance
/// between centres, `t = (x - start) / (end - start)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RadialFunction {
    /// `exp(-d^2) / 1.12`. Never zero, whatever the cut-off.
    Gaussian,
    /// `cos(pi d / 2)` for `|d| < 1`, otherwise 0.
    Cosine,
    /// `1.14136 e^2 s(1 + d) s(1 - d)` with the [smooth step](soft_unit_step) `s`: zero for `|d| >= 1`, with all derivatives.
    SmoothFinite,
    /// `cos(i pi t) / sqrt(1/4 + n/2)` for `i = 0, ..., n - 1`; with a cut-off `sin(i pi t) / sqrt(1/4 + n/2)` for
    /// `i = 1, ..., n` and `0 < t < 1`, otherwise 0.
    Fourier,
    /// Spherical Bessel functions of degree 0, `sqrt(2 / (end - start)) sin(i pi t) / (x - start)` for `i = 1, ..., n`; with a
    /// cut-off 0 beyond the end and before the start. (Klicpera et al.: Directional Message Passing, ICLR 2020.)
    Bessel,
}

/// `n` functions of a distance between `start` and `end`. Their squares, summed over the functions, are about 1 in the middle
/// (Bessel functions fall off instead).
///
/// ```
/// use equi_core::o3::{RadialBasis, RadialFunction};
///
/// let basis = RadialBasis::new(RadialFunction::Bessel, 0.0..5.0, 8, true)?;
/// assert_eq!(basis.number(), 8);
/// # Ok::<(), equi_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct RadialBasis {
    function: RadialFunction,
    range: Range<f64>,
    number: usize,
    cutoff: bool,
}

impl RadialBasis {
    /// With a cut-off the functions go to zero at both ends: centres lie strictly inside. Without one the first and the last
    /// centre are the ends. What it means for functions without centres, see [`RadialFunction`].
    ///
    /// # Errors
    /// [`Error::InvalidRadial`] for a range that is empty or not finite, no function, or a single centre without cut-off.
    pub fn new(function: RadialFunction, range: Range<f64>, number: usize, cutoff: bool) -> Result<Self> {
        let Range { start, end } = range;
        let refuse = |message: String| Err(Error::InvalidRadial(message));
        // Also false for what is not a number.
        if !(start < end && (end - start).is_finite()) {
            return refuse(format!("radial functions need a finite range that is not empty; {start}..{end} is not"));
        }
        if number == 0 {
            return refuse("a radial basis needs at least one function".to_owned());
        }
        let centred = !matches!(function, RadialFunction::Fourier | RadialFunction::Bessel);
        if centred && number == 1 && !cutoff {
            return refuse(
                "one centre cannot be at both ends of the range: use two functions, or a cut-off".to_owned(),
            );
        }
        Ok(Self { function, range, number, cutoff })
    }

    /// How many functions there are.
    pub fn number(&self) -> usize {
        self.number
    }

    /// The functions of distances, differentiable, in their precision.
    ///
    /// # Shapes
    /// - `distances`: `[rows, 1]`
    /// - output: `[rows, number]`
    ///
    /// # Panics
    /// If there is not one column.
    pub fn forward(&self, distances: Tensor<2>) -> Tensor<2> {
        let x = column("a radial basis", distances) - self.range.start;
        match self.function {
            RadialFunction::Gaussian => (-self.to_centres(x).square()).exp() * 1.12_f64.recip(),
            RadialFunction::Cosine => {
                let d = self.to_centres(x);
                let outside = d.clone().abs().greater_equal_elem(1.0);
                (d * FRAC_PI_2).cos().mask_fill(outside, 0.0)
            }
            RadialFunction::SmoothFinite => {
                let d = self.to_centres(x);
                soft_unit_step(d.clone() + 1.0) * soft_unit_step(-d + 1.0) * (1.14136 * 2f64.exp())
            }
            RadialFunction::Fourier => {
                let scale = (0.25 + self.number as f64 / 2.0).sqrt().recip();
                if self.cutoff {
                    let waves = self.waves(x.clone(), 1).sin() * scale;
                    self.cut(waves, x)
                } else {
                    self.waves(x, 0).cos() * scale
                }
            }
            RadialFunction::Bessel => {
                let length = self.length();
                // sin(i pi t) / (x - start) is sinc(i pi t) i pi / length.
                let heights = self.numbers(1, &x) * ((2.0 / length).sqrt() * PI / length);
                let waves = sinc(self.waves(x.clone(), 1)) * heights;
                if self.cutoff { self.cut(waves, x) } else { waves }
            }
        }
    }

    fn length(&self) -> f64 {
        self.range.end - self.range.start
    }

    /// Distances from the start, to signed distances from the centres in units of the distance between centres, `[rows, number]`.
    fn to_centres(&self, x: Tensor<2>) -> Tensor<2> {
        let (first, steps) = if self.cutoff { (1, self.number + 1) } else { (0, self.number - 1) };
        let centres = self.numbers(first, &x);
        x * (steps as f64 / self.length()) - centres
    }

    /// `i pi t`, `[rows, number]`, from `i = first` on.
    fn waves(&self, x: Tensor<2>, first: usize) -> Tensor<2> {
        let numbers = self.numbers(first, &x);
        x * (PI / self.length()) * numbers
    }

    /// Zero where the distance `x` from the start is negative, or not below the length.
    fn cut(&self, functions: Tensor<2>, x: Tensor<2>) -> Tensor<2> {
        let outside = x.clone().lower_elem(0.0).bool_or(x.greater_equal_elem(self.length()));
        functions.mask_fill(outside.repeat_dim(1, self.number), 0.0)
    }

    /// `[1, number]`: `first`, `first + 1`, ...
    fn numbers(&self, first: usize, like: &Tensor<2>) -> Tensor<2> {
        let numbers: Vec<f64> = (first..first + self.number).map(|i| i as f64).collect();
        let options = (&like.device().without_autodiff(), like.dtype());
        Tensor::from_data(TensorData::new(numbers, [1, self.number]), options)
    }
}

/// `s(x) = exp(-1 / x)` for positive `x`, otherwise 0: smooth, with all derivatives zero at 0.
pub fn soft_unit_step<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    // exp(-1000) is zero in f64; below, 1 / x^2 of the derivative would overflow before exp(-1 / x) has made it zero.
    let zero = x.clone().lower_equal_elem(1e-3);
    (-x.mask_fill(zero.clone(), 1.0).recip()).exp().mask_fill(zero, 0.0)
}

/// `sin(a) / a`, and 1 at zero.
fn sinc(a: Tensor<2>) -> Tensor<2> {
    // Beyond, the slope `cos(a) / a - sin(a) / a^2` keeps its digits. The next term of the series is a^12 / 13!, 9e-17.
    let small = a.clone().abs().lower_elem(0.3);
    let square = a.clone().mask_fill(small.clone().bool_not(), 0.0).square();
    let factors = [110.0, 72.0, 42.0, 20.0, 6.0];
    let series = factors
        .into_iter()
        .fold(square.ones_like(), |series, factor: f64| -series * square.clone() * factor.recip() + 1.0);
    let safe = a.mask_fill(small.clone(), 1.0);
    (safe.clone().sin() / safe).mask_where(small, series)
}

/// A factor that takes functions of a distance to zero at a radius, smoothly, and is zero beyond.
///
/// ```
/// use equi_core::o3::Cutoff;
///
/// let cutoff = Cutoff::polynomial(5.0, 6)?;
/// assert_eq!((cutoff.at(0.0), cutoff.at(5.0), cutoff.at(7.0)), (1.0, 0.0, 0.0));
/// # Ok::<(), equi_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cutoff {
    radius: f64,
    shape: Shape,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Shape {
    Polynomial { p: u32 },
    Xplor { onset: f64 },
}

impl Cutoff {
    /// With `t = x / radius`, `1 - (p + 1)(p + 2)/2 t^p + p (p + 2) t^(p + 1) - p (p + 1)/2 t^(p + 2)`, that is
    /// `(1 - t)^3 (1 + 3 t + 6 t^2 + ... + p (p + 1)/2 t^(p - 1))`: zero at the radius with its first and second derivative. `p` is 6 in DimeNet
    /// (Klicpera et al., ICLR 2020) and in NequIP (Batzner et al., 2022); the larger, the later it falls.
    ///
    /// # Errors
    /// [`Error::InvalidRadial`] for a radius that is not positive and finite, or `p` that is 0 or above 100.
    pub fn polynomial(radius: f64, p: u32) -> Result<Self> {
        if p == 0 {
            return Err(Error::InvalidRadial("the polynomial cut-off of order 0 is zero everywhere: use 6".to_owned()));
        }
        if p > 100 {
            return Err(Error::InvalidRadial(format!(
                "the polynomial cut-off of order {p} is a step but for rounding: use at most 100, 6 is usual"
            )));
        }
        Self::new(radius, Shape::Polynomial { p })
    }

    /// 1 up to the onset, then `(r^2 - x^2)^2 (r^2 + 2 x^2 - 3 o^2) / (r^2 - o^2)^3` with the radius `r` and the onset `o`: zero
    /// at the radius with its first derivative. The XPLOR smoothing of molecular dynamics, also SevenNet's.
    ///
    /// # Errors
    /// [`Error::InvalidRadial`] for a radius that is not positive and finite, or an onset outside `0 <= onset < radius`.
    pub fn xplor(radius: f64, onset: f64) -> Result<Self> {
        let cutoff = Self::new(radius, Shape::Xplor { onset })?;
        if !(0.0..radius).contains(&onset) {
            return Err(Error::InvalidRadial(format!(
                "a cut-off at {radius} cannot set in at {onset}: it must be at least 0 and before the radius"
            )));
        }
        Ok(cutoff)
    }

    fn new(radius: f64, shape: Shape) -> Result<Self> {
        if !(radius > 0.0 && radius.is_finite()) {
            return Err(Error::InvalidRadial(format!("a cut-off needs a positive, finite radius, not {radius}")));
        }
        Ok(Self { radius, shape })
    }

    /// Where it reaches zero.
    pub fn radius(&self) -> f64 {
        self.radius
    }

    /// The factors of distances, differentiable.
    ///
    /// # Shapes
    /// - `distances`, output: `[rows, 1]`
    ///
    /// # Panics
    /// If there is not one column.
    pub fn forward(&self, distances: Tensor<2>) -> Tensor<2> {
        let t = column("a cut-off", distances) * self.radius.recip();
        let beyond = t.clone().greater_equal_elem(1.0);
        let t = t.mask_fill(beyond.clone(), 1.0);
        let factor = match self.shape {
            Shape::Polynomial { p } => {
                // All terms are positive, so that little is left of little close to the radius.
                let last = t.ones_like() * coefficient(p - 1);
                let sum = (0..p - 1).rev().fold(last, |sum, k| sum * t.clone() + coefficient(k));
                sum * (-t + 1.0).powi_scalar(3)
            }
            Shape::Xplor { onset } => {
                let onset = (onset / self.radius).powi(2);
                let square = t.square().clamp_min(onset);
                (-square.clone() + 1.0).square() * (square * 2.0 + (1.0 - 3.0 * onset)) * (1.0 - onset).powi(-3)
            }
        };
        factor.mask_fill(beyond, 0.0)
    }

    /// The factor of one distance, on the host.
    pub fn at(&self, distance: f64) -> f64 {
        let t = distance / self.radius;
        match self.shape {
            _ if t >= 1.0 => 0.0,
            Shape::Polynomial { p } => (0..p).rev().fold(0.0, |sum, k| sum * t + coefficient(k)) * (1.0 - t).powi(3),
            Shape::Xplor { onset } => {
                let onset = (onset / self.radius).powi(2);
                let square = (t * t).max(onset);
                (1.0 - square).powi(2) * (1.0 + 2.0 * square - 3.0 * onset) / (1.0 - onset).powi(3)
            }
        }
    }
}

/// That of `t^k` in the polynomial that is multiplied by `(1 - t)^3`.
fn coefficient(k: u32) -> f64 {
    f64::from((k + 1) * (k + 2) / 2)
}

#[track_caller]
fn column(what: &str, distances: Tensor<2>) -> Tensor<2> {
    let [rows, columns] = distances.dims();
    assert_eq!(columns, 1, "{what} takes distances [rows, 1], not [{rows}, {columns}]");
    distances
}
