//! Lengths of vectors that may vanish.

use burn::tensor::Tensor;

/// `sqrt(x)` of a squared length, with gradient zero at zero, where that of the root is infinite.
pub(crate) fn root<const D: usize>(squares: Tensor<D>) -> Tensor<D> {
    // Flex cannot fill a part of nothing.
    if squares.dims().contains(&0) {
        return squares;
    }
    let zero = squares.clone().equal_scalar(0.0);
    squares.mask_fill(zero.clone(), 1.0).sqrt().mask_fill(zero, 0.0)
}
