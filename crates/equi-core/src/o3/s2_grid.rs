//! Functions on the sphere, as coefficients of spherical harmonics and as samples on a grid.
//!
//! The grid has latitudes `beta_i = (i + 1/2) pi / res_beta`, counted from y, and longitudes `alpha_j = 2 pi j / res_alpha`,
//! counted from z towards x. With harmonics `Y` of the normalisation `integral`
//!
//! ```text
//! f(p) = sum_lm n_l Y_lm(p) c_lm            c_lm = 1 / n_l  sum_p w_p Y_lm(p) f(p)
//! ```
//!
//! where `w` are the weights of Fejér's rule in `cos beta` and of the rectangle rule in `alpha`. They integrate exactly what the
//! grid can tell apart: `c` comes back as it was.

use burn::module::Module;
use burn::tensor::{Tensor, TensorCreationOptions, TensorData};
use std::f64::consts::{PI, TAU};

use super::{Irreps, Normalization, SphericalHarmonics, angles_to_point};
use crate::error::{Error, Result};

/// Configuration of an [`S2Grid`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S2GridConfig {
    lmax: usize,
    lmax_out: usize,
    resolution: [usize; 2],
    normalization: Normalization,
}

impl S2GridConfig {
    /// For functions of degrees up to `lmax`, on the smallest grid of e3nn: `2 lmax + 2` latitudes and `2 lmax + 1` longitudes.
    pub fn new(lmax: usize) -> Self {
        let resolution = [2 * lmax + 2, 2 * lmax + 1];
        Self { lmax, lmax_out: lmax, resolution, normalization: Normalization::default() }
    }

    /// On a grid of `[res_beta, res_alpha]` points.
    pub fn with_resolution(mut self, resolution: [usize; 2]) -> Self {
        self.resolution = resolution;
        self
    }

    /// The highest degree of the coefficients that are read off the grid, by default that of those put on it.
    pub fn with_lmax_out(mut self, lmax: usize) -> Self {
        self.lmax_out = lmax;
        self
    }

    /// What coefficients of unit size give samples of unit size. `Component`, the default: independent components of variance 1
    /// give samples of variance 1, `n_l^2 = 4 pi / ((lmax + 1) (2 l + 1))`. `Norm`: so do degrees of norm 1,
    /// `n_l^2 = 4 pi / (lmax + 1)`. `Integral`: samples are the values of the function, `n_l = 1`.
    pub fn with_normalization(mut self, normalization: Normalization) -> Self {
        self.normalization = normalization;
        self
    }

    /// Builds the grid.
    ///
    /// # Errors
    /// [`Error::GridTooCoarse`] if it has not more latitudes and more longitudes than twice the highest degree.
    pub fn init(&self, options: impl Into<TensorCreationOptions>) -> Result<S2Grid> {
        let highest = self.lmax.max(self.lmax_out);
        for (points, lines) in self.resolution.into_iter().zip(["latitudes", "longitudes"]) {
            if points <= 2 * highest {
                return Err(Error::GridTooCoarse { lmax: highest, lines, points, needed: 2 * highest + 1 });
            }
        }
        let [_, res_alpha] = self.resolution;
        let (points, weights) = (self.points(), fejer(self.resolution[0]));
        let harmonics = |lmax| SphericalHarmonics::up_to(lmax).with_normalization(Normalization::Integral);
        let factors = |lmax: usize| (0..=lmax).flat_map(|l| vec![self.factor(l); 2 * l + 1]);

        // `[(lmax + 1)^2, points]`, transposed from points that follow one another.
        let (coefficients, count) = ((self.lmax + 1).pow(2), points.len());
        let mut sample = vec![0.0; coefficients * count];
        for (column, &point) in points.iter().enumerate() {
            let values = harmonics(self.lmax).at(point).into_iter().zip(factors(self.lmax));
            for (row, (value, factor)) in values.enumerate() {
                sample[row * count + column] = value * factor;
            }
        }
        let project = points.iter().enumerate().flat_map(|(place, &point)| {
            let weight = weights[place / res_alpha] * TAU / res_alpha as f64;
            let values = harmonics(self.lmax_out).at(point).into_iter().zip(factors(self.lmax_out));
            values.map(move |(value, factor)| value / factor * weight)
        });
        let mut options = options.into();
        options.device = options.device.without_autodiff();
        let upload = |values: Vec<f64>, shape| Tensor::from_data(TensorData::new(values, shape), options.clone());
        Ok(S2Grid {
            sample: upload(sample, [coefficients, count]),
            project: upload(project.collect(), [count, (self.lmax_out + 1).pow(2)]),
            config: self.clone(),
        })
    }

    /// `n_l`, and for degrees that only come out `n_l` of the same formula.
    fn factor(&self, l: usize) -> f64 {
        let shared = 4.0 * PI / (self.lmax + 1) as f64;
        match self.normalization {
            Normalization::Component => (shared / (2 * l + 1) as f64).sqrt(),
            Normalization::Norm => shared.sqrt(),
            Normalization::Integral => 1.0,
        }
    }

