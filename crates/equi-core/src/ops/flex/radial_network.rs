//! Radial networks on flex: a few rows at a time, so that what is between the layers stays in the cache.

use std::mem::MaybeUninit;

use burn::backend::flex::FlexTensor;
use rayon::prelude::*;

use super::activation::add_rows;
use super::memory::{contiguous, dims, filled, numbers, tensor};
use super::norm_gelu::{gradient_rows, norm_gelu_rows};
use super::radial_product::{Turned, Vectors, View, multiply};

/// Rows in one piece of work. A constant, so that sums over pieces are the same with any number of threads.
const ROWS: usize = 64;

/// Pieces whose gradients are added up one by one: each holds a copy of the weights.
const SUMS: usize = 32;

/// Weight, bias, scale and shift.
type Tensors = [FlexTensor; 4];

struct Layer<'a, F> {
    weight: &'a [F],
    bias: &'a [F],
    scale: &'a [F],
    shift: &'a [F],
    inputs: usize,
    channels: usize,
    epsilon: F,
}

impl<'a, F: Vectors> Layer<'a, F> {
    fn new(tensors: &'a Tensors, epsilon: f64) -> Self {
        let [inputs, channels] = dims(&tensors[0]);
        let [weight, bias, scale, shift] = tensors.each_ref().map(numbers::<F>);
        assert!([bias, scale, shift].iter().all(|vector| vector.len() == channels), "a number for every channel");
        Self { weight, bias, scale, shift, inputs, channels, epsilon: F::from_elem(epsilon) }
    }

    /// `x W + b`
    fn sums(&self, x: &[F], sums: &mut Vec<F>) {
        sums.clear();
        let rows = x.len() / self.inputs;
        for _ in 0..rows {
            sums.extend_from_slice(self.bias);
        }
        let x = View { numbers: x, stride: self.inputs };
        let weight = View { numbers: self.weight, stride: self.channels };
        multiply([rows, self.inputs, self.channels], x, weight, Turned::Neither, sums, self.channels, true);
    }

    /// What the layer makes of its sums.
    fn values(&self, sums: &[F], values: &mut Vec<F>) {
        values.clear();
        norm_gelu_rows(sums, self.scale, self.shift, self.epsilon, values.reserved(sums.len()), self.channels);
        // SAFETY: every channel of every row is written.
        #[allow(unsafe_code)] // Clearing the memory takes as long as filling it.
        unsafe {
            values.set_len(sums.len());
        }
    }

    /// Numbers of all parameters.
    fn parameters(&self) -> usize {
        (self.inputs + 3) * self.channels
    }

    /// Makes the gradient by the values one by the sums, and adds those by the parameters, one after the other.
    fn back(&self, x: &[F], sums: &[F], gradient: &mut [F], by_parameters: &mut [F]) {
        let rows = sums.len() / self.channels;
        let (by_weight, by_vectors) = by_parameters.split_at_mut(self.inputs * self.channels);
        let (by_bias, by_rest) = by_vectors.split_at_mut(self.channels);
        let (by_scale, by_shift) = by_rest.split_at_mut(self.channels);
        gradient_rows(sums, self.scale, self.shift, self.epsilon, gradient, by_scale, by_shift);
        add_rows(gradient, by_bias);
        let x = View { numbers: x, stride: self.inputs };
        let gradient = View { numbers: &*gradient, stride: self.channels };
        multiply([self.inputs, rows, self.channels], x, gradient, Turned::Left, by_weight, self.channels, true);
    }

    /// The gradient by the input from that by the sums.
    fn by_input(&self, gradient: &[F], by_input: &mut [F]) {
        let rows = gradient.len() / self.channels;
        let gradient = View { numbers: gradient, stride: self.channels };
        let weight = View { numbers: self.weight, stride: self.channels };
        multiply([rows, self.channels, self.inputs], gradient, weight, Turned::Right, by_input, self.inputs, false);
    }

    /// The gradients by the parameters as tensors.
    fn tensors(&self, by_parameters: &[F]) -> Tensors {
        let (by_weight, by_vectors) = by_parameters.split_at(self.inputs * self.channels);
        let vector =
            |place: usize| tensor(by_vectors[place * self.channels..][..self.channels].to_vec(), [self.channels]);
        [tensor(by_weight.to_vec(), [self.inputs, self.channels]), vector(0), vector(1), vector(2)]
    }
}

