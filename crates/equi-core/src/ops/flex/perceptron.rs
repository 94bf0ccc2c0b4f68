//! `linear_rows` and `perceptron` on flex: rows in pieces that stay in the cache.

use std::mem::MaybeUninit;
use std::ops::Range;

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;

use super::float::Float;
use super::layers::{UnitSums, activate, activate_with_slopes, back_through_silu, matrix, parts, split};
use super::memory::{Unwritten, contiguous, dims, numbers, tensor};
use super::microkernel::{Lanes, Panels, SPARE, multiply, multiply_transposed, room, stride};
use super::pieces::{for_each, with_scratch};
use super::simd::kernel;
use super::strided::{Strided, in_rows};
use crate::ops::message_network::OptionalTensors;
use crate::ops::perceptron::{ARGUMENTS, BackendPerceptron};

/// Rows that go through all layers at a time.
const PIECE: usize = 128;

/// Units of work at most that have their own sums of the gradients by weights.
const UNITS: usize = 16;

kernel! {
    /// Into the layout of pieces of work.
    fn load<'a, F | S>(rows: Strided<'a, F>, piece: &'a mut [F]) {
        let columns = rows.columns;
        for (row, piece) in rows.rows().zip(piece.chunks_exact_mut(stride(columns))) {
            piece[..columns].copy_from_slice(row);
        }
    }
}

kernel! {
    /// Out of it, plus a bias.
    fn store<'a, F | S>(piece: &'a [F], bias: &'a [F], rows: &'a mut [MaybeUninit<F>]) {
        for (piece, row) in piece.chunks_exact(stride(bias.len())).zip(rows.chunks_exact_mut(bias.len())) {
            for ((row, &piece), &bias) in row.iter_mut().zip(piece).zip(bias) {
                row.write(piece + bias);
            }
        }
    }
}

kernel! {
    /// Out of it, plus a bias and other rows.
    fn store_sum<'a, F | S>(piece: &'a [F], bias: &'a [F], others: Strided<'a, F>, rows: &'a mut [MaybeUninit<F>]) {
        let pieces = piece.chunks_exact(stride(bias.len()));
        for ((piece, other), row) in pieces.zip(others.rows()).zip(rows.chunks_exact_mut(bias.len())) {
            for (((row, &piece), &bias), &other) in row.iter_mut().zip(piece).zip(bias).zip(other) {
                row.write(other + (piece + bias));
            }
        }
    }
}

kernel! {
    /// Adds up `count` rows.
    fn add_up<'a, F | S>(rows: Strided<'a, F>, count: usize, sum: &'a mut [F]) {
        for row in rows.rows().take(count) {
            for (sum, &row) in sum.iter_mut().zip(row) {
                *sum += row;
            }
        }
    }
}

/// `count` rows as the factor on the left of a product, with the numbers from one row to the next: where they are, if there is more of the tensor to read beyond
/// them, else in `piece`. `beyond` is up to where whole tiles read.
fn left<'a, F: Float>(rows: Strided<'a, F>, count: usize, beyond: usize, piece: &'a mut [F]) -> (&'a [F], usize) {
    if rows.numbers.len() >= beyond {
        return (rows.numbers, rows.stride);
    }
    load(Strided { numbers: &rows.numbers[..(count - 1) * rows.stride + rows.columns], ..rows }, piece);
    (piece, stride(rows.columns))
}

/// `C = A B`, or `C += A B`, for `count` rows of a tensor.
fn times<F: Lanes>(rows: Strided<F>, count: usize, panels: &Panels<F>, piece: &mut [F], products: &mut [F], add: bool) {
    let beyond = (count + SPARE - 1) * rows.stride + rows.columns;
    let (a, a_stride) = left(rows, count, beyond, piece);
    multiply(count, a, a_stride, panels, products, add);
}

/// `C += A^T B` for `count` rows of a tensor.
fn transposed_times<F: Lanes>(
    rows: Strided<F>,
    count: usize,
    piece: &mut [F],
    by_products: &[F],
    columns: usize,
    sums: &mut [F],
) {
    let beyond = (count - 1) * rows.stride + rows.columns + SPARE;
    let (a, a_stride) = left(rows, count, beyond, piece);
    multiply_transposed([count, rows.columns, columns], [a, by_products], a_stride, sums);
}

/// All rows in units of as many pieces. Units depend on the number of rows only, so sums over them are the same with any number of threads.
fn units(rows: usize, pieces: usize) -> Vec<Range<usize>> {
    let size = pieces * PIECE;
    (0..rows).step_by(size).map(|first| first..(first + size).min(rows)).collect()
}

