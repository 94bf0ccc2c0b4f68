//! Errors per group element.

use burn::tensor::Tensor;
use std::fmt;

use super::map::{FieldMap, normal};
use super::measure::{largest, norm, ratio, values, worst};
use crate::action;
use crate::field::FieldType;
use crate::group::{Element, Group, Subgroup};
use crate::ops::inner_product;

/// The error of one group element.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ElementError {
    /// The element.
    pub element: Element,
    /// `|f(g . x) - g . f(x)| / |f(x)|` in the L2 norm over everything.
    pub relative_l2: f64,
    /// The largest absolute difference, relative to the largest absolute value of `f(x)`.
    pub relative_max: f64,
    /// What resampling alone does: `|g^-1 . (g . x) - x| / |x|`. Zero for grid symmetries.
    pub resampling_floor: f64,
}

/// The equivariance of one map on one input, with grid symmetries apart from elements that resample.
#[derive(Clone, Debug, PartialEq)]
pub struct EquivarianceReport {
    /// Quarter turns and flips.
    pub exact: Vec<ElementError>,
    /// Everything else.
    pub interpolated: Vec<ElementError>,
}

impl EquivarianceReport {
    /// The largest relative L2 error of the grid symmetries.
    pub fn exact_error(&self) -> f64 {
        worst(self.exact.iter().map(|error| error.relative_l2))
    }

    /// The largest relative L2 error of the elements that resample.
    pub fn interpolated_error(&self) -> f64 {
        worst(self.interpolated.iter().map(|error| error.relative_l2))
    }

    /// Asserts that the grid symmetries keep the tolerance. The trivial group asks for nothing.
    ///
    /// # Panics
    /// If they do not, with the whole report; and if no element maps the pixels to pixels (C3, C5, ...), so that there is nothing
    /// exact to assert.
    pub fn assert_exact(&self, what: &str, tolerance: f64) {
        assert!(
            !self.exact.is_empty() || self.interpolated.is_empty(),
            "{what}: no element but the identity maps pixels to pixels, so nothing can be asserted exactly; use `check::fibres` for a \
             layer that treats all channels of a field alike, or a group with quarter turns, half turns or flips\n{self}"
        );
        let error = self.exact_error();
        assert!(error <= tolerance, "{what}: equivariance error {error:.3e} exceeds {tolerance:.3e}\n{self}");
    }
}

impl fmt::Display for EquivarianceReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<32}{:>14}{:>14}{:>18}", "element", "relative L2", "relative max", "resampling floor")?;
        for error in self.exact.iter().chain(&self.interpolated) {
            let element = error.element.to_string();
            write!(f, "{element:<32}{:>14.3e}{:>14.3e}", error.relative_l2, error.relative_max)?;
            match error.element.is_grid_symmetry() {
                true => writeln!(f, "{:>18}", "exact")?,
                false => writeln!(f, "{:>18.3e}", error.resampling_floor)?,
            }
        }
        Ok(())
    }
}

/// Compares `f(g . x)` with `g . f(x)` for the elements of `group` (of a continuous one, multiples of 22.5 degrees).
///
/// # Panics
/// If `group` is not contained in the group of the map's types.
pub fn outputs(map: &impl FieldMap, group: Group, input: Tensor<4>) -> EquivarianceReport {
    let types = Types::new(map, group);
    let output = map.forward(input.clone());
    types.report(&input, |g| {
        let turned = map.forward(types.act_in(g, input.clone()));
        (turned, types.act_out(g, output.clone()))
    })
}

