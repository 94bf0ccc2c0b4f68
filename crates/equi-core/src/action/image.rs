//! The action on pixels, `(g . f)(p) = f(g^-1 p)`.

use burn::tensor::{Tensor, TensorData};

use crate::group::Element;
use crate::resample::resample;

/// Turns (and flips) images about their centre.
///
/// Quarter turns and flips permute the pixels and are exact; a quarter turn of a rectangle exchanges its sides. Other
/// elements go through the [one sampler](crate::resample), bilinear and zero outside the image, and are approximate.
///
/// # Shapes
/// - `images`: `[batch, channels, height, width]`
/// - output: the same, with the sides exchanged by odd quarter turns
pub fn act(g: &Element, images: Tensor<4>) -> Tensor<4> {
    let Some(turns) = g.quarter_turns() else {
        return resample_by(g, images);
    };
    let images = if g.is_flip() { images.flip([3]) } else { images };
    match turns {
        0 => images,
        1 => images.swap_dims(2, 3).flip([2]),
        2 => images.flip([2, 3]),
        _ => images.swap_dims(2, 3).flip([3]),
    }
}

fn resample_by(g: &Element, images: Tensor<4>) -> Tensor<4> {
    let batch = images.dims()[0];
    let inverse = g.inverse().matrix().concat();
    let data = TensorData::new(inverse, [1, 2, 2]).convert_dtype(images.dtype());
    let inverse = Tensor::<3>::from_data(data, (&images.device(), images.dtype()));
    resample(images, inverse.repeat_dim(0, batch))
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::group::{D4, Element};
    use burn::tensor::Device;

    fn picture() -> Tensor<4> {
        Tensor::<1>::from_data(TensorData::new((0..30).map(|i| i as f32).collect(), [30]), &Device::flex())
            .reshape([1, 2, 3, 5])
    }

    #[test]
    fn a_quarter_turn_is_counter_clockwise() {
        let turned = act(&Element::turn(1, 4), Tensor::<4>::from_data([[[[1.0, 2.0], [3.0, 4.0]]]], &Device::flex()));
        turned.into_data().assert_eq(&TensorData::from([[[[2.0, 4.0], [1.0, 3.0]]]]), false);
    }

    #[test]
    fn grid_symmetries_compose_exactly() {
        let elements = D4.elements().unwrap();
        for &a in &elements {
            for &b in &elements {
                let twice = act(&a, act(&b, picture()));
                twice.into_data().assert_eq(&act(&(a * b), picture()).into_data(), true);
            }
        }
    }

    /// The sampler and the permutation must turn the same way.
    #[test]
    fn resampling_a_grid_symmetry_gives_the_permutation() {
        let square = picture().slice([0..1, 0..2, 0..3, 0..3]);
        for g in D4.elements().unwrap() {
            let difference = resample_by(&g, square.clone()) - act(&g, square.clone());
            assert!(difference.abs().max().into_scalar::<f32>() < 1e-5, "{g}");
        }
    }
}
