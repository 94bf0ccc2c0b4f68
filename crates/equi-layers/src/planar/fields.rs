//! Fields side by side: runs of equal size, so that a loop over the fields becomes one tensor operation a run.

use burn::tensor::Tensor;
use equi_core::FieldType;
use equi_core::repr::Basis;

use crate::error::{LayerError, Result};

/// Neighbouring fields of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// The first channel.
    start: usize,
    /// How many fields.
    fields: usize,
    /// Channels of each.
    size: usize,
}

/// The runs of a type, in the order of the channels.
pub(super) fn runs(field_type: &FieldType) -> Vec<Run> {
    let starts: Vec<(usize, usize)> = field_type.offsets().map(|(start, field)| (start, field.size())).collect();
    let run = |run: &[(usize, usize)]| Run { start: run[0].0, fields: run.len(), size: run[0].1 };
    starts.chunk_by(|a, b| a.1 == b.1).map(run).collect()
}

/// Applies a map to every run and lays the results side by side.
///
/// # Shapes
/// - `features`: `[batch, channels, height, width]`
/// - the map: from `[batch, fields, size, height * width]` to `[batch, channels', height', width']`
pub(super) fn map_runs(features: Tensor<4>, runs: &[Run], map: impl Fn(Tensor<4>) -> Tensor<4>) -> Tensor<4> {
    let [batch, _, height, width] = features.dims();
    let apply = |run: &Run, part: Tensor<4>| map(part.reshape([batch, run.fields, run.size, height * width]));
    if let [only] = runs {
        return apply(only, features);
    }
    let part = |run: &Run| apply(run, features.clone().narrow(1, run.start, run.fields * run.size));
    Tensor::cat(runs.iter().map(part).collect(), 1)
}

/// Refuses fields whose channels the group mixes instead of permuting.
pub(super) fn require_permutations(layer: &str, field_type: &FieldType, why: &str, cure: &str) -> Result<()> {
    match field_type.fields().iter().find(|field| field.basis() != Basis::Permutation) {
        None => Ok(()),
        Some(field) => Err(LayerError::Unsupported(format!(
            "{layer} {why}, which does not commute with {field:?}, whose channels are mixed and not permuted: use {cure}"
        ))),
    }
}
