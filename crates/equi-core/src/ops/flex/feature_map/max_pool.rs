//! The maximum over windows on flex: along columns first, a row at a time, then along rows.

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
fn within(place: usize, window: PoolWindow, size: usize) -> std::ops::Range<usize> {
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
fn split_first<F>(
    plane: &[F],
    rows: std::ops::Range<usize>,
    width: usize,
) -> Option<(&[F], impl Iterator<Item = &[F]>)> {
    let mut rows = plane[rows.start * width..rows.end * width].chunks(width);
    Some((rows.next()?, rows))
}

pub(super) fn gradient<F: Float>(x: FlexTensor, window: PoolWindow, gradient: FlexTensor) -> FlexTensor {
    let [batch, channels, height, width] = x.layout().shape().dims();
    let (rows, columns) = (window.placements(height), window.placements(width));
    let (x, gradient) = (contiguous(x), contiguous(gradient));
    let mut by_x = vec![F::ZERO; batch * channels * height * width];
    let (pixels, windows) = (PLANES * height * width, PLANES * rows * columns);
    let planes = numbers::<F>(&x).par_chunks(pixels).zip(numbers::<F>(&gradient).par_chunks(windows));
    by_x.par_chunks_mut(pixels).zip(planes).for_each(|(by_x, (planes, gradients))| {
        let planes = planes.chunks(height * width).zip(gradients.chunks(rows * columns));
        for (by_x, (plane, gradients)) in by_x.chunks_mut(height * width).zip(planes) {
            for (row, gradients) in gradients.chunks(columns).enumerate() {
                let lines = within(row, window, height);
                for (column, &gradient) in gradients.iter().enumerate() {
                    let pixels = within(column, window, width);
                    by_x[first_maximum(plane, lines.clone(), pixels, width)] += gradient;
                }
            }
        }
    });
    tensor(by_x, [batch, channels, height, width])
}

/// The place of the first pixel that has the maximum.
#[inline(always)]
#[allow(clippy::eq_op)] // Only what is not a number differs from itself.
fn first_maximum<F: Float>(
    plane: &[F],
    rows: std::ops::Range<usize>,
    columns: std::ops::Range<usize>,
    width: usize,
) -> usize {
    let mut place = rows.start * width + columns.start;
    let mut maximum = plane[place];
    for row in rows {
        for (column, &x) in columns.clone().zip(&plane[row * width..][columns.clone()]) {
            if x > maximum || (x != x && maximum == maximum) {
                (place, maximum) = (row * width + column, x);
            }
        }
    }
    place
}
