//! `linear_rows` and `perceptron` on flex: rows in pieces that stay in the cache.

use std::ops::Range;

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;

use super::float::Float;
use super::layers::{UnitSums, activate, activate_with_slopes, back_through_silu, matrix, parts};
use super::memory::{contiguous, dims, numbers, tensor};
use super::microkernel::{Lanes, Panels, multiply, multiply_transposed, room, stride};
use super::pieces::{for_each, with_scratch};
use super::simd::kernel;
use crate::ops::message_network::OptionalTensors;
use crate::ops::perceptron::{ARGUMENTS, BackendPerceptron};

/// Rows that go through all layers at a time.
const PIECE: usize = 128;

/// Units of work at most that have their own sums of the gradients by weights.
const UNITS: usize = 16;

kernel! {
    /// Into the layout of pieces of work.
    fn load<'a, F | S>(rows: &'a [F], columns: usize, piece: &'a mut [F]) {
        for (row, piece) in rows.chunks_exact(columns).zip(piece.chunks_exact_mut(stride(columns))) {
            piece[..columns].copy_from_slice(row);
        }
    }
}

kernel! {
    /// Out of it, plus a bias and the numbers that are there.
    fn add<'a, F | S>(piece: &'a [F], bias: &'a [F], rows: &'a mut [F]) {
        for (piece, row) in piece.chunks_exact(stride(bias.len())).zip(rows.chunks_exact_mut(bias.len())) {
            for ((row, &piece), &bias) in row.iter_mut().zip(piece).zip(bias) {
                *row += piece + bias;
            }
        }
    }
}

kernel! {
    /// Adds up rows that lie side by side.
    fn add_up<'a, F | S>(rows: &'a [F], sum: &'a mut [F]) {
        for row in rows.chunks_exact(sum.len()) {
            for (sum, &row) in sum.iter_mut().zip(row) {
                *sum += row;
            }
        }
    }
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
    let (x, weight) = (contiguous(x), contiguous(weight));
    let bias = bias.map::<Flex>(&mut contiguous);
    let ([rows, inputs], [_, outputs]) = (dims(&x), dims(&weight));
    let zeros = vec![F::ZERO; outputs];
    let bias = bias.tensors()[0].map_or(&zeros[..], numbers);
    let (x, panels) = (numbers::<F>(&x), Panels::new(numbers::<F>(&weight), [inputs, outputs]));
    let mut output = vec![F::ZERO; rows * outputs];
    let work: Vec<_> = x.chunks(PIECE * inputs).zip(output.chunks_mut(PIECE * outputs)).collect();
    for_each(work, rows * inputs * outputs, |(x, output)| {
        with_scratch([room(PIECE, inputs), room(PIECE, outputs)], |[piece, products]| {
            load(x, inputs, piece);
            multiply(x.len() / inputs, piece, stride(inputs), &panels, products, false);
            add(products, bias, output);
        });
    });
    tensor(output, [rows, outputs])
}

