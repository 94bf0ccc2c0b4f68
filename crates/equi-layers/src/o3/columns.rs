//! Columns of features and of weights, apart and mixed.

use burn::tensor::Tensor;

/// The columns of `x`, `widths[0]` of them, then `widths[1]`, and so on, `None` where there are none.
///
/// Halves are cut in halves: the gradient of a piece is as large as what it is cut from, so that cutting all from `x` would cost as many
/// tensors of the size of `x` as there are pieces, and this costs their logarithm.
pub(super) fn split(x: Tensor<2>, widths: &[usize]) -> Vec<Option<Tensor<2>>> {
    let columns = widths.iter().sum::<usize>();
    debug_assert_eq!(x.dims()[1], columns);
    let (left, right) = match widths {
        _ if columns == 0 => return vec![None; widths.len()],
        [_] => return vec![Some(x)],
        _ => widths.split_at(widths.len() / 2),
    };
    let place = left.iter().sum();
    let part = |start, side: &[usize]| match side.iter().sum::<usize>() {
        0 => vec![None; side.len()],
        width if width == columns => split(x.clone(), side),
        width => split(x.clone().narrow(1, start, width), side),
    };
    let mut parts = part(0, left);
    parts.extend(part(place, right));
    parts
}

/// `y_w = sum_u x_u W_uw`, where `u` runs over the copies of all inputs: one matrix product for everything that reaches an output.
///
/// # Shapes
/// - inputs: `[rows, 2 l + 1, copies]`, copies last
/// - weights: `[1, copies, out]`, or `[rows, copies, out]` with other weights for every row
/// - output: `[rows, out, 2 l + 1]`
pub(super) fn mix(inputs: Vec<Tensor<3>>, weights: Vec<Tensor<3>>) -> Tensor<3> {
    let (inputs, weights) = (join(inputs, 2), join(weights, 1));
    let ([rows, components, copies], [batch, _, out]) = (inputs.dims(), weights.dims());
    let mixed = if batch == 1 {
        let inputs: Tensor<2> = inputs.reshape([rows * components, copies]);
        inputs.matmul(weights.reshape([copies, out])).reshape([rows, components, out])
    } else {
        inputs.matmul(weights)
    };
    mixed.swap_dims(1, 2)
}

/// One after the other along a dimension.
pub(super) fn join<const D: usize>(mut parts: Vec<Tensor<D>>, dim: usize) -> Tensor<D> {
    if parts.len() == 1 { parts.remove(0) } else { Tensor::cat(parts, dim) }
}
