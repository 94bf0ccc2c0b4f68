//! The maximum over windows on flex: along columns first, a row at a time, then along rows.

use std::hint::select_unpredictable;
use std::ops::Range;

use burn::backend::flex::FlexTensor;
use rayon::prelude::*;

use crate::ops::feature_map::PoolWindow;
use crate::ops::flex::float::Float;
use crate::ops::flex::memory::{contiguous, numbers, tensor};
use crate::ops::flex::simd::kernel;

/// Planes in one piece of work.
const PLANES: usize = 8;

kernel! {
    /// The larger of each pair; what is not a number stays.
    fn larger<'a, F | S>(row: &'a [F], maximum: &'a mut [F]) {
        for (maximum, &x) in maximum.iter_mut().zip(row) {
            *maximum = larger_of(x, *maximum);
        }
    }
}

#[inline(always)]
#[allow(clippy::eq_op)] // Only what is not a number differs from itself.
fn larger_of<F: Float>(x: F, maximum: F) -> F {
    if x > maximum || x != x { x } else { maximum }
}

/// What lies within an image of a window at `place`, of so many pixels.
fn within(place: usize, window: PoolWindow, size: usize) -> Range<usize> {
    let first = place * window.stride;
    first.saturating_sub(window.padding)..(first + window.kernel_size - window.padding).min(size)
}

pub(super) fn maximum<F: Float>(x: FlexTensor, window: PoolWindow) -> FlexTensor {
    let [batch, channels, height, width] = x.layout().shape().dims();
    let (rows, columns) = (window.placements(height), window.placements(width));
    let x = contiguous(x);
    let mut output = vec![F::ZERO; batch * channels * rows * columns];
    let planes =
        output.par_chunks_mut(PLANES * rows * columns).zip(numbers::<F>(&x).par_chunks(PLANES * height * width));
    planes.for_each(|(output, planes)| {
        let mut maximum = vec![F::ZERO; width];
        for (output, plane) in output.chunks_mut(rows * columns).zip(planes.chunks(height * width)) {
            for (row, output) in output.chunks_mut(columns).enumerate() {
                let Some((first, rest)) = split_first(plane, within(row, window, height), width) else {
                    unreachable!()
                };
                maximum.copy_from_slice(first);
                rest.for_each(|row| larger(row, &mut maximum));
                for (column, output) in output.iter_mut().enumerate() {
                    let pixels = &maximum[within(column, window, width)];
                    *output = pixels[1..].iter().fold(pixels[0], |maximum, &x| larger_of(x, maximum));
                }
            }
        }
    });
    tensor(output, [batch, channels, rows, columns])
}

/// The first of some rows of a plane, and the others.
fn split_first<F>(plane: &[F], rows: Range<usize>, width: usize) -> Option<(&[F], impl Iterator<Item = &[F]>)> {
    let mut rows = plane[rows.start * width..rows.end * width].chunks(width);
    Some((rows.next()?, rows))
}

kernel! {
    /// The larger of each pair and the row that it is in, where the later row is `number`.
    fn larger_from<'a, F | S>(row: &'a [F], number: u32, maximum: &'a mut [F], from: &'a mut [u32]) {
        for ((maximum, from), &x) in maximum.iter_mut().zip(from).zip(row) {
            let larger = is_larger(x, *maximum);
            *maximum = if larger { x } else { *maximum };
            *from = if larger { number } else { *from };
        }
    }
}

/// What is not a number is larger than every number.
#[inline(always)]
#[allow(clippy::eq_op)] // Only what is not a number differs from itself.
fn is_larger<F: Float>(x: F, maximum: F) -> bool {
    x > maximum || (x != x && maximum == maximum)
}

pub(super) fn gradient<F: Float>(x: FlexTensor, window: PoolWindow, gradient: FlexTensor) -> FlexTensor {
    let [batch, channels, height, width] = x.layout().shape().dims();
    let (rows, columns) = (window.placements(height), window.placements(width));
    let (x, gradient) = (contiguous(x), contiguous(gradient));
    let mut by_x = vec![F::ZERO; batch * channels * height * width];
    let (pixels, windows) = (PLANES * height * width, PLANES * rows * columns);
    let across: Vec<Range<usize>> = (0..columns).map(|column| within(column, window, width)).collect();
    let planes = numbers::<F>(&x).par_chunks(pixels).zip(numbers::<F>(&gradient).par_chunks(windows));
    by_x.par_chunks_mut(pixels).zip(planes).for_each(|(by_x, (planes, gradients))| {
        let (mut maximum, mut from) = (vec![F::ZERO; width], vec![0; width]);
        let planes = planes.chunks(height * width).zip(gradients.chunks(rows * columns));
        for (by_x, (plane, gradients)) in by_x.chunks_mut(height * width).zip(planes) {
            for (row, gradients) in gradients.chunks(columns).enumerate() {
                let lines = within(row, window, height);
                maximum.copy_from_slice(&plane[lines.start * width..][..width]);
                from.fill(lines.start as u32);
                for line in lines.skip(1) {
                    larger_from(&plane[line * width..][..width], line as u32, &mut maximum, &mut from);
                }
                for (pixels, &gradient) in across.iter().zip(gradients) {
                    by_x[first_maximum(&maximum, &from, pixels.clone(), width)] += gradient;
                }
            }
        }
    });
    tensor(by_x, [batch, channels, height, width])
}

/// The place of the first pixel that has the maximum, row by row, where every column knows its own and the first row that has it.
#[inline(always)]
#[allow(clippy::eq_op)] // Only what is not a number differs from itself.
fn first_maximum<F: Float>(maximum: &[F], from: &[u32], columns: Range<usize>, width: usize) -> usize {
    let first = columns.start;
    let (mut column, mut row, mut best) = (first, from[first], maximum[first]);
    let others = maximum[columns.clone()].iter().zip(&from[columns]).enumerate().skip(1);
    for (place, (&x, &line)) in others {
        let alike = x == best || (x != x && best != best);
        // Which it is cannot be foreseen.
        let larger = is_larger(x, best) || (alike && line < row);
        column = select_unpredictable(larger, first + place, column);
        row = select_unpredictable(larger, line, row);
        best = select_unpredictable(larger, x, best);
    }
    row as usize * width + column
}
