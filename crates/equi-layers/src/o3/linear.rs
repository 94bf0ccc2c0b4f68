//! The linear maps between features of O(3).
//!
//! ```text
//! y_w = c sum_u x_u W_uw            with copies u of an irrep in, w of the same irrep out
//! ```
//!
//! By Schur's lemma an equivariant linear map joins equal irreps only and mixes their copies, and these are all such maps: `D(g)` acts on
//! components, `W` on copies. `c = 1 / sqrt(copies in)` keeps the variance for weights of variance 1. It is e3nn's `o3.Linear`.

use burn::module::{Content, DisplaySettings, Module, ModuleDisplay, Param};
use burn::tensor::{Tensor, TensorCreationOptions};
use equi_core::o3::Irreps;
use serde::{Deserialize, Serialize};
use std::ops::Range;

use super::PathNormalization;
use super::columns::{join, mix, split};
use crate::error::{LayerError, Result};
use crate::weights::Weights;

/// Configuration of [`IrrepsLinear`].
///
/// ```
/// # #[cfg(feature = "flex")] {
/// use burn::tensor::{Device, Tensor};
/// use equi_layers::o3::IrrepsLinearConfig;
///
/// let device = Device::flex();
/// let linear = IrrepsLinearConfig::new("16x0e+8x1o".parse()?, "4x0e+2x1o".parse()?).with_biases().init(&device)?;
/// assert_eq!((linear.weight_numel(), linear.forward(Tensor::ones([5, 40], &device)).dims()), (16 * 4 + 8 * 2, [5, 10]));
/// # }
/// # Ok::<(), equi_layers::LayerError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IrrepsLinearConfig {
    /// What it takes.
    pub irreps_in: Irreps,
    /// What it gives.
    pub irreps_out: Irreps,
    /// Which block of the input reaches which of the output, in the order of the weights; none for all that can.
    pub instructions: Option<Vec<(usize, usize)>>,
    /// How the paths that reach a block share its variance.
    pub path_normalization: PathNormalization,
    /// Whether something learned is added to the outputs of type `0e`, the only ones where that is equivariant.
    pub biases: bool,
    /// Whether it has weights of its own; else every call gives them.
    pub own_weights: bool,
    /// Whether blocks of the output that nothing reaches may be, and be zero.
    pub unreached_outputs: bool,
    /// Seed of the weights; none for the random numbers of the device.
    pub seed: Option<u64>,
}

impl IrrepsLinearConfig {
    /// Every block to every block of the same irrep, without biases.
    pub fn new(irreps_in: Irreps, irreps_out: Irreps) -> Self {
        Self {
            irreps_in,
            irreps_out,
            instructions: None,
            path_normalization: PathNormalization::Element,
            biases: false,
            own_weights: true,
            unreached_outputs: false,
            seed: None,
        }
    }

    /// The same with these paths only: pairs of a block of the input and one of the output.
    pub fn with_instructions(mut self, instructions: impl Into<Vec<(usize, usize)>>) -> Self {
        self.instructions = Some(instructions.into());
        self
    }

    /// The same with the variance shared in another way.
    pub fn with_path_normalization(mut self, path_normalization: PathNormalization) -> Self {
        self.path_normalization = path_normalization;
        self
    }

    /// The same with biases, which start at zero.
    pub fn with_biases(mut self) -> Self {
        self.biases = true;
        self
    }

    /// The same without weights of its own, for [`IrrepsLinear::forward_with`].
    pub fn without_weights(mut self) -> Self {
        self.own_weights = false;
        self
    }

    /// The same with zeros for outputs that nothing reaches; [`IrrepsLinear::output_mask`] tells which they are.
    pub fn with_unreached_outputs(mut self) -> Self {
        self.unreached_outputs = true;
        self
    }