pub(super) fn linear_gradient<F: Lanes>(
    x: FlexTensor,
    weight: FlexTensor,
    gradient: FlexTensor,
    needed: [bool; 3],
) -> Vec<Option<FlexTensor>> {
    let (x, weight, gradient) = (contiguous(x), contiguous(weight), contiguous(gradient));
    let ([rows, inputs], [_, outputs]) = (dims(&x), dims(&weight));
    let (x, gradient) = (numbers::<F>(&x), numbers::<F>(&gradient));
    let transposed = Panels::transposed(numbers::<F>(&weight), [inputs, outputs]);
    let units = units(rows, at_once(rows));
    let lengths = [room(inputs, outputs), outputs];
    let each = lengths[0] + lengths[1];
    let mut sums = UnitSums::new::<F>(each, units.len());
    let mut by_x = vec![F::ZERO; rows * inputs];
    let by_rows = by_x.chunks_mut(units[0].len() * inputs);
    let work: Vec<_> = units.iter().zip(by_rows).zip(sums.split()).collect();
    let zeros = vec![F::ZERO; inputs];
    for_each(work, 2 * rows * inputs * outputs, |((unit, by_x), by_weights)| {
        by_weights.fill(F::ZERO);
        let [by_weight, by_bias] = parts(by_weights, lengths);
        let lengths = [room(PIECE, inputs), room(PIECE, outputs), room(PIECE, inputs)];
        with_scratch(lengths, |[piece, by_products, products]| {
            for rows in pieces(unit) {
                let count = rows.len();
                let gradient = &gradient[rows.start * outputs..rows.end * outputs];
                load(gradient, outputs, by_products);
                if needed[0] {
                    multiply(count, by_products, stride(outputs), &transposed, products, false);
                    add(products, &zeros, &mut by_x[(rows.start - unit.start) * inputs..][..count * inputs]);
                }
                if needed[1] {
                    load(&x[rows.start * inputs..rows.end * inputs], inputs, piece);
                    multiply_transposed([count, inputs, outputs], piece, by_products, by_weight);
                }
                add_up(gradient, by_bias);
            }
        });
    });
    let mut sum = sums.add_up::<F>();
    let [by_weight, by_bias] = parts(&mut sum, lengths);
    vec![
        needed[0].then(|| tensor(by_x, [rows, inputs])),
        needed[1].then(|| tensor(matrix(by_weight, [inputs, outputs]), [inputs, outputs])),
        needed[2].then(|| tensor(by_bias.to_vec(), [outputs])),
    ]
}

/// The arguments as slices: `x_k` with their widths, and the rest by its name.
struct Network<'a, F> {
    inputs: Vec<(&'a [F], &'a [F], usize)>,
    bias: &'a [F],
    output: &'a [F],
    output_bias: Option<&'a [F]>,
    residual: bool,
    rows: usize,
    hidden: usize,
    outputs: usize,
}