    /// Latitude after latitude.
    fn points(&self) -> Vec<[f64; 3]> {
        let [res_beta, res_alpha] = self.resolution;
        let beta = |i: usize| (i as f64 + 0.5) * PI / res_beta as f64;
        let alpha = |j: usize| j as f64 * TAU / res_alpha as f64;
        let latitude = |i: usize| (0..res_alpha).map(move |j| angles_to_point([alpha(j), beta(i)]));
        (0..res_beta).flat_map(latitude).collect()
    }
}

/// A grid on the sphere, and the maps to it and from it; see [`S2GridConfig`].
///
/// ```
/// use burn::tensor::Device;
/// use equi_core::o3::S2GridConfig;
///
/// let grid = S2GridConfig::new(3).with_resolution([8, 8]).init(&Device::default())?;
/// assert_eq!((grid.irreps().to_string(), grid.points().len()), ("1x0e+1x1o+1x2e+1x3o".into(), 64));
/// # Ok::<(), equi_core::Error>(())
/// ```
#[derive(Module, Debug)]
pub struct S2Grid {
    /// `[(lmax + 1)^2, res_beta res_alpha]`
    sample: Tensor<2>,
    /// `[res_beta res_alpha, (lmax_out + 1)^2]`
    project: Tensor<2>,
    #[module(skip)]
    config: S2GridConfig,
}

impl S2Grid {
    /// The irreps of the coefficients put on the grid; parities as those of the harmonics, for functions that are scalars.
    pub fn irreps(&self) -> Irreps {
        Irreps::spherical_harmonics(self.config.lmax)
    }

    /// The irreps of the coefficients read off the grid.
    pub fn irreps_out(&self) -> Irreps {
        Irreps::spherical_harmonics(self.config.lmax_out)
    }

    /// `[res_beta, res_alpha]`.
    pub fn resolution(&self) -> [usize; 2] {
        self.config.resolution
    }

    /// The points of the grid on the unit sphere, latitude after latitude.
    pub fn points(&self) -> Vec<[f64; 3]> {
        self.config.points()
    }

    /// The samples of functions, differentiable.
    ///
    /// # Shapes
    /// - `coefficients`: `[rows, (lmax + 1)^2]`
    /// - output: `[rows, res_beta, res_alpha]`
    ///
    /// # Panics
    /// For other columns.
    pub fn to_grid(&self, coefficients: Tensor<2>) -> Tensor<3> {
        let ([rows, columns], [expected, _]) = (coefficients.dims(), self.sample.dims());
        assert_eq!(
            columns, expected,
            "a grid for degrees up to {} takes coefficients [rows, {expected}], not [{rows}, {columns}]",
            self.config.lmax
        );
        let [res_beta, res_alpha] = self.config.resolution;
        coefficients.matmul(self.sample.clone()).reshape([rows, res_beta, res_alpha])
    }

    /// The coefficients of functions, differentiable: their projection if they have more degrees, as far as the grid can tell.
    ///
    /// # Shapes
    /// - `samples`: `[rows, res_beta, res_alpha]`
    /// - output: `[rows, (lmax_out + 1)^2]`
    ///
    /// # Panics
    /// For another resolution.
    pub fn from_grid(&self, samples: Tensor<3>) -> Tensor<2> {
        let ([rows, beta, alpha], resolution) = (samples.dims(), self.config.resolution);
        assert_eq!([beta, alpha], resolution, "samples on a grid of {resolution:?} points, not [{beta}, {alpha}]");
        samples.reshape([rows, beta * alpha]).matmul(self.project.clone())
    }
}

/// Weights of `n` points `cos((i + 1/2) pi / n)` that integrate polynomials of degree below `n` over `[-1, 1]`.
fn fejer(n: usize) -> Vec<f64> {
    let weight = |i: usize| {
        let theta = (2 * i + 1) as f64 * PI / n as f64;
        let terms = (1..=n / 2).map(|k| (k as f64 * theta).cos() / (4 * k * k - 1) as f64);
        (1.0 - 2.0 * terms.sum::<f64>()) * 2.0 / n as f64
    };
    (0..n).map(weight).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weights_integrate_polynomials() {
        for n in [1, 2, 5, 12, 25] {
            let nodes = (0..n).map(|i| ((i as f64 + 0.5) * PI / n as f64).cos());
            let pairs: Vec<_> = nodes.zip(fejer(n)).collect();
            for degree in 0..n {
                let integral: f64 = pairs.iter().map(|(x, w)| w * x.powi(degree as i32)).sum();
                let expected = if degree % 2 == 0 { 2.0 / (degree + 1) as f64 } else { 0.0 };
                assert!((integral - expected).abs() < 1e-14, "{n} points, degree {degree}: {integral}");
            }
        }
    }
}
