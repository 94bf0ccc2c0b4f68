//! A path that was checked, with its coefficient and the place of its weights.

use equi_core::o3::{Irreps, MulIrrep};
use std::fmt;
use std::ops::Range;

use super::{Instruction, TensorProductConfig};
use crate::error::{LayerError, Result};
use crate::o3::{IrrepNormalization, PathNormalization};

/// A path of a [`TensorProduct`](super::TensorProduct).
#[derive(Clone, Debug, PartialEq)]
pub struct Path {
    /// What was asked for.
    pub instruction: Instruction,
    /// The blocks it multiplies, and the one it adds to.
    pub blocks: [MulIrrep; 3],
    /// What the Wigner 3j tensor is multiplied by.
    pub coefficient: f64,
    /// The shape of the weights of its mode, `[u, v, w]` for `uvw`, whether it has them or not.
    pub shape: Vec<usize>,
    /// Where its weights are, row-major; empty without.
    pub weights: Range<usize>,
}

impl Path {
    /// Those of all instructions.
    pub(super) fn all(config: &TensorProductConfig) -> Result<Vec<Self>> {
        let irreps = [&config.irreps_in1, &config.irreps_in2, &config.irreps_out];
        let mut variances = Vec::with_capacity(3);
        for ((name, irreps), given) in ["first input", "second input", "output"].into_iter().zip(irreps).zip([
            &config.in1_var,
            &config.in2_var,
            &config.out_var,
        ]) {
            if irreps.dim() == 0 {
                return Err(LayerError::InvalidConfig(format!("the {name} has no columns: its irreps are `{irreps}`")));
            }
            variances.push(given.clone().unwrap_or_else(|| vec![1.0; irreps.blocks().len()]));
            check_variances(name, irreps, &variances[variances.len() - 1])?;
        }
        let mut paths = Vec::with_capacity(config.instructions.len());
        let mut end = 0;
        for (number, &instruction) in config.instructions.iter().enumerate() {
            let path = Self::new(instruction, irreps, end)
                .map_err(|reason| LayerError::InvalidConfig(format!("path {number} of the product: {reason}")))?;
            end = path.weights.end;
            paths.push(path);
        }
        let terms = |path: &Self| {
            let Instruction { in1, in2, mode, .. } = path.instruction;
            let [mul1, mul2] = [0, 1].map(|place| path.blocks[place].mul);
            variances[0][in1] * variances[1][in2] * mode.terms(mul1, mul2) as f64
        };
        let coefficients: Vec<f64> = paths
            .iter()
            .map(|path| {
                let [d1, d2, d] = path.blocks.map(|block| block.irrep.dim() as f64);
                let of_irrep = match config.irrep_normalization {
                    IrrepNormalization::Component => d,
                    IrrepNormalization::Norm => d1 * d2,
                    IrrepNormalization::None => 1.0,
                };
                let mut beside = paths.iter().filter(|other| other.instruction.out == path.instruction.out);
                let of_paths: f64 = match config.path_normalization {
                    PathNormalization::Element => beside.map(terms).sum(),
                    PathNormalization::Path => terms(path) * beside.by_ref().count() as f64,
                    PathNormalization::None => 1.0,
                };
                let variance = path.instruction.path_weight * variances[2][path.instruction.out] * of_irrep;
                // Without terms there is nothing to share.
                (if of_paths > 0.0 { variance / of_paths } else { variance }).sqrt()
            })
            .collect();
        for (path, coefficient) in paths.iter_mut().zip(coefficients) {
            path.coefficient = coefficient;
        }
        Ok(paths)
    }

    /// The path without its coefficient, its weights from `start`; or why there is none.
    fn new(instruction: Instruction, irreps: [&Irreps; 3], start: usize) -> Result<Self, String> {
        let Instruction { in1, in2, out, mode, has_weight, path_weight } = instruction;
        let blocks = [in1, in2, out].into_iter().zip(irreps).map(|(place, irreps)| {
            irreps.blocks().get(place).copied().ok_or_else(|| {
                let count = irreps.blocks().len();
                format!("there is no block {place} in {irreps}, which has {count}, numbered from 0")
            })
        });
        let blocks: [MulIrrep; 3] = blocks.collect::<Result<Vec<_>, String>>()?.try_into().expect("three");
        let [first, second, to] = blocks;
        if !first.irrep.product(second.irrep).any(|irrep| irrep == to.irrep) {
            let contains: Vec<String> = first.irrep.product(second.irrep).map(|irrep| irrep.to_string()).collect();
            return Err(format!(
                "{} x {} does not contain {}: it contains {} (degrees from |l1 - l2| to l1 + l2, of the product of the parities)",
                first.irrep,
                second.irrep,
                to.irrep,
                contains.join("+")
            ));
        }
        if mode.needs_equal_inputs() && first.mul != second.mul {
            return Err(format!("mode {mode} multiplies copies one by one, but {first} and {second} differ in number"));
        }
        if mode.needs_weight() && !has_weight {
            return Err(format!("mode {mode} needs weights, since they say what its outputs are"));
        }
        if let Some((copies, reason)) = mode.copies_out(first.mul, second.mul, has_weight)
            && copies != to.mul
        {
            return Err(format!(
                "mode {mode} of {first} and {second} gives {copies}x{}, not {to}: the number of copies is {reason}",
                to.irrep
            ));
        }
        // Not `<`, which NaN would pass.
        if !(path_weight >= 0.0 && path_weight.is_finite()) {
            return Err(format!("its path weight is {path_weight}, and must be finite and not negative"));
        }
        let shape = mode.weight_shape(first.mul, second.mul, to.mul);
        let count = if has_weight { shape.iter().product() } else { 0 };
        Ok(Self { instruction, blocks, coefficient: 0.0, shape, weights: start..start + count })
    }

    /// Whether it adds anything to a block of the output.
    pub(super) fn reaches(&self, out: usize) -> bool {
        self.instruction.out == out && !self.is_empty()
    }

    /// Whether it has no terms.
    pub(super) fn is_empty(&self) -> bool {
        self.shape.contains(&0)
    }
}

fn check_variances(name: &str, irreps: &Irreps, variances: &[f64]) -> Result<()> {
    if variances.len() != irreps.blocks().len() {
        return Err(LayerError::InvalidConfig(format!(
            "{} variances for the {} blocks of the {name}, {irreps}: give one for each",
            variances.len(),
            irreps.blocks().len()
        )));
    }
    match variances.iter().position(|variance| !(*variance >= 0.0 && variance.is_finite())) {
        None => Ok(()),
        Some(place) => Err(LayerError::InvalidConfig(format!(
            "the variance of block {place} of the {name}, {irreps}, is {}, and must be finite and not negative",
            variances[place]
        ))),
    }
}

/// `4x1o x 1x1o -> 4x2e (uvu, 4 weights)`.
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second, to] = self.blocks;
        write!(f, "{first} x {second} -> {to} ({}, {} weights)", self.instruction.mode, self.weights.len())
    }
}