    /// The same with weights that depend on nothing but the seed.
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Builds the layer. Weights start normal with variance 1.
    ///
    /// # Errors
    /// [`LayerError::InvalidConfig`] for irreps without columns, an instruction that joins blocks of different irreps or that there are
    /// not, an output that nothing reaches, and biases without an output of type `0e`.
    pub fn init(&self, options: impl Into<TensorCreationOptions>) -> Result<IrrepsLinear> {
        let paths = self.paths()?;
        let (blocks_in, blocks_out) = (self.irreps_in.blocks(), self.irreps_out.blocks());
        let reached: Vec<bool> = (0..blocks_out.len())
            .map(|output| paths.iter().any(|path| path.output == output && !path.weights.is_empty()))
            .collect();
        let biased = |output: usize| self.biases && blocks_out[output].irrep.is_scalar();
        for (output, block) in blocks_out.iter().enumerate() {
            if !(reached[output] || biased(output) || self.unreached_outputs || block.mul == 0) {
                return Err(LayerError::InvalidConfig(format!(
                    "nothing reaches block {output} of the output, {block}: no path leads there from {}; leave it out, or let it be zero \
                     by `with_unreached_outputs`",
                    self.irreps_in
                )));
            }
        }
        let weight_numel = paths.last().map_or(0, |path| path.weights.end);
        if weight_numel == 0 {
            return Err(LayerError::InvalidConfig(format!(
                "no irrep of {} is among {}: a linear map between them has no weights",
                self.irreps_in, self.irreps_out
            )));
        }
        let bias_numel: usize = (0..blocks_out.len()).filter(|&o| biased(o)).map(|o| blocks_out[o].mul).sum();
        if self.biases && bias_numel == 0 {
            return Err(LayerError::InvalidConfig(format!(
                "biases are for outputs of type 0e, of which {} has none: leave `with_biases` out",
                self.irreps_out
            )));
        }
        let coefficients: Vec<f64> = paths
            .iter()
            .flat_map(|path| {
                let fan_in = match self.path_normalization {
                    PathNormalization::Element => {
                        paths.iter().filter(|p| p.output == path.output).map(|p| blocks_in[p.input].mul).sum()
                    }
                    PathNormalization::Path => {
                        blocks_in[path.input].mul * paths.iter().filter(|p| p.output == path.output).count()
                    }
                    PathNormalization::None => 1,
                };
                std::iter::repeat_n(1.0 / (fan_in as f64).sqrt(), path.weights.len())
            })
            .collect();
        let mut weights = Weights::new(self.seed, options);
        Ok(IrrepsLinear {
            weight: self.own_weights.then(|| weights.normal([weight_numel])),
            bias: (bias_numel > 0).then(|| weights.uniform([bias_numel], 0.0)),
            coefficients: weights.constant(coefficients, [1, weight_numel]),
            config: self.clone(),
            paths,
        })
    }

    /// The paths, in the order of their weights.
    fn paths(&self) -> Result<Vec<LinearPath>> {
        let (blocks_in, blocks_out) = (self.irreps_in.blocks(), self.irreps_out.blocks());
        for (name, irreps) in [("input", &self.irreps_in), ("output", &self.irreps_out)] {
            if irreps.dim() == 0 {
                return Err(LayerError::InvalidConfig(format!("the {name} has no columns: its irreps are `{irreps}`")));
            }
        }
        let pairs = match &self.instructions {
            Some(instructions) => instructions.clone(),
            None => (0..blocks_in.len())
                .flat_map(|i| (0..blocks_out.len()).map(move |o| (i, o)))
                .filter(|&(i, o)| blocks_in[i].irrep == blocks_out[o].irrep)
                .collect(),
        };
        let mut end = 0;
        let mut paths = Vec::with_capacity(pairs.len());
        for (number, (input, output)) in pairs.into_iter().enumerate() {
            let (Some(from), Some(to)) = (blocks_in.get(input), blocks_out.get(output)) else {
                return Err(LayerError::InvalidConfig(format!(
                    "instruction {number} goes from block {input} to block {output}, but {} has {} blocks and {} has {}, numbered from 0",
                    self.irreps_in,
                    blocks_in.len(),
                    self.irreps_out,
                    blocks_out.len()
                )));
            };
            if from.irrep != to.irrep {
                return Err(LayerError::InvalidConfig(format!(
                    "instruction {number} goes from {from} to {to}: an equivariant linear map joins equal irreps only"
                )));
            }
            let start = end;
            end += from.mul * to.mul;
            paths.push(LinearPath { input, output, weights: start..end });
        }
        Ok(paths)
    }
}

/// A block of the input that reaches one of the output.
#[derive(Clone, Debug)]
struct LinearPath {
    input: usize,
    output: usize,
    weights: Range<usize>,
}

/// `y_w = c sum_u x_u W_uw` on the copies of every irrep; see [`IrrepsLinearConfig`].
#[derive(Module, Debug)]
#[module(custom_display)]
pub struct IrrepsLinear {
    /// `[weight_numel]`: path after path, each `[copies in, copies out]` row-major; none if every call gives them.
    pub weight: Option<Param<Tensor<1>>>,
    /// One for every output of type `0e`, in their order.
    pub bias: Option<Param<Tensor<1>>>,
    /// `c` for every weight, `[1, weight_numel]`.
    coefficients: Tensor<2>,
    #[module(skip)]
    config: IrrepsLinearConfig,
    #[module(skip)]
    paths: Vec<LinearPath>,
}

