//! Functions of values on the sphere: features are read as the harmonics of a function on the sphere, it is sampled on a grid, changed
//! point by point, and projected back,
//!
//! ```text
//! x  ->  P f(S x)         S to the grid, P from the grid
//! ```
//!
//! It commutes with rotations but for what the grid does not resolve: `f` makes higher degrees than the features have, and those above
//! the resolution fold back. The error falls quickly as the grid gets finer. It is zero for rotations and reflections that take the grid
//! to itself: parts of a turn about y, `y -> -y`, and with an even number of longitudes the inversion.
//!
//! Cohen et al.: Spherical CNNs, ICLR 2018.

use burn::module::{Content, DisplaySettings, Module, ModuleDisplay};
use burn::tensor::{Tensor, TensorCreationOptions};
use equi_core::o3::{Irrep, Irreps, MulIrrep, Normalization, Parity, S2Grid, S2GridConfig};

use super::activation_function::{NormalizedFunction, parity};
use super::columns::{join, split};
use super::copies::{check_columns, check_features};
use crate::error::{LayerError, Result};

/// Configuration of an [`S2Activation`].
#[derive(Clone, Debug)]
pub struct S2ActivationConfig {
    irreps: Irreps,
    function: NormalizedFunction,
    resolution: Option<[usize; 2]>,
    normalization: Normalization,
    lmax_out: Option<usize>,
}

impl S2ActivationConfig {
    /// For features with as many copies of degree 0, 1, ..., `lmax` in this order, such as `8x0e+8x1o+8x2e`: functions on the sphere, one
    /// for every copy. A plain `Nonlinearity` is scaled as e3nn does, [`NormalizedFunction::exact`] by the integral.
    pub fn new(irreps: &Irreps, function: impl Into<NormalizedFunction>) -> Self {
        let normalization = Normalization::Component;
        Self { irreps: irreps.clone(), function: function.into(), resolution: None, normalization, lmax_out: None }
    }

    /// On a grid of `[res_beta, res_alpha]` points, latitudes and longitudes; by default `4 l + 2` of each with the highest degree `l`, which
    /// resolve squares. e3nn's `res` is `[res, max(res - 1, 2 lmax + 1)]`.
    pub fn with_resolution(mut self, resolution: [usize; 2]) -> Self {
        self.resolution = Some(resolution);
        self
    }

    /// What size of features gives values of size 1: see [`S2GridConfig::with_normalization`]. `Component` by default.
    pub fn with_normalization(mut self, normalization: Normalization) -> Self {
        self.normalization = normalization;
        self
    }

    /// The highest degree of the output, by default that of the input.
    pub fn with_lmax_out(mut self, lmax: usize) -> Self {
        self.lmax_out = Some(lmax);
        self
    }

    /// Builds the layer.
    ///
    /// # Errors
    /// [`LayerError::Unsupported`] for irreps that are not those of functions on the sphere, with as many copies of every degree and
    /// parities `(-1)^l p` or `p`, and for a function without parity of values that a reflection negates; [`LayerError::InvalidConfig`] for no columns;
    /// [`LayerError::Core`] for a grid too coarse for the degrees.
    pub fn init(&self, options: impl Into<TensorCreationOptions>) -> Result<S2Activation> {
        check_columns("S2Activation", &self.irreps)?;
        let blocks = self.irreps.blocks();
        let (copies, value) = (blocks[0].mul, blocks[0].irrep.parity);
        let lmax = blocks.len() - 1;
        let refuse = |reason: String| {
            Err(LayerError::Unsupported(format!(
                "S2Activation reads features as functions on the sphere, with as many copies of degree 0, 1, ..., such as \
                 8x0e+8x1o+8x2e; {} {reason}",
                self.irreps
            )))
        };
        if let Some((l, block)) =
            blocks.iter().enumerate().find(|(l, block)| block.irrep.l != *l || block.mul != copies)
        {
            return refuse(format!("has {block} where {copies} copies of degree {l} should be"));
        }
        // The inversion takes the sphere to itself, as for harmonics, or leaves it alone.
        let of = |l: usize, inverted: bool, value: Parity| {
            Irrep::new(l, if inverted { Parity::of_degree(l) * value } else { value })
        };
        let all = |inverted: bool| blocks.iter().all(|block| block.irrep == of(block.irrep.l, inverted, value));
        let inverted = match (all(true), all(false)) {
            (true, _) => true,
            (_, true) => false,
            _ => return refuse("has parities that change neither with every degree nor with none".to_owned()),
        };
        let value = match (value, parity(self.function.function())) {
            (Parity::Even, _) => Parity::Even,
            (Parity::Odd, Some(parity)) => parity,
            (Parity::Odd, None) => {
                return Err(LayerError::Unsupported(format!(
                    "a reflection negates the values of {}: their function must be odd (Tanh, Sin) or even (Abs, Cos, Square), and {} is \
                     neither",
                    self.irreps, self.function
                )));
            }
        };
        let lmax_out = self.lmax_out.unwrap_or(lmax);
        let highest = lmax.max(lmax_out);
        let grid = S2GridConfig::new(lmax)
            .with_lmax_out(lmax_out)
            .with_normalization(self.normalization)
            .with_resolution(self.resolution.unwrap_or([4 * highest + 2; 2]))
            .init(options)?;
        let output = (0..=lmax_out).map(|l| MulIrrep::new(copies, of(l, inverted, value))).collect::<Vec<_>>();
        Ok(S2Activation { grid, input: self.irreps.clone(), output: Irreps::new(output), function: self.function })
    }
}