/// Compares the gradient with respect to the input of `<f(x), v>` at `(g . x, g . v)` with `g .` that at `(x, v)`.
///
/// As the representations are orthogonal, the two agree for an equivariant map. Runs with autodiff, in training mode.
///
/// # Panics
/// If `group` is not contained in the group of the map's types, or the output does not depend on the input.
pub fn gradients(map: &impl FieldMap, group: Group, input: Tensor<4>) -> EquivarianceReport {
    let types = Types::new(map, group);
    let input = if input.is_autodiff() { input } else { input.autodiff() };
    let gradient = |x: Tensor<4>, v: Tensor<4>| {
        let x = x.detach().require_grad();
        x.grad(&inner_product(map.forward(x.clone()), v).backward()).expect("the output depends on the input")
    };
    let shape = map.forward(input.clone()).dims();
    let cotangent = normal(shape, &input.device(), input.dtype(), 1);
    let plain = gradient(input.clone(), cotangent.clone());
    types.report(&input, |g| {
        let turned = gradient(types.act_in(g, input.clone()), types.act_out(g, cotangent.clone()));
        (turned, types.act_in(g, Tensor::from_inner(plain.clone().without_autodiff())))
    })
}

/// Compares `f(rho(g) x)` with `rho'(g) f(x)` for all elements of `group`, leaving the pixels where they are.
///
/// Exact for every element, but only for layers that treat space the same for all channels: non-linearities, batch norms, pooling.
///
/// # Panics
/// As [`outputs`].
pub fn fibres(map: &impl FieldMap, group: Group, input: Tensor<4>) -> EquivarianceReport {
    let types = Types::new(map, group);
    let output = map.forward(input.clone());
    let measure = |g: &Element| {
        let actual = map.forward(action::field::act_on_fibres(g, input.clone(), &types.input));
        types.compare(g, actual, action::field::act_on_fibres(g, output.clone(), &types.output), 0.0)
    };
    EquivarianceReport { exact: types.elements.iter().map(measure).collect(), interpolated: Vec::new() }
}

struct Types {
    /// The elements but the identity.
    elements: Vec<Element>,
    input: FieldType,
    output: FieldType,
}

impl Types {
    fn new(map: &impl FieldMap, group: Group) -> Self {
        let (input, output) = (map.input_type(), map.output_type());
        for field_type in [&input, &output] {
            let subgroup = Subgroup::new(field_type.group(), group);
            subgroup.unwrap_or_else(|error| panic!("cannot check {group} on {field_type:?}: {error}"));
        }
        let elements = group.sample(group.rotations().unwrap_or(16));
        Self { elements: elements.into_iter().filter(|g| *g != Element::IDENTITY).collect(), input, output }
    }

    fn act_in(&self, g: &Element, x: Tensor<4>) -> Tensor<4> {
        action::field::act(g, x, &self.input)
    }

    fn act_out(&self, g: &Element, y: Tensor<4>) -> Tensor<4> {
        action::field::act(g, y, &self.output)
    }

    fn compare(&self, g: &Element, actual: Tensor<4>, expected: Tensor<4>, resampling_floor: f64) -> ElementError {
        let (difference, expected) = (values(actual - expected.clone()), values(expected));
        ElementError {
            element: *g,
            relative_l2: ratio(norm(&difference), norm(&expected)),
            relative_max: ratio(largest(&difference), largest(&expected)),
            resampling_floor,
        }
    }

