//! `radial_product` on flex.

use burn::backend::flex::FlexTensor;

use super::memory::{contiguous, numbers, tensor};
use crate::ops::extension::EdgeGradients;
use crate::ops::segments::Rows;

mod all;
mod arguments;
mod few;
mod few_gradient;
mod multiply;
mod shared;
mod span;

use arguments::Arguments;
use few::Few;
pub(super) use multiply::{Turned, Vectors, View, multiply};

/// The tensors as slices, in which the others find their shapes.
fn arguments<'a, F: Vectors>(tensors: &'a [FlexTensor; 4], rows: &'a Rows) -> Arguments<'a, F> {
    let shape = |place: usize, dim: usize| tensors[place].layout().shape()[dim];
    let [features, angular] = [0, 2].map(|place| [shape(place, 1), shape(place, 2)]);
    Arguments::new(tensors.each_ref().map(numbers::<F>), features, shape(1, 1), angular, rows)
}

pub(super) fn product<F: Vectors>(tensors: [FlexTensor; 4], rows: &Rows) -> FlexTensor {
    let tensors = tensors.map(contiguous);
    let arguments = arguments::<F>(&tensors, rows);
    let shape = [rows.rows(), arguments.q, arguments.o];
    match Few::new(&arguments) {
        Some(few) => few.product().tensor(shape),
        None => tensor(all::product(&arguments), shape),
    }
}

pub(super) fn gradient<F: Vectors>(
    tensors: [FlexTensor; 4],
    rows: &Rows,
    gradient: FlexTensor,
    [by_x, by_a, by_b, by_w]: [bool; 4],
) -> EdgeGradients<burn::backend::Flex> {
    let (tensors, gradient) = (tensors.map(contiguous), contiguous(gradient));
    let arguments = arguments::<F>(&tensors, rows);
    let gradient = numbers::<F>(&gradient);
    let Arguments { p, i, h, q, columns, .. } = arguments;
    let few = Few::new(&arguments);
    let angular_shape = [rows.rows(), q, arguments.inner()];
    let angular = by_b.then(|| match &few {
        Some(few) => few.by_angular(gradient).tensor(angular_shape),
        None => tensor(all::by_angular(&arguments, gradient), angular_shape),
    });
    let (features, [hidden, weight]) = match ([by_x, by_a, by_w], &few) {
        ([false, false, false], _) => (None, [None, None]),
        (needed, Some(few)) => {
            let (features, hidden, weight) = few.gradients(gradient, needed);
            (features, [hidden.map(|a| a.tensor([rows.rows(), h])), weight.map(|w| w.tensor([i, h * columns]))])
        }
        (needed, None) => {
            let [features, hidden, weight] = all::gradients(&arguments, gradient, needed);
            (features, [hidden.map(|a| tensor(a, [rows.rows(), h])), weight.map(|w| tensor(w, [i, h * columns]))])
        }
    };
    (features.map(|numbers| tensor(numbers, [rows.count(), p, i])), hidden, angular, weight)
}
