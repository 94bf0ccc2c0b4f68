//! Equivariance to small turns: the derivative along the group.

use burn::tensor::Tensor;

use super::map::FieldMap;
use super::measure::{norm, ratio, values};
use crate::action::field::act;
use crate::field::FieldType;
use crate::group::Element;

/// How far a pixel at the border moves for the difference quotient, in pixels: little enough for the sampler to be in one piece, much enough for f32.
const STEP: f64 = 0.1;

/// What a small turn does to a map.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LocalError {
    /// `|L f(x)| / |f(x)|`, per radian: zero for an equivariant map.
    pub relative: f64,
    /// How fast the input itself turns away, `|d/dt (t . x)| / |x|`, per radian: the size of an error that means no symmetry at all.
    pub input: f64,
    /// The same derivative of what does nothing but sample, `(-t) . (t . x)`: what no map on pixels can be better than, relative to `|x|`.
    pub resampling_floor: f64,
}

/// The Lie derivative of a map by rotations,
///
/// ```text
/// L f(x) = d/dt (-t) . f(t . x)   at t = 0
/// ```
///
/// by a central difference, in the L2 norm over the batch. Unlike a turn by a large angle it says how a map behaves under the smallest ones, so networks that are equivariant to
/// quarter turns only, exactly, can be told from those that are to all. Measure of Gruver, Finzi, Goldblum and Wilson, The Lie Derivative for Measuring Learned
/// Equivariance, ICLR 2023.
///
/// Images are seen through the [one sampler](crate::resample).
///
/// # Panics
/// If a field of the input or the output is neither a scalar nor of SO(2) or O(2): the others have no small turns.
pub fn local(map: &impl FieldMap, input: Tensor<4>) -> LocalError {
    let (given, taken) = (map.input_type(), map.output_type());
    for field_type in [&given, &taken] {
        assert!(
            field_type.is_trivial() || field_type.group().order().is_none(),
            "{field_type:?} has no small turns: the local error is that of scalars and of fields of SO(2) and O(2)"
        );
    }
    let [_, _, height, width] = input.dims();
    let step = STEP / (height.max(width) as f64 / 2.0);
    let turn = |angle: f64, x: Tensor<4>, field_type: &FieldType| act(&Element::radians(angle), x, field_type);
    let quotient = |along: &dyn Fn(f64) -> Tensor<4>| -> f64 {
        let difference = values(along(step) - along(-step));
        norm(&difference) / (2.0 * step)
    };
    let size = norm(&values(input.clone()));
    let derivative = quotient(&|t| turn(-t, map.forward(turn(t, input.clone(), &given)), &taken));
    let moved = quotient(&|t| turn(t, input.clone(), &given));
    let sampled = quotient(&|t| turn(-t, turn(t, input.clone(), &given), &given));
    LocalError {
        relative: ratio(derivative, norm(&values(map.forward(input.clone())))),
        input: ratio(moved, size),
        resampling_floor: ratio(sampled, size),
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::check::{FieldFn, probe};
    use crate::group::{C4, Group};
    use crate::repr::{Irrep, Representation};
    use burn::tensor::{DType, Device, TensorData};

    /// A bump away from the centre: bilinear interpolation knows its slopes well.
    fn bump(dtype: DType) -> Tensor<4> {
        let at = |i: usize| ((i % 31) as f64 - 20.0, (i / 31) as f64 - 13.0);
        let pixels: Vec<f64> = (0..31 * 31).map(|i| (-(at(i).0.powi(2) + at(i).1.powi(2)) / 18.0).exp()).collect();
        Tensor::from_data(TensorData::new(pixels, [1, 1, 31, 31]).convert_dtype(dtype), (&Device::flex(), dtype))
    }

    fn map(f: impl Fn(Tensor<4>) -> Tensor<4>) -> FieldFn<impl Fn(Tensor<4>) -> Tensor<4>> {
        let scalar = FieldType::trivial(C4, 1);
        FieldFn::new(scalar.clone(), scalar, &Device::flex(), DType::F64, f)
    }

    #[test]
    fn pointwise_functions_have_none_and_the_input_turns_as_its_gradient_says() {
        let identity = local(&map(|x| x), bump(DType::F64));
        assert!(identity.relative <= identity.resampling_floor * (1.0 + 1e-12), "{identity:?}");
        // |d/dt x| = |x dy - y dx|: for a bump of width 3 at distance sqrt 29 from the centre, sqrt(29) / (3 sqrt 2) of its norm; its slopes are known to a percent.
        let expected = 29_f64.sqrt() / (3.0 * 2_f64.sqrt());
        assert!((identity.input / expected - 1.0).abs() < 0.03, "{identity:?} for {expected}");
        // The error of sampling there and back is even in the angle.
        assert!(identity.resampling_floor < 0.02 * identity.input, "{identity:?}");
    }

    #[test]
    fn a_derivative_along_a_column_is_as_bad_as_its_formula() {
        // f(x) = d/dcolumn x turns with the angle: L f = the derivative along the row, as large as f itself, for a bump that is round.
        let slope = |x: Tensor<4>| (x.clone().roll_dim(-1, 3) - x.roll_dim(1, 3)) * 0.5;
        let error = local(&map(slope), bump(DType::F64));
        assert!((error.relative - 1.0).abs() < 0.05, "{error:?}");
        let single = local(&map(slope), bump(DType::F32));
        assert!((single.relative - error.relative).abs() < 1e-2, "{single:?} for {error:?}");
    }

    #[test]
    fn vectors_of_so2_turn_with_their_frame() {
        let scalar = FieldType::trivial(Group::SO2, 1);
        let vector = Representation::irrep(Group::SO2, Irrep::rotation(1)).unwrap();
        let vectors = FieldType::new(vec![vector]).unwrap();
        let gradient = |x: Tensor<4>| {
            let along = (x.clone().roll_dim(-1, 3) - x.clone().roll_dim(1, 3)) * 0.5;
            let up = (x.clone().roll_dim(1, 2) - x.roll_dim(-1, 2)) * 0.5;
            Tensor::cat(vec![along, up], 1)
        };
        let error = |types: FieldType| {
            let map = FieldFn::new(scalar.clone(), types, &Device::flex(), DType::F64, gradient);
            local(&map, bump(DType::F64)).relative
        };
        // The difference quotient of neighbours is a slope to second order in the distance.
        let (turning, still) = (error(vectors), error(FieldType::trivial(Group::SO2, 2)));
        assert!(turning < 0.05 && (still - 1.0).abs() < 0.05, "{turning}, and {still} as scalars");
    }

    #[test]
    #[should_panic(expected = "no small turns")]
    fn regular_fields_of_a_finite_group_are_refused() {
        let regular = FieldType::regular(C4, 1).unwrap();
        let map = FieldFn::new(regular.clone(), regular, &Device::flex(), DType::F64, |x| x);
        local(&map, probe(&map, [1, 5, 5], 0));
    }
}