fn pieces(unit: &Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let end = unit.end;
    unit.clone().step_by(PIECE).map(move |first| first..(first + PIECE).min(end))
}

/// Pieces in a unit of the gradients.
fn at_once(rows: usize) -> usize {
    rows.div_ceil(PIECE).div_ceil(UNITS)
}

pub(super) fn linear<F: Lanes>(x: FlexTensor, weight: FlexTensor, bias: OptionalTensors<Flex>) -> FlexTensor {
    let (x, weight) = (in_rows(x), contiguous(weight));
    let bias = bias.map::<Flex>(&mut contiguous);
    let ([rows, inputs], [_, outputs]) = (dims(&x), dims(&weight));
    let zeros = vec![F::ZERO; outputs];
    let bias = bias.tensors()[0].map_or(&zeros[..], numbers);
    let (x, panels) = (Strided::<F>::of(&x), Panels::new(numbers::<F>(&weight), [inputs, outputs]));
    let mut output = Unwritten::new(rows * outputs);
    let work: Vec<_> = units(rows, 1).into_iter().zip(output.numbers().chunks_mut(PIECE * outputs)).collect();
    for_each(work, rows * inputs * outputs, |(rows, output)| {
        with_scratch([room(PIECE, inputs), room(PIECE, outputs)], |[piece, products]| {
            times(x.from(rows.start), rows.len(), &panels, piece, products, false);
            store(products, bias, output);
        });
    });
    output.tensor([rows, outputs])
}

pub(super) fn linear_gradient<F: Lanes>(
    x: FlexTensor,
    weight: FlexTensor,
    gradient: FlexTensor,
    needed: [bool; 3],
) -> Vec<Option<FlexTensor>> {
    let (x, weight, gradient) = (in_rows(x), contiguous(weight), in_rows(gradient));
    let ([rows, inputs], [_, outputs]) = (dims(&x), dims(&weight));
    let (x, gradient) = (Strided::<F>::of(&x), Strided::<F>::of(&gradient));
    let transposed = Panels::transposed(numbers::<F>(&weight), [inputs, outputs]);
    let units = units(rows, at_once(rows));
    let lengths = [room(inputs, outputs), outputs];
    let each = lengths[0] + lengths[1];
    let mut sums = UnitSums::new::<F>(each, units.len());
    let mut by_x = Unwritten::new(if needed[0] { rows * inputs } else { 0 });
    let by_rows = split(by_x.numbers(), units[0].len() * inputs, units.len());
    let work: Vec<_> = units.iter().zip(by_rows).zip(sums.split()).collect();
    let zeros = vec![F::ZERO; inputs];
    for_each(work, 2 * rows * inputs * outputs, |((unit, by_x), by_weights)| {
        by_weights.fill(F::ZERO);
        let [by_weight, by_bias] = parts(by_weights, lengths);
        let lengths = [room(PIECE, inputs), room(PIECE, outputs), room(PIECE, inputs)];
        with_scratch(lengths, |[piece, by_products, products]| {
            for rows in pieces(unit) {
                let (count, gradient) = (rows.len(), gradient.from(rows.start));
                load(gradient, &mut by_products[..count * stride(outputs)]);
                if needed[0] {
                    multiply(count, by_products, stride(outputs), &transposed, products, false);
                    store(products, &zeros, &mut by_x[(rows.start - unit.start) * inputs..][..count * inputs]);
                }
                if needed[1] {
                    transposed_times(x.from(rows.start), count, piece, by_products, outputs, by_weight);
                }
                add_up(gradient, count, by_bias);
            }
        });
    });
    let mut sum = sums.add_up::<F>();
    let [by_weight, by_bias] = parts(&mut sum, lengths);
    vec![
        needed[0].then(|| by_x.tensor([rows, inputs])),
        needed[1].then(|| tensor(matrix(by_weight, [inputs, outputs]), [inputs, outputs])),
        needed[2].then(|| tensor(by_bias.to_vec(), [outputs])),
    ]
}

/// The arguments as slices: `x_k` with their widths, and the rest by its name.
struct Network<'a, F> {
    inputs: Vec<(Strided<'a, F>, &'a [F], usize)>,
    bias: &'a [F],
    output: &'a [F],
    output_bias: Option<&'a [F]>,
    residual: bool,
    rows: usize,
    hidden: usize,
    outputs: usize,
}

