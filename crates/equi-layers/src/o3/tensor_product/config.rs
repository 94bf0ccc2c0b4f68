//! What a tensor product is made of, and the usual ones.

use burn::tensor::TensorCreationOptions;
use equi_core::o3::{Irrep, Irreps, MulIrrep};
use serde::{Deserialize, Serialize};

use super::contraction::Contraction;
use super::fused::Fused;
use super::path::Path;
use super::{ConnectionMode, Instruction, TensorProduct};
use crate::error::{LayerError, Result};
use crate::o3::{IrrepNormalization, PathNormalization};
use crate::weights::Weights;

/// Configuration of a [`TensorProduct`].
///
/// ```
/// # #[cfg(feature = "flex")] {
/// use burn::tensor::{Device, Tensor};
/// use equi_layers::o3::{ConnectionMode, Instruction, TensorProductConfig};
///
/// // Vectors times the harmonics of an edge, a weight for every vector and edge.
/// let instructions = [Instruction::new(0, 0, 0, ConnectionMode::Uvu), Instruction::new(0, 1, 1, ConnectionMode::Uvu)];
/// let config = TensorProductConfig::new("8x1o".parse()?, "0e+1o".parse()?, "8x1o+8x2e".parse()?, instructions);
/// let product = config.without_weights().init(&Device::flex())?;
/// let ones = |columns| Tensor::ones([100, columns], &Device::flex());
/// assert_eq!(product.forward_with(ones(24), ones(4), ones(product.weight_numel())).dims(), [100, 8 * 3 + 8 * 5]);
/// # }
/// # Ok::<(), equi_layers::LayerError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorProductConfig {
    /// The first input.
    pub irreps_in1: Irreps,
    /// The second input.
    pub irreps_in2: Irreps,
    /// The output.
    pub irreps_out: Irreps,
    /// The paths, in the order of their weights.
    pub instructions: Vec<Instruction>,
    /// Variance of the components of every block of the first input; none for 1.
    pub in1_var: Option<Vec<f64>>,
    /// The same of the second input.
    pub in2_var: Option<Vec<f64>>,
    /// The same of the output.
    pub out_var: Option<Vec<f64>>,
    /// Which features count as being of size 1.
    pub irrep_normalization: IrrepNormalization,
    /// How paths to the same output share its variance.
    pub path_normalization: PathNormalization,
    /// Whether it has weights of its own; else every call gives them.
    pub own_weights: bool,
    /// Whether blocks of the output that no path reaches may be, and be zero.
    pub unreached_outputs: bool,
    /// Seed of the weights; none for the random numbers of the device.
    pub seed: Option<u64>,
}

impl TensorProductConfig {
    /// With these paths.
    pub fn new(
        irreps_in1: Irreps,
        irreps_in2: Irreps,
        irreps_out: Irreps,
        instructions: impl Into<Vec<Instruction>>,
    ) -> Self {
        Self {
            irreps_in1,
            irreps_in2,
            irreps_out,
            instructions: instructions.into(),
            in1_var: None,
            in2_var: None,
            out_var: None,
            irrep_normalization: IrrepNormalization::Component,
            path_normalization: PathNormalization::Element,
            own_weights: true,
            unreached_outputs: false,
            seed: None,
        }
    }

    /// Every copy of the inputs to every copy of the output that their product contains, each with a weight: e3nn's
    /// `FullyConnectedTensorProduct`.
    pub fn fully_connected(irreps_in1: Irreps, irreps_in2: Irreps, irreps_out: Irreps) -> Self {
        let mut instructions = Vec::new();
        for (in1, a) in irreps_in1.blocks().iter().enumerate() {
            for (in2, b) in irreps_in2.blocks().iter().enumerate() {
                for (out, c) in irreps_out.blocks().iter().enumerate() {
                    if a.irrep.product(b.irrep).any(|irrep| irrep == c.irrep) {
                        instructions.push(Instruction::new(in1, in2, out, ConnectionMode::Uvw));
                    }
                }
            }
        }
        Self::new(irreps_in1, irreps_in2, irreps_out, instructions)
    }

