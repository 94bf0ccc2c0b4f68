//! The action on feature fields, `(g . f)(p) = rho(g) f(g^-1 p)`.

use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use super::image;
use crate::field::FieldType;
use crate::group::Element;

/// Moves the pixels and mixes the channels.
///
/// Exact (to floating point in the channels) for quarter turns and flips; other elements resample the pixels.
///
/// # Shapes
/// - `features`: `[batch, field_type.size(), height, width]`
/// - output: the same, with the sides exchanged by odd quarter turns
///
/// # Panics
/// If the channels are not those of the type, or the element is not in its group (scalars alone take any element).
pub fn act(g: &Element, features: Tensor<4>, field_type: &FieldType) -> Tensor<4> {
    act_on_fibres(g, image::act(g, features), field_type)
}

/// Mixes the channels at every pixel and leaves the pixels where they are.
///
/// # Shapes
/// - `features`, output: `[batch, field_type.size(), height, width]`
///
/// # Panics
/// If the channels are not those of the type, or the element is not in its group (scalars alone take any element).
pub fn act_on_fibres(g: &Element, features: Tensor<4>, field_type: &FieldType) -> Tensor<4> {
    let [batch, channels, height, width] = features.dims();
    field_type.assert_channels("act", channels);
    if field_type.is_trivial() {
        return features;
    }
    let group = field_type.group();
    assert!(group.contains(g), "{g} is not in {group}, the group of {field_type}: act with an element of it");
    let matrix = field_type.at(g);
    if field_type.permutes() {
        // Channel c of the result comes from the channel whose column has its 1 in row c.
        let sources: Vec<i64> = (0..channels)
            .map(|row| (0..channels).find(|&column| matrix[(row, column)] > 0.5).expect("a permutation") as i64)
            .collect();
        let sources = Tensor::<1, Int>::from_data(TensorData::new(sources, [channels]), &features.device());
        return features.select(1, sources);
    }
    let matrix = upload(matrix.transpose().as_slice(), channels, &features.device(), features.dtype());
    matrix.matmul(features.reshape([batch, channels, height * width])).reshape([batch, channels, height, width])
}

/// A square matrix, row-major, as `[1, size, size]`.
fn upload(values: &[f64], size: usize, device: &Device, dtype: DType) -> Tensor<3> {
    Tensor::from_data(TensorData::new(values.to_vec(), [1, size, size]).convert_dtype(dtype), (device, dtype))
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::group::{C8, D4, Group};
    use crate::repr::{Irrep, Representation};
    use burn::tensor::Distribution;

    #[test]
    #[should_panic(expected = "flip is not in C4")]
    fn elements_outside_the_group_are_refused() {
        let regular = FieldType::regular(crate::group::C4, 1).unwrap();
        act(&Element::FLIP, Tensor::zeros([1, 4, 3, 3], &Device::flex()), &regular);
    }

    #[test]
    fn the_action_on_fibres_is_a_homomorphism() {
        let mixed = |group: Group, irrep| {
            let fields = [Representation::regular(group), Representation::irrep(group, irrep)];
            FieldType::new(fields.into_iter().map(Result::unwrap).collect()).unwrap()
        };
        for (group, field_type) in [(C8, mixed(C8, Irrep::rotation(1))), (D4, mixed(D4, Irrep::with_flip(1, 1)))] {
            let options = (&Device::flex(), DType::F64);
            let x = Tensor::<4>::random([2, field_type.size(), 3, 3], Distribution::Default, options);
            let elements = group.elements().unwrap();
            for &a in &elements {
                for &b in &elements {
                    let twice = act_on_fibres(&a, act_on_fibres(&b, x.clone(), &field_type), &field_type);
                    let once = act_on_fibres(&(a * b), x.clone(), &field_type);
                    assert!((twice - once).abs().max().into_scalar::<f64>() < 1e-13, "{group} {a} {b}");
                }
            }
        }
    }
}
