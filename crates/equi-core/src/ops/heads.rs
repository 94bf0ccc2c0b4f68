//! What heads of attention compute for rows of segments: inner products, and weighted sums.

use burn::backend::Dispatch;
use burn::tensor::Tensor;

use super::Segments;
use super::extension::RowOps;

/// The inner products of every row with its segment, head by head: `l_r[h] = sum over m, c of q_s[m, h, c] k_r[m, h, c]` with the segment `s` of `r`.
///
/// # Shapes
/// With `heads` heads of as many channels each:
/// - `segment_values` (`q`): `[segments, components, heads * channels]`
/// - `values` (`k`): `[rows, components, heads * channels]`
/// - output: `[rows, heads]`
///
/// # Panics
/// If the shapes do not fit each other, the heads and the segments.
pub fn head_products(segment_values: Tensor<3>, values: Tensor<3>, segments: &Segments, heads: usize) -> Tensor<2> {
    let ([count, components, width], [rows, other, other_width]) = (segment_values.dims(), values.dims());
    assert!(
        [count, rows] == [segments.count(), segments.rows()]
            && [components, width] == [other, other_width]
            && heads > 0
            && width % heads == 0,
        "head_products of {heads} heads over {} rows in {} segments takes [segments, components, heads * channels] and [rows, components, heads * \
         channels]; it was given {:?} and {:?}",
        segments.rows(),
        segments.count(),
        segment_values.dims(),
        values.dims()
    );
    if rows * components * width == 0 {
        return Tensor::zeros([rows, heads], (&values.device(), values.dtype()));
    }
    Tensor::from_dispatch(<Dispatch as RowOps>::head_products(
        segment_values.into_dispatch(),
        values.into_dispatch(),
        segments.dispatch(),
        heads,
    ))
}

/// The weighted sums over the rows of every segment, head by head: `y_s[m, h, c] = sum over rows r of s of w_r[h] v_r[m, h, c]`; zero for an
/// empty segment.
///
/// # Shapes
/// - `values` (`v`): `[rows, components, heads * channels]`
/// - `weights` (`w`): `[rows, heads]`
/// - output: `[segments, components, heads * channels]`
///
/// # Panics
/// If the shapes do not fit each other and the segments.
pub fn head_sums(values: Tensor<3>, weights: Tensor<2>, segments: &Segments) -> Tensor<3> {
    let ([rows, components, width], [other, heads]) = (values.dims(), weights.dims());
    assert!(
        [rows, other] == [segments.rows(); 2] && heads > 0 && width % heads == 0,
        "head_sums over {} rows takes [rows, components, heads * channels] and [rows, heads]; it was given {:?} and {:?}",
        segments.rows(),
        values.dims(),
        weights.dims()
    );
    if rows * components * width == 0 {
        return Tensor::zeros([segments.count(), components, width], (&values.device(), values.dtype()));
    }
    Tensor::from_dispatch(<Dispatch as RowOps>::head_sums(
        values.into_dispatch(),
        weights.into_dispatch(),
        segments.dispatch(),
    ))
}