    /// Everything that the product of the inputs contains, sorted by irrep and without weights: e3nn's `FullTensorProduct`. Neighbouring
    /// blocks of the same irrep in the inputs are taken as one.
    pub fn full(irreps_in1: &Irreps, irreps_in2: &Irreps) -> Self {
        let (irreps_in1, irreps_in2) = (irreps_in1.simplify(), irreps_in2.simplify());
        let (mut blocks, mut instructions) = (Vec::new(), Vec::new());
        for (in1, a) in irreps_in1.blocks().iter().enumerate() {
            for (in2, b) in irreps_in2.blocks().iter().enumerate() {
                for irrep in a.irrep.product(b.irrep) {
                    let instruction = Instruction::new(in1, in2, blocks.len(), ConnectionMode::Uvuv);
                    instructions.push(instruction.without_weight());
                    blocks.push(MulIrrep::new(a.mul * b.mul, irrep));
                }
            }
        }
        Self::sorted(irreps_in1, irreps_in2, blocks, instructions)
    }

    /// Copy by copy, everything that their products contain, without weights: e3nn's `ElementwiseTensorProduct`. Blocks are split where
    /// those of the other input end.
    ///
    /// # Errors
    /// [`LayerError::InvalidConfig`] unless both have the same number of copies.
    pub fn elementwise(irreps_in1: &Irreps, irreps_in2: &Irreps) -> Result<Self> {
        if irreps_in1.copies() != irreps_in2.copies() {
            return Err(LayerError::InvalidConfig(format!(
                "{irreps_in1} and {irreps_in2} have {} and {} copies of irreps, which cannot be multiplied one by one: give both the same \
                 number",
                irreps_in1.copies(),
                irreps_in2.copies()
            )));
        }
        let each = |irreps: &Irreps| -> Vec<(usize, Irrep)> {
            let simple = irreps.simplify();
            let copies = |(place, block): (usize, &MulIrrep)| std::iter::repeat_n((place, block.irrep), block.mul);
            simple.blocks().iter().enumerate().flat_map(copies).collect()
        };
        let pairs: Vec<_> = each(irreps_in1).into_iter().zip(each(irreps_in2)).collect();
        let (mut ins, mut blocks, mut instructions) = ((Vec::new(), Vec::new()), Vec::new(), Vec::new());
        for (place, run) in pairs.chunk_by(|a, b| a == b).enumerate() {
            let ((_, first), (_, second)) = run[0];
            ins.0.push(MulIrrep::new(run.len(), first));
            ins.1.push(MulIrrep::new(run.len(), second));
            for irrep in first.product(second) {
                let instruction = Instruction::new(place, place, blocks.len(), ConnectionMode::Uuu);
                instructions.push(instruction.without_weight());
                blocks.push(MulIrrep::new(run.len(), irrep));
            }
        }
        Ok(Self::new(Irreps::new(ins.0), Irreps::new(ins.1), Irreps::new(blocks), instructions))
    }