impl IrrepsLinear {
    /// Applies the map with its own weights.
    ///
    /// # Shapes
    /// - `x`: `[rows, irreps_in.dim()]`
    /// - output: `[rows, irreps_out.dim()]`
    ///
    /// # Panics
    /// If the columns are not those of the irreps, or the layer has no weights of its own.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let weight = self.weight.as_ref().expect("a layer without weights of its own is called by `forward_with`");
        self.forward_with(x, weight.val().unsqueeze())
    }

    /// Applies the map with given weights, the same for all rows or others for each.
    ///
    /// # Shapes
    /// - `x`: `[rows, irreps_in.dim()]`
    /// - `weight`: `[1, weight_numel]` or `[rows, weight_numel]`
    /// - output: `[rows, irreps_out.dim()]`
    ///
    /// # Panics
    /// If a shape is another.
    pub fn forward_with(&self, x: Tensor<2>, weight: Tensor<2>) -> Tensor<2> {
        let (irreps_in, irreps_out) = (self.irreps_in(), self.irreps_out());
        let ([rows, columns], [batch, numel]) = (x.dims(), weight.dims());
        assert_eq!(columns, irreps_in.dim(), "IrrepsLinear takes {irreps_in}, not [{rows}, {columns}]");
        assert!(
            numel == self.weight_numel() && (batch == 1 || batch == rows),
            "IrrepsLinear takes {} weights, the same or others for each of {rows} rows, not [{batch}, {numel}]",
            self.weight_numel()
        );
        let options = (&x.device(), x.dtype());
        let widths: Vec<usize> = irreps_in.blocks().iter().map(|block| block.dim()).collect();
        let inputs: Vec<Option<Tensor<3>>> = split(x, &widths)
            .into_iter()
            .zip(irreps_in.blocks())
            .map(|(x, block)| Some(x?.reshape([rows, block.mul, block.irrep.dim()]).swap_dims(1, 2)))
            .collect();
        let widths: Vec<usize> = self.paths.iter().map(|path| path.weights.len()).collect();
        let weights = split(weight * self.coefficients.clone(), &widths);
        let mut biases = self.biases().into_iter();
        let mut outputs = Vec::with_capacity(irreps_out.blocks().len());
        for (output, block) in irreps_out.blocks().iter().enumerate().filter(|(_, block)| block.mul > 0) {
            let arriving = self.paths.iter().zip(&weights).filter(|(path, _)| path.output == output);
            let (x, w): (Vec<_>, Vec<_>) = arriving
                .filter_map(|(path, weight)| {
                    let copies = irreps_in.blocks()[path.input].mul;
                    Some((inputs[path.input].clone()?, weight.clone()?.reshape([batch, copies, block.mul])))
                })
                .unzip();
            let mixed = match x.is_empty() {
                true => Tensor::zeros([rows, block.dim()], options),
                false => mix(x, w).reshape([rows, block.dim()]),
            };
            outputs.push(match block.irrep.is_scalar().then(|| biases.next()).flatten() {
                Some(bias) => mixed + bias,
                None => mixed,
            });
        }
        join(outputs, 1)
    }

    /// The biases of every output of type `0e`, `[1, copies]`.
    fn biases(&self) -> Vec<Tensor<2>> {
        let Some(bias) = &self.bias else { return Vec::new() };
        let scalars = self.irreps_out().blocks().iter().filter(|block| block.irrep.is_scalar());
        let widths: Vec<usize> = scalars.map(|block| block.mul).collect();
        split(bias.val().unsqueeze(), &widths).into_iter().flatten().collect()
    }

    /// What it takes.
    pub fn irreps_in(&self) -> &Irreps {
        &self.config.irreps_in
    }

    /// What it gives.
    pub fn irreps_out(&self) -> &Irreps {
        &self.config.irreps_out
    }

    /// How many weights it takes.
    pub fn weight_numel(&self) -> usize {
        self.paths.last().map_or(0, |path| path.weights.end)
    }

    /// For every column of the output, whether anything reaches it, be it a bias.
    pub fn output_mask(&self) -> Vec<bool> {
        let reached = |(output, block): (usize, &equi_core::o3::MulIrrep)| {
            let path = self.paths.iter().any(|path| path.output == output && !path.weights.is_empty());
            std::iter::repeat_n(path || self.bias.is_some() && block.irrep.is_scalar(), block.dim())
        };
        self.irreps_out().blocks().iter().enumerate().flat_map(reached).collect()
    }
}

impl ModuleDisplay for IrrepsLinear {
    fn custom_settings(&self) -> Option<DisplaySettings> {
        DisplaySettings::new().with_new_line_after_attribute(false).optional()
    }

    fn custom_content(&self, content: Content) -> Option<Content> {
        let name =
            format!("IrrepsLinear({} -> {}, {} weights)", self.irreps_in(), self.irreps_out(), self.weight_numel());
        content.set_top_level_type(&name).optional()
    }
}
