//! Is it invariant? The logits of images and of moved images, compared.

use burn::Tensor;
use equi_core::FieldType;
use equi_core::action::image::act;
use equi_core::check::{self, FieldFn, LayerReport, LayerReports, NamedLayer};
use equi_core::group::{Element, Group};

use crate::compare::results::{EquivarianceError, LayerError};
use crate::compare::stats::largest;

/// `|f(g.x) - f(x)| / |f(x)|`, the largest over the quarter turns and flips in `group`, which only exchange pixels; none if
/// `group` has none of these but the identity. NaN is larger than everything: a broken network must not pass.
pub fn exact_error(forward: impl Fn(Tensor<4>) -> Tensor<2>, group: Group, images: &Tensor<4>) -> Option<f64> {
    let reference = forward(images.clone());
    let error = |g: &Element| relative(forward(act(g, images.clone())), reference.clone());
    group.grid_symmetries().iter().filter(|g| **g != Element::IDENTITY).map(error).reduce(largest)
}

/// All errors of a trained model, beside the exact error it had before.
pub fn invariance(
    forward: impl Fn(Tensor<4>) -> Tensor<2>,
    group: Group,
    images: &Tensor<4>,
    exact_untrained: Option<f64>,
) -> EquivarianceError {
    let eighth = Element::turn(1, 8);
    let turned = act(&eighth, images.clone());
    let back = act(&eighth.inverse(), turned.clone());
    let reference = forward(images.clone());
    let scalars = |count| FieldType::trivial(Group::trivial(), count);
    let logits =
        FieldFn::new(scalars(images.dims()[1]), scalars(reference.dims()[1]), &images.device(), images.dtype(), |x| {
            forward(x).unsqueeze_dims(&[2, 3])
        });
    EquivarianceError {
        exact_untrained,
        exact: exact_error(&forward, group, images),
        rotation_45: Some(relative(forward(turned), reference)),
        small_turns: Some(check::local(&logits, images.clone()).relative),
        resampling_floor_45: Some(relative(back.flatten::<2>(1, 3), images.clone().flatten::<2>(1, 3))),
    }
}

/// Images on which layers are measured: each is measured again for all that come after it.
const FEW: usize = 8;

/// The errors of every layer of a network, for the elements of `group`, on the first of the images.
pub fn layers(network: &[NamedLayer], group: Group, images: &Tensor<4>) -> Vec<LayerError> {
    if network.is_empty() {
        return Vec::new();
    }
    let few = images.clone().narrow(0, 0, images.dims()[0].min(FEW));
    let LayerReports(reports) = check::layers(network, group, few);
    let error = |report: LayerReport| {
        let LayerReport { name, own, accumulated } = report;
        let floor = own.interpolated.iter().map(|error| error.resampling_floor).reduce(largest);
        LayerError {
            layer: name,
            exact: (!own.exact.is_empty()).then(|| own.exact_error()),
            exact_so_far: (!accumulated.exact.is_empty()).then(|| accumulated.exact_error()),
            interpolated: (!own.interpolated.is_empty()).then(|| own.interpolated_error()),
            resampling_floor: floor,
        }
    };
    reports.into_iter().map(error).collect()
}

fn relative(moved: Tensor<2>, reference: Tensor<2>) -> f64 {
    let norm = |tensor: Tensor<2>| tensor.into_data().iter::<f64>().map(|value| value * value).sum::<f64>().sqrt();
    norm(moved - reference.clone()) / norm(reference).max(f64::MIN_POSITIVE)
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::fit::Classifier;
    use crate::model::PlainCnnConfig;
    use burn::module::Module;
    use burn::tensor::{Device, TensorData};
    use equi_core::group::{C4, D4, Group};

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
    fn an_invariant_model_has_no_exact_error_and_a_plain_one_has() {
        // The sums are in another order, so f32 rounding remains.
        assert!(exact_error(|x| Sums {}.forward(x), D4, &images()).unwrap() < 1e-6);
        let plain = PlainCnnConfig::new(2, 3).init(0, &Device::flex()).valid();
        assert!(exact_error(|x| plain.forward(x), D4, &images()).unwrap() > 1e-3);
    }

    #[test]
    fn a_group_without_quarter_turns_has_no_exact_error() {
        for group in ["C1", "C3", "C5"] {
            assert_eq!(exact_error(|x| Sums {}.forward(x), group.parse::<Group>().unwrap(), &images()), None);
        }
    }

    /// Logits that are NaN for turned images only.
    #[derive(Module, Debug)]
    struct Broken {}

    impl Classifier for Broken {
        fn forward(&self, images: Tensor<4>) -> Tensor<2> {
            let corner = images.slice([0..3, 0..1, 0..1, 0..1]).flatten::<2>(1, 3);
            let first = corner.clone().slice([0..1, 0..1]).into_scalar::<f32>();
            if first == 0.0 { corner + 1.0 } else { corner * f32::NAN }
        }
    }

    #[test]
    fn a_broken_network_has_no_finite_error() {
        assert!(exact_error(|x| Broken {}.forward(x), C4, &images()).unwrap().is_nan());
    }

    #[test]
    fn the_floor_is_what_resampling_does_to_the_image() {
        let errors = invariance(|x| Sums {}.forward(x), D4, &images(), Some(0.5));
        assert_eq!(errors.exact_untrained, Some(0.5));
        assert!((0.01..1.0).contains(&errors.resampling_floor_45.unwrap()), "{errors:?}");
        assert!(errors.rotation_45.unwrap() > 0.0);
        assert!(errors.small_turns.unwrap() > 0.0, "squares of resampled images are not the squares resampled");
    }
}
