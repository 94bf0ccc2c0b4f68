//! The maximum over windows on flex.

mod lines;

use burn::backend::flex::FlexTensor;
use rayon::prelude::*;

use self::lines::{Lines, Moves, add_to_maxima, maxima};
use crate::ops::feature_map::PoolWindow;
use crate::ops::flex::float::Float;
use crate::ops::flex::memory::{contiguous, numbers, written};

/// Planes in one piece of work.
const PLANES: usize = 8;

pub(super) fn maximum<F: Float>(x: FlexTensor, window: PoolWindow) -> FlexTensor {
    let [batch, channels, height, width] = x.layout().shape().dims();
    let moves = Moves::new(window, [height, width]);
    let [rows, columns] = moves.output;
    let x = contiguous(x);
    written([batch, channels, rows, columns], |output: &mut [F]| {
        let pixels = numbers::<F>(&x).par_chunks(PLANES * height * width);
        output.par_chunks_mut(PLANES * rows * columns).zip(pixels).for_each(|(output, pixels)| {
            let mut lines = Lines::new(moves);
            for (output, plane) in output.chunks_mut(rows * columns).zip(pixels.chunks(height * width)) {
                maxima(plane, moves, &mut lines, output);
            }
        });
    })
}

pub(super) fn gradient<F: Float>(x: FlexTensor, window: PoolWindow, gradient: FlexTensor) -> FlexTensor {
    let shape @ [_, _, height, width] = x.layout().shape().dims();
    let moves = Moves::new(window, [height, width]);
    let [rows, columns] = moves.output;
    let (x, gradient) = (contiguous(x), contiguous(gradient));
    written(shape, |by_x: &mut [F]| {
        let (pixels, windows) = (PLANES * height * width, PLANES * rows * columns);
        let pieces = numbers::<F>(&x).par_chunks(pixels).zip(numbers::<F>(&gradient).par_chunks(windows));
        by_x.par_chunks_mut(pixels).zip(pieces).for_each(|(by_x, (pixels, gradients))| {
            let mut lines = Lines::new(moves);
            let pieces = pixels.chunks(height * width).zip(gradients.chunks(rows * columns));
            for (by_x, (plane, gradients)) in by_x.chunks_mut(height * width).zip(pieces) {
                by_x.fill(F::ZERO);
                add_to_maxima(plane, moves, &mut lines, gradients, by_x);
            }
        });
    })
}
