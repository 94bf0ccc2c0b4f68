//! The grid a kernel is sampled on: points, Gaussian rings and their frequency cut-offs.

use serde::{Deserialize, Serialize};

use super::sampled::harmonics;
use crate::error::{Error, Result};

/// How high an angular frequency a ring of the kernel may carry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Cutoff {
    /// escnn's default: at radius `r` up to `2 r - ((r + 1) mod 2)`, on the outermost ring 2, at the centre 0.
    #[default]
    Standard,
    /// As [`Standard`](Self::Standard), with 1 on the outermost ring (escnn's `-2`).
    Conservative,
    /// At most 2, 1 on the outermost ring, 0 at the centre (escnn's `-3`).
    Strict,
    /// Proportional to the radius: at radius `r` up to `factor * r`.
    Proportional(f64),
}

impl Cutoff {
    /// The highest frequency at radius `r` (in pixels) of a kernel whose half size is `outermost`.
    fn at(self, r: f64, outermost: f64) -> f64 {
        let on_outermost = r == outermost;
        let by_circumference = 2.0 * r - (r + 1.0).rem_euclid(2.0);
        match self {
            Self::Proportional(factor) => factor * r,
            _ if r == 0.0 => 0.0,
            Self::Standard => (2.0 * r).min(if on_outermost { 2.0 } else { by_circumference }),
            Self::Conservative => (2.0 * r).min(if on_outermost { 1.0 } else { by_circumference }),
            Self::Strict => {
                if on_outermost {
                    1.0
                } else {
                    2.0
                }
            }
        }
    }
}

/// The pixel grid of a square kernel with its radial profile `exp(-(|x| - r_i)^2 / (2 sigma_i^2))`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KernelGrid {
    size: usize,
    dilation: usize,
    rings: Vec<Ring>,
}

/// A Gaussian ring.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Ring {
    /// Radius in pixels.
    pub radius: f64,
    /// Width in pixels.
    pub sigma: f64,
    /// Highest angular frequency it carries.
    pub cutoff: f64,
}

impl Ring {
    /// What it gives to every point.
    pub fn profile(&self, points: &[(f64, f64)]) -> Vec<f64> {
        let at = |&(x, y): &(f64, f64)| {
            let distance = x.hypot(y) - self.radius;
            (-distance * distance / (2.0 * self.sigma * self.sigma)).exp()
        };
        points.iter().map(at).collect()
    }
}

impl KernelGrid {
    /// A kernel of `size x size` points `dilation` pixels apart.
    ///
    /// `rings` are the radii in pixels and `sigma` their widths; by default `ceil(size / 2)` rings evenly from 0 to
    /// `(size - 1) / 2`, times the dilation, of width 0.6, the outermost 0.4 and the centre 0.005.
    ///
    /// # Errors
    /// [`Error::InvalidKernel`] for a size or dilation of zero, rings outside the kernel, widths that are not positive, lists of
    /// different lengths, or a cut-off factor that is negative, not a number or beyond 8.
    pub fn new(
        size: usize,
        dilation: usize,
        rings: Option<&[f64]>,
        sigma: Option<&[f64]>,
        cutoff: Cutoff,
    ) -> Result<Self> {
        let invalid = |message: String| Err(Error::InvalidKernel(message));
        if size == 0 || dilation == 0 {
            return invalid(format!(
                "a kernel of size {size} and dilation {dilation} has no points; both must be at least 1"
            ));
        }
        let radii = rings.map(<[f64]>::to_vec).unwrap_or_else(|| {
            let (count, last) = (size.div_ceil(2), (size - 1) / 2);
            (0..count).map(|i| (if count == 1 { 0 } else { i * last / (count - 1) } * dilation) as f64).collect()
        });
        let reach = dilation as f64 * (size - 1) as f64 / 2.0 * std::f64::consts::SQRT_2;
        if radii.is_empty() || radii.iter().any(|r| !(0.0..=reach).contains(r)) {
            return invalid(format!(
                "the rings {radii:?} must be radii from 0 to the corner of the kernel, {reach:.3} pixels, and at least one"
            ));
        }
        let widths = sigma.map(<[f64]>::to_vec).unwrap_or_else(|| {
            let last = radii.len() - 1;
            let width = |(i, &r): (usize, &f64)| {
                if r == 0.0 {
                    0.005
                } else if i == last {
                    0.4
                } else {
                    0.6
                }
            };
            radii.iter().enumerate().map(width).collect()
        });
        if widths.len() != radii.len() || widths.iter().any(|s| !(s.is_finite() && *s > 0.0)) {
            return invalid(format!("the widths {widths:?} must be positive, one for each of the rings {radii:?}"));
        }
        if let Cutoff::Proportional(factor) = cutoff
            && !(0.0..=8.0).contains(&factor)
        {
            return invalid(format!(
                "the cut-off factor {factor} must be from 0 to 8: pixels at radius r carry frequencies up to about 2 r; or use Cutoff::Standard"
            ));
        }
        let outermost = (size / 2) as f64;
        let rings = radii
            .iter()
            .zip(&widths)
            .map(|(&radius, &sigma)| Ring { radius, sigma, cutoff: cutoff.at(radius, outermost) })
            .collect();
        Ok(Self { size, dilation, rings })
    }

