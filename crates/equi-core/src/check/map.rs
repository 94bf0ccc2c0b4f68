//! What can be checked.

use burn::tensor::{DType, Device, Tensor, TensorData};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::error::{Error, Result};
use crate::field::FieldType;

/// A map of feature fields that claims to be equivariant.
pub trait FieldMap {
    /// How its input transforms.
    fn input_type(&self) -> FieldType;

    /// How its output transforms.
    fn output_type(&self) -> FieldType;

    /// `[batch, input_type.size(), height, width]` to `[batch, output_type.size(), height', width']`.
    fn forward(&self, features: Tensor<4>) -> Tensor<4>;

    /// Where and in which precision it computes.
    fn options(&self) -> (Device, DType) {
        (Device::default(), DType::F32)
    }
}

impl<M: FieldMap + ?Sized> FieldMap for &M {
    fn input_type(&self) -> FieldType {
        (**self).input_type()
    }

    fn output_type(&self) -> FieldType {
        (**self).output_type()
    }

    fn forward(&self, features: Tensor<4>) -> Tensor<4> {
        (**self).forward(features)
    }

    fn options(&self) -> (Device, DType) {
        (**self).options()
    }
}

/// Any closure as a [`FieldMap`], for example a user's own module.
pub struct FieldFn<F> {
    function: F,
    input: FieldType,
    output: FieldType,
    options: (Device, DType),
}

impl<F: Fn(Tensor<4>) -> Tensor<4>> FieldFn<F> {
    /// A closure that claims to map `input` to `output` equivariantly.
    pub fn new(input: FieldType, output: FieldType, device: &Device, dtype: DType, function: F) -> Self {
        Self { function, input, output, options: (device.clone(), dtype) }
    }
}

impl<F: Fn(Tensor<4>) -> Tensor<4>> FieldMap for FieldFn<F> {
    fn input_type(&self) -> FieldType {
        self.input.clone()
    }

    fn output_type(&self) -> FieldType {
        self.output.clone()
    }

    fn forward(&self, features: Tensor<4>) -> Tensor<4> {
        (self.function)(features)
    }

    fn options(&self) -> (Device, DType) {
        self.options.clone()
    }
}

/// Checks that each map takes what the one before it gives.
///
/// Channels that happen to be as many do not make two field types equal: a network whose types do not meet is not equivariant,
/// and no shape error says so.
///
/// # Errors
/// [`Error::Chain`] with the place and both types.
pub fn chain(maps: &[&dyn FieldMap]) -> Result<()> {
    for (place, pair) in maps.windows(2).enumerate() {
        let (given, taken) = (pair[0].output_type(), pair[1].input_type());
        if given != taken {
            return Err(Error::Chain { place, given: format!("{given:?}"), taken: format!("{taken:?}") });
        }
    }
    Ok(())
}

/// Standard normal noise of the input type of a map, `[batch, channels, height, width]`, the same for the same seed.
pub fn probe(map: &impl FieldMap, [batch, height, width]: [usize; 3], seed: u64) -> Tensor<4> {
    let (device, dtype) = map.options();
    normal([batch, map.input_type().size(), height, width], &device, dtype, seed)
}

/// Standard normal noise, drawn on the host so that it is the same on every device.
pub(super) fn normal(shape: [usize; 4], device: &Device, dtype: DType, seed: u64) -> Tensor<4> {
    let rng = ChaCha8Rng::seed_from_u64(seed);
    let values: Vec<f64> = StandardNormal.sample_iter(rng).take(shape.iter().product()).collect();
    Tensor::from_data(TensorData::new(values, shape).convert_dtype(dtype), (device, dtype))
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::group::C4;
    use crate::repr::{Irrep, Representation};

    #[test]
    fn a_chain_of_maps_must_agree_on_types_not_only_on_channels() {
        let identity = |field_type: &FieldType| {
            FieldFn::new(field_type.clone(), field_type.clone(), &Device::flex(), DType::F32, |x| x)
        };
        let regular = FieldType::regular(C4, 1).unwrap();
        let vectors = FieldType::repeat(2, &Representation::irrep(C4, Irrep::rotation(1)).unwrap());
        assert_eq!(regular.size(), vectors.size());
        let [a, b, c] = [identity(&regular), identity(&regular), identity(&vectors)];
        assert_eq!(chain(&[&a, &b]), Ok(()));
        let message = chain(&[&a, &b, &c]).unwrap_err().to_string();
        assert!(message.contains("map 1 gives 1 x regular[C4] of C4") && message.contains("2 x irrep_1"), "{message}");
    }
}
