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
mod span;
mod unwritten;

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
    let output = match Few::new(&arguments) {
        Some(few) => few.product(),
        None => all::product(&arguments),
    };
    tensor(output, [rows.rows(), arguments.q, arguments.o])
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
    let angular = by_b.then(|| match &few {
        Some(few) => few.by_angular(gradient),
        None => all::by_angular(&arguments, gradient),
    });
    let [features, hidden, weight] = match ([by_x, by_a, by_w], &few) {
        ([false, false, false], _) => [None, None, None],
        (needed, Some(few)) => few.gradients(gradient, needed),
        (needed, None) => all::gradients(&arguments, gradient, needed),
    };
    (
        features.map(|numbers| tensor(numbers, [rows.count(), p, i])),
        hidden.map(|numbers| tensor(numbers, [rows.rows(), h])),
        angular.map(|numbers| tensor(numbers, [rows.rows(), q, arguments.inner()])),
        weight.map(|numbers| tensor(numbers, [i, h * columns])),
    )
}