impl<'a, F: Lanes> Network<'a, F> {
    /// Of arguments in rows.
    fn of(arguments: &'a BackendPerceptron<Flex>) -> Self {
        let tensors = arguments.tensors();
        let input = |(x, weight): (Option<&'a FlexTensor>, Option<&'a FlexTensor>)| {
            let (x, weight) = (x?, weight?);
            Some((Strided::of(x), numbers::<F>(weight), dims(x)[1]))
        };
        let inputs = (0..3).filter_map(|place| input((tensors[2 * place], tensors[2 * place + 1]))).collect();
        let [hidden, outputs] = dims(&arguments.output);
        Self {
            inputs,
            bias: numbers(&arguments.bias),
            output: numbers(&arguments.output),
            output_bias: tensors[8].map(numbers),
            residual: arguments.residual,
            rows: dims(&arguments.x)[0],
            hidden,
            outputs,
        }
    }

    fn operations(&self) -> usize {
        self.rows * self.hidden * (self.outputs + self.inputs.iter().map(|(.., width)| width).sum::<usize>())
    }

    fn widest(&self) -> usize {
        self.inputs.iter().map(|(.., width)| *width).max().unwrap_or(0)
    }

    fn panels(&self) -> Vec<Panels<'_, F>> {
        self.inputs.iter().map(|(_, weight, width)| Panels::new(weight, [*width, self.hidden])).collect()
    }

    /// The argument of the SiLU, without the bias.
    fn sums(&self, rows: &Range<usize>, panels: &[Panels<F>], piece: &mut [F], sums: &mut [F]) {
        for (place, ((x, ..), panels)) in self.inputs.iter().zip(panels).enumerate() {
            times(x.from(rows.start), rows.len(), panels, piece, sums, place > 0);
        }
    }

    fn forward(&self) -> FlexTensor {
        let (panels, last) = (self.panels(), Panels::new(self.output, [self.hidden, self.outputs]));
        let (zeros, ones) = (vec![F::ZERO; self.outputs], [F::ONE; PIECE]);
        let bias = self.output_bias.unwrap_or(&zeros);
        let mut output = Unwritten::new(self.rows * self.outputs);
        let pieces = output.numbers().chunks_mut(PIECE * self.outputs);
        let work: Vec<_> = units(self.rows, 1).into_iter().zip(pieces).collect();
        let lengths = [self.widest(), self.hidden, self.outputs].map(|columns| room(PIECE, columns));
        for_each(work, self.operations(), |(rows, output)| {
            with_scratch(lengths, |[piece, hidden, products]| {
                self.sums(&rows, &panels, piece, hidden);
                activate(&ones[..rows.len()], self.bias, hidden);
                multiply(rows.len(), hidden, stride(self.hidden), &last, products, false);
                if self.residual {
                    store_sum(products, bias, self.inputs[0].0.from(rows.start), output);
                } else {
                    store(products, bias, output);
                }
            });
        });
        output.tensor([self.rows, self.outputs])
    }

    /// The gradients by `x_k`, then by `W_k`, then by `b`, `V` and `c`.
    #[allow(clippy::type_complexity)] // One after the other, as they are said.
    fn gradients(&self, gradient: Strided<F>, needed: [bool; 3]) -> (Vec<FlexTensor>, Vec<Vec<F>>, [Vec<F>; 3]) {
        let (hidden, outputs) = (self.hidden, self.outputs);
        let panels = self.panels();
        let turned: Vec<_> =
            self.inputs.iter().map(|(_, weight, width)| Panels::transposed(weight, [*width, hidden])).collect();
        let turned_output = Panels::transposed(self.output, [hidden, outputs]);
        let units = units(self.rows, at_once(self.rows));
        let width = |place: usize| self.inputs.get(place).map_or(0, |(.., width)| *width);
        let of_input = |place: usize| if width(place) > 0 { room(width(place), hidden) } else { 0 };
        let lengths = [of_input(0), of_input(1), of_input(2), hidden, room(hidden, outputs), outputs];
        let each = lengths.iter().sum();
        let mut sums = UnitSums::new::<F>(each, units.len());
        let wanted = |place: usize| needed[place] && width(place) > 0;
        let mut by_inputs: Vec<Unwritten<F>> =
            (0..3).map(|place| Unwritten::new(if wanted(place) { self.rows * width(place) } else { 0 })).collect();
        let mut rows_of: Vec<_> = by_inputs
            .iter_mut()
            .enumerate()
            .map(|(place, rows)| rows.numbers().chunks_mut((units[0].len() * width(place)).max(1)))
            .collect();
        let work: Vec<_> = units
            .iter()
            .zip(sums.split())
            .map(|(unit, by_weights)| {
                let by_inputs: Vec<&mut [MaybeUninit<F>]> =
                    rows_of.iter_mut().map(|rows| rows.next().unwrap_or_default()).collect();
                (unit, by_weights, by_inputs)
            })
            .collect();
        let (ones, zeros) = ([F::ONE; PIECE], vec![F::ZERO; self.widest()]);
        let widest = room(PIECE, self.widest());
        let pieces_of = [widest, room(PIECE, hidden), room(PIECE, hidden), room(PIECE, outputs), room(PIECE, hidden)];
        for_each(work, 3 * self.operations(), |(unit, by_weights, mut by_inputs)| {
            by_weights.fill(F::ZERO);
            let [w0, w1, w2, by_bias, by_output, by_output_bias] = parts(by_weights, lengths);
            let mut by_weights = [w0, w1, w2];
            with_scratch(pieces_of, |[piece, values, slopes, by_products, by_values]| {
                for rows in pieces(unit) {
                    let count = rows.len();
                    self.sums(&rows, &panels, piece, values);
                    activate_with_slopes(&ones[..count], self.bias, values, slopes);
                    let gradient = gradient.from(rows.start);
                    load(gradient, &mut by_products[..count * stride(outputs)]);
                    add_up(gradient, count, by_output_bias);
                    multiply_transposed([count, hidden, outputs], [values, by_products], stride(hidden), by_output);
                    multiply(count, by_products, stride(outputs), &turned_output, by_values, false);
                    back_through_silu(hidden, &slopes[..count * stride(hidden)], by_values, by_bias);
                    for (place, (x, _, width)) in self.inputs.iter().enumerate() {
                        transposed_times(x.from(rows.start), count, piece, by_values, hidden, by_weights[place]);
                        if needed[place] {
                            multiply(count, by_values, stride(hidden), &turned[place], piece, false);
                            let by_input = &mut by_inputs[place][(rows.start - unit.start) * width..][..count * width];
                            let zeros = &zeros[..*width];
                            if place == 0 && self.residual {
                                store_sum(piece, zeros, gradient, by_input);
                            } else {
                                store(piece, zeros, by_input);
                            }
                        }
                    }
                }
            });
        });
        let mut sum = sums.add_up::<F>();
        let [w0, w1, w2, by_bias, by_output, by_output_bias] = parts(&mut sum, lengths);
        let by_weights = [w0, w1, w2].into_iter().zip(&self.inputs);
        let by_weights = by_weights.map(|(sums, (.., width))| matrix(sums, [*width, hidden])).collect();
        let by_inputs = by_inputs.into_iter().enumerate();
        let by_inputs = by_inputs.map(|(place, rows)| {
            let count = if wanted(place) { self.rows } else { 0 };
            rows.tensor([count, width(place)])
        });
        (
            by_inputs.collect(),
            by_weights,
            [by_bias.to_vec(), matrix(by_output, [hidden, outputs]), by_output_bias.to_vec()],
        )
    }
}