    /// Everything that the product of an input with itself contains, once, sorted by irrep and without weights: e3nn's `TensorSquare`. The
    /// layer is called with the input in both places.
    ///
    /// Squares of normal variables are not of variance 1; their paths are weighted so that outputs are.
    pub fn square(irreps: &Irreps, normalization: IrrepNormalization) -> Self {
        let irreps = irreps.simplify();
        let (mut blocks, mut instructions) = (Vec::new(), Vec::new());
        for (in1, a) in irreps.blocks().iter().enumerate() {
            for (in2, b) in irreps.blocks().iter().enumerate().skip(in1) {
                for irrep in a.irrep.product(b.irrep) {
                    let mut push = |mode, mul, same: bool| {
                        let weight = square_weight(normalization, [a.irrep, b.irrep, irrep], same);
                        let instruction = Instruction::new(in1, in2, blocks.len(), mode);
                        instructions.push(instruction.without_weight().with_path_weight(weight));
                        blocks.push(MulIrrep::new(mul, irrep));
                    };
                    if in1 < in2 {
                        push(ConnectionMode::Uvuv, a.mul * b.mul, false);
                        continue;
                    }
                    if a.mul > 1 {
                        push(ConnectionMode::UvuLtV, a.mul * (a.mul - 1) / 2, false);
                    }
                    if symmetric(irrep) {
                        push(ConnectionMode::Uuu, a.mul, true);
                    }
                }
            }
        }
        Self::sorted(irreps.clone(), irreps, blocks, instructions).with_irrep_normalization(IrrepNormalization::None)
    }

    /// Every pair of copies of the input, once, to every copy of the output that its product contains, each with a weight: e3nn's
    /// `TensorSquare` with `irreps_out`. The layer is called with the input in both places.
    pub fn square_onto(irreps: &Irreps, irreps_out: &Irreps, normalization: IrrepNormalization) -> Self {
        let (irreps, irreps_out) = (irreps.simplify(), irreps_out.simplify());
        let mut instructions = Vec::new();
        for (in1, a) in irreps.blocks().iter().enumerate() {
            for (in2, b) in irreps.blocks().iter().enumerate().skip(in1) {
                for (out, c) in irreps_out.blocks().iter().enumerate() {
                    if !a.irrep.product(b.irrep).any(|irrep| irrep == c.irrep) {
                        continue;
                    }
                    let mut push = |mode, same: bool| {
                        let weight = square_weight(normalization, [a.irrep, b.irrep, c.irrep], same);
                        instructions.push(Instruction::new(in1, in2, out, mode).with_path_weight(weight));
                    };
                    if in1 < in2 {
                        push(ConnectionMode::Uvw, false);
                        continue;
                    }
                    if a.mul > 1 {
                        push(ConnectionMode::ULtVw, false);
                    }
                    if symmetric(c.irrep) {
                        push(ConnectionMode::Uuw, true);
                    }
                }
            }
        }
        Self::new(irreps.clone(), irreps, irreps_out, instructions).with_irrep_normalization(IrrepNormalization::None)
    }

    /// With a block of the output for every instruction, sorted by irrep.
    pub(in crate::o3) fn sorted(
        in1: Irreps,
        in2: Irreps,
        blocks: Vec<MulIrrep>,
        mut instructions: Vec<Instruction>,
    ) -> Self {
        let sorted = Irreps::new(blocks).sort();
        for instruction in &mut instructions {
            instruction.out = sorted.permutation[instruction.out];
        }
        Self::new(in1, in2, sorted.irreps, instructions)
    }

    /// The same with those outputs only that are of one of these irreps: e3nn's `filter_ir_out`.
    pub fn restricted_to(mut self, irreps: &[Irrep]) -> Self {
        let kept: Vec<bool> = self.irreps_out.blocks().iter().map(|block| irreps.contains(&block.irrep)).collect();
        let place = |out: usize| kept[..out].iter().filter(|kept| **kept).count();
        self.instructions.retain(|instruction| kept.get(instruction.out).is_none_or(|kept| *kept));
        for instruction in self.instructions.iter_mut().filter(|instruction| instruction.out < kept.len()) {
            instruction.out = place(instruction.out);
        }
        let keep = |values: Vec<f64>| values.into_iter().zip(&kept).filter_map(|(v, kept)| kept.then_some(v)).collect();
        self.out_var = self.out_var.map(keep);
        self.irreps_out = self.irreps_out.filter(|irrep| irreps.contains(&irrep));
        self
    }

    /// The same for a first input whose blocks have components of these variances.
    pub fn with_in1_var(mut self, variances: impl Into<Vec<f64>>) -> Self {
        self.in1_var = Some(variances.into());
        self
    }