/// Room at the end of a vector.
trait Reserved<F> {
    fn reserved(&mut self, length: usize) -> &mut [MaybeUninit<F>];
}

impl<F> Reserved<F> for Vec<F> {
    fn reserved(&mut self, length: usize) -> &mut [MaybeUninit<F>] {
        self.reserve(length);
        &mut self.spare_capacity_mut()[..length]
    }
}

/// What is between the layers.
#[derive(Default)]
struct Between<F> {
    sums: [Vec<F>; 2],
    values: Vec<F>,
    gradient: Vec<F>,
    by_values: Vec<F>,
}

pub(super) fn radial_network<F: Vectors>(x: FlexTensor, layers: [Tensors; 2], epsilon: f64) -> FlexTensor {
    let (x, layers) = (contiguous(x), layers.map(|layer| layer.map(contiguous)));
    let [rows, inputs] = dims(&x);
    let x = numbers::<F>(&x);
    let [first, second] = layers.each_ref().map(|layer| Layer::<F>::new(layer, epsilon));
    let columns = second.channels + 1;
    let fill = |output: &mut [MaybeUninit<F>]| {
        let pieces = output.par_chunks_mut(ROWS * columns).zip(x.par_chunks(ROWS * inputs));
        pieces.for_each_init(Between::default, |Between { sums: [sums, again], values, .. }, (output, x)| {
            first.sums(x, sums);
            first.values(sums, values);
            second.sums(values, again);
            norm_gelu_rows(again, second.scale, second.shift, second.epsilon, output, columns);
            output.iter_mut().skip(second.channels).step_by(columns).for_each(|one| {
                one.write(F::ONE);
            });
        });
    };
    // Every channel of every row is written, and the column of ones behind them.
    filled::<F>([rows, columns], fill)
}

/// The gradients by `x`, if it is needed, and by the two layers.
pub(super) fn gradient<F: Vectors>(
    x: FlexTensor,
    layers: [Tensors; 2],
    epsilon: f64,
    gradient: FlexTensor,
    by_x: bool,
) -> (Option<FlexTensor>, [Tensors; 2]) {
    let (x, layers, gradient) = (contiguous(x), layers.map(|layer| layer.map(contiguous)), contiguous(gradient));
    let [rows, inputs] = dims(&x);
    let (x, gradient) = (numbers::<F>(&x), numbers::<F>(&gradient));
    let [first, second] = layers.each_ref().map(|layer| Layer::<F>::new(layer, epsilon));
    let columns = second.channels + 1;
    let parameters = first.parameters() + second.parameters();
    let piece = rows.div_ceil(SUMS).next_multiple_of(ROWS);
    let mut by_parameters = vec![F::ZERO; rows.div_ceil(piece) * parameters];
    let mut of_x = vec![F::ZERO; if by_x { x.len() } else { 0 }];
    // Empty pieces where it is not needed.
    let mut of_pieces: Vec<&mut [F]> = of_x.chunks_mut(piece * inputs).collect();
    of_pieces.resize_with(rows.div_ceil(piece), Default::default);
    let pieces = by_parameters.par_chunks_mut(parameters).zip(of_pieces);
    pieces.zip(x.par_chunks(piece * inputs)).zip(gradient.par_chunks(piece * columns)).for_each_init(
        Between::default,
        |between, (((by_parameters, of_x), x), gradient)| {
            let Between { sums: [sums, again], values, gradient: through, by_values } = between;
            let (by_first, by_second) = by_parameters.split_at_mut(first.parameters());
            for (place, (x, gradient)) in x.chunks(ROWS * inputs).zip(gradient.chunks(ROWS * columns)).enumerate() {
                first.sums(x, sums);
                first.values(sums, values);
                second.sums(values, again);
                through.clear();
                gradient.chunks_exact(columns).for_each(|row| through.extend_from_slice(&row[..second.channels]));
                second.back(values, again, through, by_second);
                by_values.resize(values.len(), F::ZERO);
                second.by_input(through, by_values);
                first.back(x, sums, by_values, by_first);
                if by_x {
                    first.by_input(by_values, &mut of_x[place * ROWS * inputs..][..x.len()]);
                }
            }
        },
    );
    let mut total = vec![F::ZERO; parameters];
    add_rows(&by_parameters, &mut total);
    let (by_first, by_second) = total.split_at(first.parameters());
    (by_x.then(|| tensor(of_x, [rows, inputs])), [first.tensors(by_first), second.tensors(by_second)])
}