    /// A kernel with the default rings and cut-off.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn standard(size: usize) -> Result<Self> {
        Self::new(size, 1, None, None, Cutoff::Standard)
    }

    /// Points along a side.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Pixels between neighbouring points.
    pub fn dilation(&self) -> usize {
        self.dilation
    }

    /// The radii of the rings in pixels.
    pub fn radii(&self) -> impl Iterator<Item = f64> + '_ {
        self.rings.iter().map(|ring| ring.radius)
    }

    pub(super) fn rings(&self) -> &[Ring] {
        &self.rings
    }

    /// The highest frequency any ring carries.
    pub(super) fn highest_frequency(&self) -> u32 {
        self.rings.iter().map(|r| r.cutoff).fold(0.0, f64::max) as u32
    }

    /// The points `(x, y)` in pixels, row by row from the top left, x to the right and y up.
    pub(super) fn points(&self) -> Vec<(f64, f64)> {
        let along = |i: usize| self.dilation as f64 * (i as f64 - (self.size - 1) as f64 / 2.0);
        (0..self.size * self.size).map(|p| (along(p % self.size), -along(p / self.size))).collect()
    }

    /// Functions on the points that span those of all kernels with the frequencies asked for: each ring times `cos f phi` and `sin f phi`, for
    /// the frequencies `f` that it carries. Those that vanish on the grid are left out.
    pub fn functions(&self, with: impl Fn(u32) -> bool) -> Vec<Vec<f64>> {
        let points = self.points();
        let mut functions = Vec::new();
        for frequency in (0..=self.highest_frequency()).filter(|&frequency| with(frequency)) {
            let harmonics = harmonics(frequency, &points);
            for ring in self.rings.iter().filter(|ring| f64::from(frequency) <= ring.cutoff) {
                let profile = ring.profile(&points);
                let pair = harmonics.iter().map(|y| y.iter().zip(&profile).map(|(y, r)| y * r).collect::<Vec<f64>>());
                let pair: Vec<(f64, Vec<f64>)> = pair.map(|f| (f.iter().map(|x| x * x).sum(), f)).collect();
                let largest = pair.iter().map(|(squared, _)| *squared).fold(f64::MIN_POSITIVE, f64::max);
                functions.extend(pair.into_iter().filter(|(squared, _)| *squared > 1e-20 * largest).map(|(_, f)| f));
            }
        }
        functions
    }

    /// What identifies the grid in a cache.
    pub(super) fn key(&self) -> Vec<u64> {
        let rings = self.rings.iter().flat_map(|r| [r.radius, r.sigma, r.cutoff].map(f64::to_bits));
        [self.size as u64, self.dilation as u64].into_iter().chain(rings).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_rings_and_cutoffs_are_those_of_escnn() {
        let grid = KernelGrid::standard(7).unwrap();
        let expected = [(0.0, 0.005, 0.0), (1.0, 0.6, 2.0), (2.0, 0.6, 3.0), (3.0, 0.4, 2.0)];
        for (ring, (radius, sigma, cutoff)) in grid.rings().iter().zip(expected) {
            assert_eq!((ring.radius, ring.sigma, ring.cutoff), (radius, sigma, cutoff));
        }
        assert_eq!(grid.highest_frequency(), 3);
        let dilated = KernelGrid::new(5, 2, None, None, Cutoff::Standard).unwrap();
        assert_eq!(dilated.radii().collect::<Vec<_>>(), [0.0, 2.0, 4.0]);
    }

    #[test]
    fn points_are_centred_with_y_up() {
        let points = KernelGrid::new(3, 2, None, None, Cutoff::Standard).unwrap().points();
        assert_eq!((points[0], points[4], points[5]), ((-2.0, 2.0), (0.0, -0.0), (2.0, -0.0)));
    }

    #[test]
    fn impossible_grids_are_refused() {
        let new = |size, rings: &[f64], sigma: &[f64]| {
            KernelGrid::new(size, 1, Some(rings), Some(sigma), Cutoff::Standard).unwrap_err().to_string()
        };
        assert!(KernelGrid::standard(0).is_err());
        assert!(new(3, &[9.0], &[1.0]).contains("corner of the kernel"));
        assert!(new(3, &[1.0], &[0.0]).contains("positive"));
        assert!(new(3, &[0.0, 1.0], &[0.5]).contains("one for each"));
        for factor in [f64::NAN, -1.0, f64::INFINITY] {
            assert!(KernelGrid::new(3, 1, None, None, Cutoff::Proportional(factor)).is_err());
        }
    }
}