/// Applies a function to values on the sphere; e3nn's `nn.S2Activation`, for any number of copies. See [`S2ActivationConfig`].
///
/// Rotations commute with it **approximately**, see [`check::points`](equi_core::check::points); those that take the grid to itself exactly.
///
/// ```
/// # #[cfg(feature = "flex")] {
/// use burn::tensor::{Device, Tensor};
/// use equi_layers::o3::S2ActivationConfig;
/// use equi_layers::planar::Nonlinearity::Silu;
///
/// let activation = S2ActivationConfig::new(&"8x0e+8x1o+8x2e".parse()?, Silu).init(&Device::flex())?;
/// let features = activation.forward(Tensor::ones([5, 72], &Device::flex()));
/// # }
/// # Ok::<(), equi_layers::LayerError>(())
/// ```
#[derive(Module, Debug)]
#[module(custom_display)]
pub struct S2Activation {
    grid: S2Grid,
    #[module(skip)]
    input: Irreps,
    #[module(skip)]
    output: Irreps,
    #[module(skip)]
    function: NormalizedFunction,
}

impl S2Activation {
    /// What it takes.
    pub fn irreps_in(&self) -> &Irreps {
        &self.input
    }

    /// What it gives.
    pub fn irreps_out(&self) -> &Irreps {
        &self.output
    }

    /// The grid.
    pub fn grid(&self) -> &S2Grid {
        &self.grid
    }

    /// Applies the function.
    ///
    /// # Shapes
    /// - `features`: `[rows, irreps_in.dim()]`
    /// - output: `[rows, irreps_out.dim()]`
    ///
    /// # Panics
    /// If the columns are not those of the irreps.
    pub fn forward(&self, features: Tensor<2>) -> Tensor<2> {
        check_features("S2Activation", &self.input, &features);
        let rows = features.dims()[0];
        let copies = self.input.blocks()[0].mul;
        if rows == 0 {
            return Tensor::zeros([0, self.output.dim()], (&features.device(), features.dtype()));
        }
        // From degree by degree to copy by copy, and back.
        let widths: Vec<usize> = self.input.blocks().iter().map(|block| block.dim()).collect();
        let blocks = split(features, &widths).into_iter().flatten().map(|block| {
            let columns = block.dims()[1];
            block.reshape([rows * copies, columns / copies])
        });
        let values = self.function.apply(self.grid.to_grid(join(blocks.collect(), 1)));
        let sizes: Vec<usize> = self.output.blocks().iter().map(|block| block.irrep.dim()).collect();
        let blocks = split(self.grid.from_grid(values), &sizes).into_iter().flatten().map(|block| {
            let size = block.dims()[1];
            block.reshape([rows, copies * size])
        });
        join(blocks.collect(), 1)
    }
}

impl ModuleDisplay for S2Activation {
    fn custom_settings(&self) -> Option<DisplaySettings> {
        DisplaySettings::new().with_new_line_after_attribute(false).optional()
    }

    fn custom_content(&self, content: Content) -> Option<Content> {
        let [beta, alpha] = self.grid.resolution();
        let text = format!("S2Activation({} -> {}, {}, {beta} x {alpha})", self.input, self.output, self.function);
        content.set_top_level_type(&text).optional()
    }
}
