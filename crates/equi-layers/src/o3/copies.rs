//! The copies of irreps in a row of features, one after the other whatever block they are in.

use burn::tensor::Tensor;
use equi_core::o3::Irreps;

use super::columns::{join, split};
use crate::error::{LayerError, Result};

/// Neighbouring copies of one dimension.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// Number of copies.
    copies: usize,
    /// Columns of each.
    size: usize,
}

/// Norms and multiples of every copy of irreps with `dim` columns.
#[derive(Clone, Debug)]
pub(super) struct Copies {
    runs: Vec<Run>,
}

impl Copies {
    pub(super) fn new(irreps: &Irreps) -> Self {
        let mut runs: Vec<Run> = Vec::new();
        for block in irreps.blocks().iter().filter(|block| block.mul > 0) {
            let size = block.irrep.dim();
            match runs.last_mut() {
                Some(run) if run.size == size => run.copies += block.mul,
                _ => runs.push(Run { copies: block.mul, size }),
            }
        }
        Self { runs }
    }

    /// `|x_c|^2` of every copy `c`.
    ///
    /// # Shapes
    /// - `features`: `[rows, dim]`
    /// - output: `[rows, copies]`
    pub(super) fn squared_norms(&self, features: Tensor<2>) -> Tensor<2> {
        let rows = features.dims()[0];
        let parts = self.parts(features.square()).map(|(run, part)| match run.size {
            1 => part,
            size => part.reshape([rows, run.copies, size]).sum_dim(2).reshape([rows, run.copies]),
        });
        join(parts.collect(), 1)
    }

    /// `f_c x_c` for every copy `c`.
    ///
    /// # Shapes
    /// - `features`, output: `[rows, dim]`
    /// - `factors`: `[rows, copies]`, or `[1, copies]` for all rows
    pub(super) fn scale(&self, features: Tensor<2>, factors: Tensor<2>) -> Tensor<2> {
        let ([rows, _], [factor_rows, _]) = (features.dims(), factors.dims());
        let mut first = 0;
        let parts = self.parts(features).map(|(run, part)| {
            let factors = factors.clone().narrow(1, first, run.copies);
            first += run.copies;
            match run.size {
                1 => part * factors,
                size => {
                    let part = part.reshape([rows, run.copies, size]) * factors.reshape([factor_rows, run.copies, 1]);
                    part.reshape([rows, run.copies * size])
                }
            }
        });
        join(parts.collect(), 1)
    }

    fn parts(&self, features: Tensor<2>) -> impl Iterator<Item = (&Run, Tensor<2>)> {
        let widths: Vec<usize> = self.runs.iter().map(|run| run.copies * run.size).collect();
        self.runs.iter().zip(split(features, &widths).into_iter().flatten())
    }
}

/// # Errors
/// [`LayerError::InvalidConfig`] for irreps without a column.
pub(super) fn check_columns(layer: &str, irreps: &Irreps) -> Result<()> {
    if irreps.dim() == 0 {
        return Err(LayerError::InvalidConfig(format!(
            "{layer} needs features, but these irreps have no column: `{irreps}`"
        )));
    }
    Ok(())
}

/// Panics unless the columns of `features` are those of `irreps`.
pub(super) fn check_features<const D: usize>(layer: &str, irreps: &Irreps, features: &Tensor<D>) {
    let (shape, dim) = (features.dims(), irreps.dim());
    assert_eq!(shape[D - 1], dim, "{layer} takes features [rows, {dim}] for {irreps}; it was given {shape:?}");
}
