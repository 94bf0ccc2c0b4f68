//! What heads of attention compute for rows of segments, on flex: nothing but results is as large as the rows.

use std::mem::MaybeUninit;

use burn::backend::flex::FlexTensor;
use rayon::prelude::*;

use super::float::Float;
use super::memory::{contiguous, filled, is_large, numbers, tensor};
use super::simd::kernel;
use crate::ops::segments::Rows;

/// Rows in one piece of work.
const ROWS: usize = 64;

/// Segments in one piece of work.
const SEGMENTS: usize = 4;

kernel! {
    /// The inner products of rows with those that `ids` name, head by head.
    fn product_rows<'a, F | S>(
        segments: &'a [F],
        values: &'a [F],
        ids: &'a [usize],
        output: &'a mut [MaybeUninit<F>],
        width: usize,
        heads: usize,
    ) {
        let row = values.len() / ids.len();
        let mut products = vec![F::ZERO; width];
        for ((values, &id), output) in values.chunks_exact(row).zip(ids).zip(output.chunks_exact_mut(heads)) {
            products.fill(F::ZERO);
            let segment = &segments[id * row..][..row];
            for (values, segment) in values.chunks_exact(width).zip(segment.chunks_exact(width)) {
                for ((product, &value), &other) in products.iter_mut().zip(values).zip(segment) {
                    *product = value.mul_add::<S>(other, *product);
                }
            }
            for (output, products) in output.iter_mut().zip(products.chunks_exact(width / heads)) {
                output.write(total(products));
            }
        }
    }
}

/// The sum, in 8 sums side by side.
#[inline(always)]
fn total<F: Float>(numbers: &[F]) -> F {
    let mut lanes = [F::ZERO; 8];
    let (chunks, rest) = numbers.as_chunks::<8>();
    for chunk in chunks {
        for lane in 0..8 {
            lanes[lane] += chunk[lane];
        }
    }
    for (lane, &number) in lanes.iter_mut().zip(rest) {
        *lane += number;
    }
    let mut width = 4;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// The weight of its head for every channel.
#[inline(always)]
fn spread<F: Float>(weights: &[F], channels: &mut [F]) {
    let each = channels.len() / weights.len();
    for (channels, &weight) in channels.chunks_exact_mut(each).zip(weights) {
        channels.fill(weight);
    }
}

kernel! {
    /// Adds to every segment its rows, weighed; the segments' borders in `order` are `offsets`.
    fn sum_segments<'a, F | S>(
        values: &'a [F],
        weights: &'a [F],
        offsets: &'a [usize],
        order: &'a [usize],
        output: &'a mut [F],
        width: usize,
        heads: usize,
    ) {
        let row = output.len() / (offsets.len() - 1);
        let mut weight = vec![F::ZERO; width];
        for (output, borders) in output.chunks_exact_mut(row).zip(offsets.windows(2)) {
            for &place in &order[borders[0]..borders[1]] {
                spread(&weights[place * heads..][..heads], &mut weight);
                let values = &values[place * row..][..row];
                for (output, values) in output.chunks_exact_mut(width).zip(values.chunks_exact(width)) {
                    for ((output, &value), &weight) in output.iter_mut().zip(values).zip(&weight) {
                        *output = value.mul_add::<S>(weight, *output);
                    }
                }
            }
        }
    }
}

kernel! {
    /// The segments of rows, weighed.
    fn spread_rows<'a, F | S>(
        segments: &'a [F],
        weights: &'a [F],
        ids: &'a [usize],
        output: &'a mut [MaybeUninit<F>],
        width: usize,
        heads: usize,
    ) {
        let row = output.len() / ids.len();
        let mut weight = vec![F::ZERO; width];
        for ((weights, &id), output) in weights.chunks_exact(heads).zip(ids).zip(output.chunks_exact_mut(row)) {
            spread(weights, &mut weight);
            let segment = &segments[id * row..][..row];
            for (output, segment) in output.chunks_exact_mut(width).zip(segment.chunks_exact(width)) {
                for ((output, &value), &weight) in output.iter_mut().zip(segment).zip(&weight) {
                    output.write(value * weight);
                }
            }
        }
    }
}

/// Rows, components and channels.
fn shape(tensor: &FlexTensor) -> [usize; 3] {
    tensor.layout().shape().dims()
}

pub(super) fn head_products<F: Float>(
    segment_values: FlexTensor,
    values: FlexTensor,
    segments: &Rows,
    heads: usize,
) -> FlexTensor {
    let (segment_values, values) = (contiguous(segment_values), contiguous(values));
    let [rows, components, width] = shape(&values);
    let (segment_values, values) = (numbers::<F>(&segment_values), numbers::<F>(&values));
    let ids = &segments.ids[..];
    assert!(
        segment_values.len() == segments.count() * components * width && rows == ids.len(),
        "a row of values for every segment and every row"
    );
    let fill = |output: &mut [MaybeUninit<F>]| {
        if is_large(values.len()) {
            let pieces = output.par_chunks_mut(ROWS * heads).zip(values.par_chunks(ROWS * components * width));
            pieces.zip(ids.par_chunks(ROWS)).for_each(|((output, values), ids)| {
                product_rows(segment_values, values, ids, output, width, heads);
            });
        } else {
            product_rows(segment_values, values, ids, output, width, heads);
        }
    };
    // There is an id and a row of values for every row of the output, of which every head is written.
    filled::<F>([rows, heads], fill)
}

pub(super) fn head_sums<F: Float>(values: FlexTensor, weights: FlexTensor, segments: &Rows) -> FlexTensor {
    let (values, weights) = (contiguous(values), contiguous(weights));
    let [rows, components, width] = shape(&values);
    let (values, weights) = (numbers::<F>(&values), numbers::<F>(&weights));
    let heads = weights.len() / rows;
    let (offsets, order) = (&segments.offsets[..], &segments.order[..]);
    let mut output = vec![F::ZERO; segments.count() * components * width];
    let piece = if is_large(values.len()) { SEGMENTS } else { segments.count() };
    output.par_chunks_mut(piece * components * width).enumerate().for_each(|(place, output)| {
        let count = output.len() / (components * width);
        let offsets = &offsets[place * piece..][..count + 1];
        sum_segments(values, weights, offsets, order, output, width, heads);
    });
    tensor(output, [segments.count(), components, width])
}

pub(super) fn head_spread<F: Float>(segment_values: FlexTensor, weights: FlexTensor, segments: &Rows) -> FlexTensor {
    let (segment_values, weights) = (contiguous(segment_values), contiguous(weights));
    let [_, components, width] = shape(&segment_values);
    let (segment_values, weights) = (numbers::<F>(&segment_values), numbers::<F>(&weights));
    let ids = &segments.ids[..];
    let (rows, row) = (ids.len(), components * width);
    let heads = weights.len() / rows;
    let fill = |output: &mut [MaybeUninit<F>]| {
        if is_large(output.len()) {
            let pieces = output.par_chunks_mut(ROWS * row).zip(weights.par_chunks(ROWS * heads));
            pieces.zip(ids.par_chunks(ROWS)).for_each(|((output, weights), ids)| {
                spread_rows(segment_values, weights, ids, output, width, heads);
            });
        } else {
            spread_rows(segment_values, weights, ids, output, width, heads);
        }
    };
    // There is an id and a row of weights for every row of the output, of which every channel is written.
    filled::<F>([rows, components, width], fill)
}
