//! Is it invariant? The logits of images and of moved images, compared.

use std::f64::consts::FRAC_PI_4;

use burn::Tensor;
use burn::tensor::{Device, TensorData};
use equi_core::resample::{resample, rotation_inverse};

use super::results::EquivarianceError;
use crate::fit::Classifier;

/// `|f(g.x) - f(x)| / |f(x)|`, the largest over quarter turns and mirror images, which only exchange pixels.
pub fn exact_error<M: Classifier>(model: &M, images: &Tensor<4>) -> f64 {
    let reference = model.forward(images.clone());
    (1..8)
        .map(|element| relative(model.forward(quarter_turn_or_flip(images.clone(), element)), reference.clone()))
        .fold(0.0, f64::max)
}

/// All errors of a trained model, beside the exact error it had before.
pub fn invariance<M: Classifier>(model: &M, images: &Tensor<4>, exact_untrained: f64) -> EquivarianceError {
    let turned = turn(images.clone(), FRAC_PI_4);
    let back = turn(turned.clone(), -FRAC_PI_4);
    EquivarianceError {
        exact_untrained,
        exact: exact_error(model, images),
        rotation_45: relative(model.forward(turned), model.forward(images.clone())),
        resampling_floor_45: relative(back.flatten::<2>(1, 3), images.clone().flatten::<2>(1, 3)),
    }
}

/// The image under one of the 8 symmetries of a square: `element % 4` quarter turns, after a mirror image from 4 on.
fn quarter_turn_or_flip(images: Tensor<4>, element: usize) -> Tensor<4> {
    let mirrored = if element >= 4 { images.flip([3]) } else { images };
    match element % 4 {
        0 => mirrored,
        // Counter-clockwise: what was the right column becomes the top row.
        1 => mirrored.swap_dims(2, 3).flip([2]),
        2 => mirrored.flip([2, 3]),
        _ => mirrored.swap_dims(2, 3).flip([3]),
    }
}

fn turn(images: Tensor<4>, radians: f64) -> Tensor<4> {
    let batch = images.dims()[0];
    let entries: Vec<f64> = rotation_inverse(radians).into_iter().flatten().collect::<Vec<_>>().repeat(batch);
    let device: Device = images.device();
    let inverse = Tensor::<3>::from_data(TensorData::new(entries, [batch, 2, 2]), (&device, images.dtype()));
    resample(images, inverse)
}

fn relative(moved: Tensor<2>, reference: Tensor<2>) -> f64 {
    let norm = |tensor: Tensor<2>| tensor.into_data().iter::<f64>().map(|value| value * value).sum::<f64>().sqrt();
    norm(moved - reference.clone()) / norm(reference).max(f64::MIN_POSITIVE)
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::model::PlainCnnConfig;
    use burn::module::Module;

    const SIZE: usize = 7;

    fn images() -> Tensor<4> {
        let pixels: Vec<f32> = (0..3 * SIZE * SIZE).map(|i| ((i * i * 5 + i) % 31) as f32).collect();
        Tensor::from_data(TensorData::new(pixels, [3, 1, SIZE, SIZE]), &Device::flex())
    }

    /// Logits that no symmetry of the square changes: sums over pixels of the value and of its square.
    #[derive(Module, Debug)]
    struct Sums {}

    impl Classifier for Sums {
        fn forward(&self, images: Tensor<4>) -> Tensor<2> {
            let pixels = images.flatten::<2>(1, 3);
            Tensor::cat(vec![pixels.clone().sum_dim(1), pixels.powi_scalar(2).sum_dim(1)], 1)
        }
    }

    #[test]
    fn the_eight_elements_are_the_symmetries_of_the_square() {
        let flat = |element| quarter_turn_or_flip(images(), element).into_data().try_to_vec::<f32>().unwrap();
        for a in 0..8 {
            for b in 0..a {
                assert_ne!(flat(a), flat(b), "{a} and {b}");
            }
        }
        // A quarter turn is the resampling by 90 degrees, up to the rounding of the sine and cosine.
        let resampled = turn(images(), std::f64::consts::FRAC_PI_2);
        let difference = relative(quarter_turn_or_flip(images(), 1).flatten::<2>(1, 3), resampled.flatten::<2>(1, 3));
        assert!(difference < 1e-5, "{difference}");
    }

    #[test]
    fn an_invariant_model_has_no_exact_error_and_a_plain_one_has() {
        // The sums are in another order, so f32 rounding remains.
        assert!(exact_error(&Sums {}, &images()) < 1e-6);
        let plain = PlainCnnConfig::new(2, 3).init(0, &Device::flex()).valid();
        assert!(exact_error(&plain, &images()) > 1e-3);
    }

    #[test]
    fn the_floor_is_what_resampling_does_to_the_image() {
        let errors = invariance(&Sums {}, &images(), 0.5);
        assert_eq!(errors.exact_untrained, 0.5);
        assert!(errors.resampling_floor_45 > 0.01 && errors.resampling_floor_45 < 1.0, "{errors:?}");
        assert!(errors.rotation_45 > 0.0);
    }
}