    fn report(&self, input: &Tensor<4>, pair: impl Fn(&Element) -> (Tensor<4>, Tensor<4>)) -> EquivarianceReport {
        let measure = |g: &Element| {
            let (actual, expected) = pair(g);
            let floor = if g.is_grid_symmetry() {
                0.0
            } else {
                let there_and_back = self.act_in(&g.inverse(), self.act_in(g, input.clone()));
                norm(&values(there_and_back - input.clone())) / norm(&values(input.clone()))
            };
            self.compare(g, actual, expected, floor)
        };
        let (exact, interpolated): (Vec<_>, Vec<_>) =
            self.elements.iter().copied().partition(Element::is_grid_symmetry);
        EquivarianceReport {
            exact: exact.iter().map(measure).collect(),
            interpolated: interpolated.iter().map(measure).collect(),
        }
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use crate::assert_equivariant;
    use crate::check::{FieldFn, fibres, outputs, probe};
    use crate::field::FieldType;
    use crate::group::{C4, C8, D4, Group};
    use burn::tensor::{DType, Device, Tensor};

    fn map(group: Group, f: impl Fn(Tensor<4>) -> Tensor<4>) -> FieldFn<impl Fn(Tensor<4>) -> Tensor<4>> {
        let scalars = FieldType::trivial(group, 2);
        FieldFn::new(scalars.clone(), scalars, &Device::flex(), DType::F64, f)
    }

    #[test]
    fn pointwise_functions_of_scalars_pass() {
        // Only permutations of the same numbers: no rounding at all.
        assert_equivariant!(map(D4, |x| x.clone() * x), D4, 0.0);
    }

    #[test]
    #[should_panic(expected = "equivariance error")]
    fn a_map_that_prefers_a_direction_fails() {
        assert_equivariant!(map(C4, |x: Tensor<4>| x.clone() + x.roll_dim(1, 3)), C4, 1e-3);
    }

    #[test]
    #[should_panic(expected = "input gradients: equivariance error")]
    fn a_wrong_gradient_fails_although_the_outputs_pass() {
        let ramp = |x: &Tensor<4>| {
            let [_, _, h, w] = x.dims();
            let column = Tensor::arange(0..w as i64, &x.device()).float().cast(x.dtype());
            column.reshape([1, 1, 1, w]).repeat_dim(2, h)
        };
        // x + (x - x.detach()) * column: the value is x, the gradient is not that of the identity.
        let f = move |x: Tensor<4>| x.clone() + (x.clone() - x.clone().detach()) * ramp(&x);
        assert_equivariant!(map(C4, f), C4, 1e-6);
    }

    #[test]
    #[should_panic(expected = "not a subgroup")]
    fn a_group_that_the_types_do_not_know_is_refused() {
        assert_equivariant!(map(C4, |x| x), D4, 1e-6);
    }

    #[test]
    fn elements_that_resample_are_reported_apart_with_their_floor() {
        let identity = map(C8, |x| x);
        let report = outputs(&identity, C8, probe(&identity, [1, 9, 9], 3));
        assert_eq!((report.exact.len(), report.interpolated.len()), (3, 4));
        assert_eq!(report.interpolated_error(), 0.0);
        assert!(report.interpolated.iter().all(|e| e.resampling_floor > 0.1), "{report}");
        assert!(report.to_string().contains("rotation by 45 deg"));
    }

    #[test]
    #[should_panic(expected = "use `check::fibres`")]
    fn a_group_without_grid_symmetries_cannot_be_asserted_on_pixels() {
        assert_equivariant!(map(Group::Cyclic(3), |x| x), Group::Cyclic(3), 1.0);
    }

    #[test]
    fn fibres_are_exact_for_every_element() {
        let regular = FieldType::regular(Group::Cyclic(3), 2).unwrap();
        let field_map = |f: fn(Tensor<4>) -> Tensor<4>| {
            FieldFn::new(regular.clone(), regular.clone(), &Device::flex(), DType::F64, f)
        };
        let error = |f| {
            let map = field_map(f);
            fibres(&map, Group::Cyclic(3), probe(&map, [1, 4, 4], 0)).exact_error()
        };
        assert_eq!(error(|x| x.exp()), 0.0);
        // Scales the first channel alone.
        assert!(error(|x| x.clone().slice_fill([0..1, 0..1], 0.0)) > 0.1);
    }

    #[test]
    fn a_map_to_zero_is_equivariant() {
        let map = map(C4, |x: Tensor<4>| x * 0.0);
        assert_eq!(outputs(&map, C4, probe(&map, [1, 3, 3], 0)).exact_error(), 0.0);
    }

    #[test]
    fn nan_is_never_equivariant() {
        let report = {
            let map = map(C4, |x: Tensor<4>| x.log());
            outputs(&map, C4, probe(&map, [1, 3, 3], 0))
        };
        assert_eq!(report.exact_error(), f64::INFINITY);
    }
}