impl<'a, F: Lanes> Network<'a, F> {
    /// Of contiguous arguments.
    fn of(arguments: &'a BackendPerceptron<Flex>) -> Self {
        let tensors = arguments.tensors();
        let input = |(x, weight): (Option<&'a FlexTensor>, Option<&'a FlexTensor>)| {
            let (x, weight) = (x?, weight?);
            Some((numbers::<F>(x), numbers::<F>(weight), dims(x)[1]))
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

    fn panels(&self) -> Vec<Panels<F>> {
        self.inputs.iter().map(|(_, weight, width)| Panels::new(weight, [*width, self.hidden])).collect()
    }

    /// The argument of the SiLU, without the bias.
    fn sums(&self, rows: &Range<usize>, panels: &[Panels<F>], piece: &mut [F], sums: &mut [F]) {
        for (place, ((x, _, width), panels)) in self.inputs.iter().zip(panels).enumerate() {
            load(&x[rows.start * width..rows.end * width], *width, piece);
            multiply(rows.len(), piece, stride(*width), panels, sums, place > 0);
        }
    }

    fn forward(&self) -> Vec<F> {
        let (panels, last) = (self.panels(), Panels::new(self.output, [self.hidden, self.outputs]));
        let (zeros, ones) = (vec![F::ZERO; self.outputs], [F::ONE; PIECE]);
        let mut output =
            if self.residual { self.inputs[0].0.to_vec() } else { vec![F::ZERO; self.rows * self.outputs] };
        let work: Vec<_> = units(self.rows, 1).into_iter().zip(output.chunks_mut(PIECE * self.outputs)).collect();
        let lengths = [self.widest(), self.hidden, self.outputs].map(|columns| room(PIECE, columns));
        for_each(work, self.operations(), |(rows, output)| {
            with_scratch(lengths, |[piece, hidden, products]| {
                self.sums(&rows, &panels, piece, hidden);
                activate(&ones[..rows.len()], self.bias, hidden);
                multiply(rows.len(), hidden, stride(self.hidden), &last, products, false);
                add(products, self.output_bias.unwrap_or(&zeros), output);
            });
        });
        output
    }

    /// The gradients by `x_k`, then by `W_k`, then by `b`, `V` and `c`.
    #[allow(clippy::type_complexity)] // One after the other, as they are said.
    fn gradients(&self, gradient: &[F], needed: [bool; 3]) -> (Vec<Vec<F>>, Vec<Vec<F>>, [Vec<F>; 3]) {
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
        let mut by_inputs: Vec<Vec<F>> = (0..3)
            .map(|place| match place {
                _ if !needed[place] => Vec::new(),
                0 if self.residual => gradient.to_vec(),
                _ => vec![F::ZERO; self.rows * width(place)],
            })
            .collect();
        let mut rows_of: Vec<_> = by_inputs
            .iter_mut()
            .enumerate()
            .map(|(place, rows)| rows.chunks_mut((units[0].len() * width(place)).max(1)))
            .collect();
        let work: Vec<_> = units
            .iter()
            .zip(sums.split())
            .map(|(unit, by_weights)| {
                let by_inputs: Vec<&mut [F]> = rows_of.iter_mut().map(|rows| rows.next().unwrap_or_default()).collect();
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
                    let gradient = &gradient[rows.start * outputs..rows.end * outputs];
                    load(gradient, outputs, by_products);
                    add_up(gradient, by_output_bias);
                    multiply_transposed([count, hidden, outputs], values, by_products, by_output);
                    multiply(count, by_products, stride(outputs), &turned_output, by_values, false);
                    back_through_silu(hidden, &slopes[..count * stride(hidden)], by_values, by_bias);
                    for (place, (x, _, width)) in self.inputs.iter().enumerate() {
                        load(&x[rows.start * width..rows.end * width], *width, piece);
                        multiply_transposed([count, *width, hidden], piece, by_values, by_weights[place]);
                        if needed[place] {
                            multiply(count, by_values, stride(hidden), &turned[place], piece, false);
                            let by_input = &mut by_inputs[place][(rows.start - unit.start) * width..][..count * width];
                            add(piece, &zeros[..*width], by_input);
                        }
                    }
                }
            });
        });
        let mut sum = sums.add_up::<F>();
        let [w0, w1, w2, by_bias, by_output, by_output_bias] = parts(&mut sum, lengths);
        let by_weights = [w0, w1, w2].into_iter().zip(&self.inputs);
        let by_weights = by_weights.map(|(sums, (.., width))| matrix(sums, [*width, hidden])).collect();
        (by_inputs, by_weights, [by_bias.to_vec(), matrix(by_output, [hidden, outputs]), by_output_bias.to_vec()])
    }
}

pub(super) fn perceptron<F: Lanes>(arguments: BackendPerceptron<Flex>) -> FlexTensor {
    let arguments = arguments.map::<Flex>(contiguous);
    let network = Network::<F>::of(&arguments);
    tensor(network.forward(), [network.rows, network.outputs])
}

pub(super) fn perceptron_gradient<F: Lanes>(
    arguments: BackendPerceptron<Flex>,
    gradient: FlexTensor,
    needed: [bool; ARGUMENTS],
) -> Vec<Option<FlexTensor>> {
    let (arguments, gradient) = (arguments.map::<Flex>(contiguous), contiguous(gradient));
    let network = Network::<F>::of(&arguments);
    let (by_inputs, by_weights, rest) = network.gradients(numbers(&gradient), [needed[0], needed[2], needed[4]]);
    let mut weights = by_weights.into_iter();
    let pairs = by_inputs.into_iter().flat_map(|by_input| [by_input, weights.next().unwrap_or_default()]);
    let all: Vec<Vec<F>> = pairs.chain(rest).collect();
    let like = arguments.tensors().into_iter().zip(needed);
    all.into_iter()
        .zip(like)
        .map(|(numbers, (like, needed))| {
            let like = like.filter(|_| needed)?;
            Some(tensor(numbers, like.layout().shape().clone()))
        })
        .collect()
}