pub(super) fn perceptron<F: Lanes>(arguments: BackendPerceptron<Flex>) -> FlexTensor {
    let arguments = in_place(arguments);
    Network::<F>::of(&arguments).forward()
}

/// Inputs in rows, and the rest with all numbers side by side.
fn in_place(arguments: BackendPerceptron<Flex>) -> BackendPerceptron<Flex> {
    let input = |input| match input {
        OptionalTensors::Two(x, weight) => OptionalTensors::Two(in_rows(x), contiguous(weight)),
        other => other,
    };
    BackendPerceptron {
        x: in_rows(arguments.x),
        weight: contiguous(arguments.weight),
        second: input(arguments.second),
        third: input(arguments.third),
        bias: contiguous(arguments.bias),
        output: contiguous(arguments.output),
        output_bias: arguments.output_bias.map(&mut contiguous),
        residual: arguments.residual,
    }
}

pub(super) fn perceptron_gradient<F: Lanes>(
    arguments: BackendPerceptron<Flex>,
    gradient: FlexTensor,
    needed: [bool; ARGUMENTS],
) -> Vec<Option<FlexTensor>> {
    let (arguments, gradient) = (in_place(arguments), in_rows(gradient));
    let network = Network::<F>::of(&arguments);
    let (by_inputs, by_weights, rest) = network.gradients(Strided::of(&gradient), [needed[0], needed[2], needed[4]]);
    let mut weights = by_weights.into_iter();
    let like = arguments.tensors();
    let shaped = |numbers: Vec<F>, place: usize| {
        let like = like[place].filter(|_| needed[place])?;
        Some(tensor(numbers, like.layout().shape().clone()))
    };
    let mut all = Vec::new();
    for (input, by_input) in by_inputs.into_iter().enumerate() {
        all.push(Some(by_input).filter(|_| needed[2 * input]));
        all.push(shaped(weights.next().unwrap_or_default(), 2 * input + 1));
    }
    all.extend(rest.into_iter().zip(6..).map(|(numbers, place)| shaped(numbers, place)));
    all
}
