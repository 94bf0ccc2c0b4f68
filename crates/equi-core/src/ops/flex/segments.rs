//! Gathering and adding up rows on flex.
//!
//! Every row of an output is written by one thread, which adds in the order of the rows: no atomics, and the same sum every time.

use std::mem::MaybeUninit;

use burn::backend::flex::FlexTensor;
use rayon::prelude::*;

use super::float::Float;
use super::memory::{contiguous, dims, filled, is_large, numbers, tensor};
use super::simd::kernel;
use crate::ops::segments::Rows;

/// Rows of the output in one piece of work.
const ROWS: usize = 64;

kernel! {
    /// Copies the rows `ids` of `values`.
    fn gather_rows<'a, F | S>(values: &'a [F], ids: &'a [usize], output: &'a mut [MaybeUninit<F>], channels: usize) {
        // The width as a constant, where rows are too narrow for a loop.
        match channels {
            1 => gather_narrow::<F, 1>(values, ids, output),
            2 => gather_narrow::<F, 2>(values, ids, output),
            3 => gather_narrow::<F, 3>(values, ids, output),
            _ => {
                for (output, &id) in output.chunks_exact_mut(channels).zip(ids) {
                    output.write_copy_of_slice(&values[id * channels..][..channels]);
                }
            }
        }
    }
}

#[inline(always)]
fn gather_narrow<F: Float, const C: usize>(values: &[F], ids: &[usize], output: &mut [MaybeUninit<F>]) {
    let values = values.as_chunks::<C>().0;
    for (output, &id) in output.as_chunks_mut::<C>().0.iter_mut().zip(ids) {
        output.write_copy_of_slice(&values[id]);
    }
}

kernel! {
    /// Takes the rows `taken` of `values` from the rows `from`.
    fn subtract_rows<'a, F | S>(
        values: &'a [F],
        from: &'a [usize],
        taken: &'a [usize],
        output: &'a mut [MaybeUninit<F>],
        channels: usize,
    ) {
        match channels {
            1 => subtract_narrow::<F, 1>(values, from, taken, output),
            2 => subtract_narrow::<F, 2>(values, from, taken, output),
            3 => subtract_narrow::<F, 3>(values, from, taken, output),
            _ => {
                for ((output, &from), &taken) in output.chunks_exact_mut(channels).zip(from).zip(taken) {
                    subtract(&values[from * channels..][..channels], &values[taken * channels..][..channels], output);
                }
            }
        }
    }
}

#[inline(always)]
fn subtract<F: Float>(from: &[F], taken: &[F], output: &mut [MaybeUninit<F>]) {
    for ((output, &from), &taken) in output.iter_mut().zip(from).zip(taken) {
        output.write(from - taken);
    }
}

#[inline(always)]
fn subtract_narrow<F: Float, const C: usize>(
    values: &[F],
    from: &[usize],
    taken: &[usize],
    output: &mut [MaybeUninit<F>],
) {
    let values = values.as_chunks::<C>().0;
    for ((output, &from), &taken) in output.as_chunks_mut::<C>().0.iter_mut().zip(from).zip(taken) {
        subtract(&values[from], &values[taken], output);
    }
}

kernel! {
    /// Adds to every row of `output` the rows of its segment, of which `offsets` are the borders in `order`, or in `values` itself
    /// where they lie in order.
    fn sum_segments<'a, F | S>(
        values: &'a [F],
        offsets: &'a [usize],
        order: Option<&'a [usize]>,
        output: &'a mut [F],
        channels: usize,
    ) {
        match channels {
            1 => sum_narrow::<F, 1>(values, offsets, order, output),
            2 => sum_narrow::<F, 2>(values, offsets, order, output),
            3 => sum_narrow::<F, 3>(values, offsets, order, output),
            _ => {
                for (segment, output) in output.chunks_exact_mut(channels).enumerate() {
                    let (start, end) = (offsets[segment], offsets[segment + 1]);
                    match order {
                        None => {
                            for row in values[start * channels..end * channels].chunks_exact(channels) {
                                add(output, row);
                            }
                        }
                        Some(order) => {
                            for &row in &order[start..end] {
                                add(output, &values[row * channels..][..channels]);
                            }
                        }
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn add<F: Float>(sum: &mut [F], row: &[F]) {
    for (sum, &value) in sum.iter_mut().zip(row) {
        *sum += value;
    }
}

#[inline(always)]
fn sum_narrow<F: Float, const C: usize>(values: &[F], offsets: &[usize], order: Option<&[usize]>, output: &mut [F]) {
    let values = values.as_chunks::<C>().0;
    for (output, borders) in output.as_chunks_mut::<C>().0.iter_mut().zip(offsets.windows(2)) {
        for place in borders[0]..borders[1] {
            let row = order.map_or(place, |order| order[place]);
            for (sum, &value) in output.iter_mut().zip(&values[row]) {
                *sum += value;
            }
        }
    }
}

pub(super) fn gather<F: Float>(values: FlexTensor, segments: &Rows) -> FlexTensor {
    let values = contiguous(values);
    let [_, channels] = dims(&values);
    let values = numbers::<F>(&values);
    let ids = &segments.ids[..];
    let fill = |output: &mut [MaybeUninit<F>]| {
        if is_large(output.len()) {
            output
                .par_chunks_mut(ROWS * channels)
                .zip(ids.par_chunks(ROWS))
                .for_each(|(output, ids)| gather_rows(values, ids, output, channels));
        } else if !output.is_empty() {
            gather_rows(values, ids, output, channels);
        }
    };
    // There is an id for every row of the output, and every row is copied from the one it names.
    filled::<F>([ids.len(), channels], fill)
}

pub(super) fn differences<F: Float>(values: FlexTensor, [receivers, senders]: [&Rows; 2]) -> FlexTensor {
    let values = contiguous(values);
    let [_, channels] = dims(&values);
    let values = numbers::<F>(&values);
    let (from, taken) = (&receivers.ids[..], &senders.ids[..]);
    let fill = |output: &mut [MaybeUninit<F>]| {
        if is_large(output.len()) {
            let ids = from.par_chunks(ROWS).zip(taken.par_chunks(ROWS));
            output
                .par_chunks_mut(ROWS * channels)
                .zip(ids)
                .for_each(|(output, (from, taken))| subtract_rows(values, from, taken, output, channels));
        } else if !output.is_empty() {
            subtract_rows(values, from, taken, output, channels);
        }
    };
    // There are as many receivers as senders, and every row of the output is written.
    filled::<F>([from.len(), channels], fill)
}

pub(super) fn sum<F: Float>(values: FlexTensor, segments: &Rows) -> FlexTensor {
    let values = contiguous(values);
    let [rows, channels] = dims(&values);
    let values = numbers::<F>(&values);
    let (offsets, order) = (&segments.offsets[..], (!segments.sorted).then_some(&segments.order[..]));
    let mut output = vec![F::ZERO; segments.count() * channels];
    if is_large(rows * channels) {
        output.par_chunks_mut(ROWS * channels).enumerate().for_each(|(piece, output)| {
            sum_segments(values, &offsets[piece * ROWS..], order, output, channels);
        });
    } else if channels > 0 {
        sum_segments(values, offsets, order, &mut output, channels);
    }
    tensor(output, [segments.count(), channels])
}