    /// The same for a second input whose blocks have components of these variances.
    pub fn with_in2_var(mut self, variances: impl Into<Vec<f64>>) -> Self {
        self.in2_var = Some(variances.into());
        self
    }

    /// The same for an output whose blocks are to have components of these variances.
    pub fn with_out_var(mut self, variances: impl Into<Vec<f64>>) -> Self {
        self.out_var = Some(variances.into());
        self
    }

    /// The same with another size of features.
    pub fn with_irrep_normalization(mut self, normalization: IrrepNormalization) -> Self {
        self.irrep_normalization = normalization;
        self
    }

    /// The same with the variance shared in another way.
    pub fn with_path_normalization(mut self, normalization: PathNormalization) -> Self {
        self.path_normalization = normalization;
        self
    }

    /// The same without weights of its own, for [`TensorProduct::forward_with`].
    pub fn without_weights(mut self) -> Self {
        self.own_weights = false;
        self
    }

    /// The same with zeros for outputs that no path reaches; [`TensorProduct::output_mask`] tells which they are.
    pub fn with_unreached_outputs(mut self) -> Self {
        self.unreached_outputs = true;
        self
    }

    /// The same with weights that depend on nothing but the seed.
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Builds the product. Weights start normal with variance 1.
    ///
    /// # Errors
    /// [`LayerError::InvalidConfig`] for irreps without columns, a path to an irrep that the product does not contain or to copies that its
    /// mode does not give, an output that no path reaches, and variances or weights of paths that are none.
    pub fn init(&self, options: impl Into<TensorCreationOptions>) -> Result<TensorProduct> {
        let paths = Path::all(self)?;
        for (out, block) in self.irreps_out.blocks().iter().enumerate() {
            if !(self.unreached_outputs || block.mul == 0 || paths.iter().any(|path| path.reaches(out))) {
                return Err(LayerError::InvalidConfig(format!(
                    "no path reaches block {out} of the output, {block}: {} x {} has none to it among the {} given; leave it out, or let it \
                     be zero by `with_unreached_outputs`",
                    self.irreps_in1,
                    self.irreps_in2,
                    paths.len()
                )));
            }
        }
        let mut weights = Weights::new(self.seed, options);
        let weight_numel = paths.last().map_or(0, |path| path.weights.end);
        let weight = (self.own_weights && weight_numel > 0).then(|| weights.normal([weight_numel]));
        let fused = Fused::new(self, &paths)?;
        let contractions = match fused {
            Some(Fused::Uvu(_)) => vec![],
            _ => paths.iter().map(|path| Contraction::new(path, &weights)).collect::<Result<_>>()?,
        };
        Ok(TensorProduct::new(weight, contractions, fused, paths, self.clone()))
    }
}

/// Whether the product of an irrep with itself contains this one in its symmetric half: even degrees do.
fn symmetric(irrep: Irrep) -> bool {
    irrep.l.is_multiple_of(2)
}

/// What a path of a square is weighted with, for which the product of a variable with itself (`same`) differs from that of two.
fn square_weight(normalization: IrrepNormalization, [a, b, out]: [Irrep; 3], same: bool) -> f64 {
    let [d1, d2, d] = [a, b, out].map(|irrep| irrep.dim() as f64);
    match (normalization, same, out.l) {
        (IrrepNormalization::None, _, _) => 1.0,
        (IrrepNormalization::Component, false, _) => d,
        // The mean square of |x|^2 / sqrt(d1).
        (IrrepNormalization::Component, true, 0) => d / (d1 + 2.0),
        (IrrepNormalization::Component, true, _) => d / 2.0,
        (IrrepNormalization::Norm, false, _) => d1 * d2,
        (IrrepNormalization::Norm, true, 0) => d * d1,
        (IrrepNormalization::Norm, true, _) => d1 * (d1 + 2.0) / 2.0,
    }
}
