//! The action on points and vectors of the plane.

use burn::tensor::{Tensor, TensorData};

use crate::group::Element;

/// Turns (and flips) points about the origin: each row `p` becomes `R p`.
///
/// # Shapes
/// - `points`, output: `[points, 2]`, as `(x, y)` with y up
///
/// # Panics
/// If the points are not in the plane.
pub fn act(g: &Element, points: Tensor<2>) -> Tensor<2> {
    let [_, dimension] = points.dims();
    assert_eq!(dimension, 2, "a planar group acts on points [n, 2]; these have {dimension} coordinates");
    let [[a, b], [c, d]] = g.matrix();
    // The transpose, so that rows are mapped; sums of products rather than matmul, which GPUs may round.
    let data = |row: [f64; 2]| {
        let data = TensorData::new(row.to_vec(), [1, 2]).convert_dtype(points.dtype());
        Tensor::<2>::from_data(data, (&points.device(), points.dtype()))
    };
    let x = (points.clone() * data([a, b])).sum_dim(1);
    let y = (points.clone() * data([c, d])).sum_dim(1);
    Tensor::cat(vec![x, y], 1)
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::group::D8;
    use burn::tensor::Device;

    #[test]
    fn a_quarter_turn_takes_x_to_y() {
        let moved = act(&Element::turn(1, 4), Tensor::from_data([[1.0, 0.0], [0.0, 2.0]], &Device::flex()));
        moved.into_data().assert_eq(&TensorData::from([[0.0, 1.0], [-2.0, 0.0]]), false);
    }

    #[test]
    fn the_action_is_a_homomorphism() {
        let points = Tensor::<2>::from_data([[0.3, -0.8], [1.5, 0.2]], &Device::flex());
        for a in D8.elements().unwrap() {
            for b in D8.elements().unwrap() {
                let difference = act(&a, act(&b, points.clone())) - act(&(a * b), points.clone());
                assert!(difference.abs().max().into_scalar::<f32>() < 1e-6);
            }
        }
    }
}
