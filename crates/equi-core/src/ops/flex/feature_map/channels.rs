//! Moments and affine maps of channels on flex, a plane of pixels at a time.

use burn::backend::flex::FlexTensor;
use burn::tensor::Shape;
use rayon::prelude::*;

use crate::ops::flex::float::Float;
use crate::ops::flex::memory::{contiguous, numbers, own_numbers, tensor, written};
use crate::ops::flex::simd::kernel;

/// Numbers in one piece of work, or one plane.
const PIECE: usize = 1 << 15;

kernel! {
    /// The sum of the numbers, and that of the squares of their distances from `centre`.
    fn sums_of_plane<'a, F | S>(plane: &'a [F], centre: F, sums: &'a mut [F; 2]) {
        let (mut lanes, mut squares) = ([F::ZERO; 16], [F::ZERO; 16]);
        let (chunks, rest) = plane.as_chunks::<16>();
        for chunk in chunks {
            for lane in 0..16 {
                let distance = chunk[lane] - centre;
                lanes[lane] += distance;
                squares[lane] = distance.mul_add::<S>(distance, squares[lane]);
            }
        }
        for (lane, &x) in rest.iter().enumerate() {
            let distance = x - centre;
            lanes[lane] += distance;
            squares[lane] += distance * distance;
        }
        *sums = [lanes, squares].map(|lanes| lanes.into_iter().fold(F::ZERO, |sum, lane| sum + lane));
    }
}

kernel! {
    /// `scale (x - mean) + shift`.
    fn affine_plane<'a, F | S>(x: &'a [F], mean: F, scale: F, shift: F, output: &'a mut [F]) {
        for (output, &x) in output.iter_mut().zip(x) {
            *output = scale.mul_add::<S>(x - mean, shift);
        }
    }
}

kernel! {
    /// Multiplies the gradient, and gives its sums with `x - mean` and with ones.
    fn affine_gradient_plane<'a, F | S>(x: &'a [F], mean: F, scale: F, gradient: &'a mut [F], sums: &'a mut [F; 2]) {
        let (mut lanes, mut products) = ([F::ZERO; 16], [F::ZERO; 16]);
        let ((chunks, rest), (gradients, others)) = (x.as_chunks::<16>(), gradient.as_chunks_mut::<16>());
        for (x, gradient) in chunks.iter().zip(gradients) {
            for lane in 0..16 {
                lanes[lane] += gradient[lane];
                products[lane] = gradient[lane].mul_add::<S>(x[lane] - mean, products[lane]);
                gradient[lane] *= scale;
            }
        }
        for (lane, (&x, gradient)) in rest.iter().zip(others).enumerate() {
            lanes[lane] += *gradient;
            products[lane] += *gradient * (x - mean);
            *gradient *= scale;
        }
        *sums = [products, lanes].map(|lanes| lanes.into_iter().fold(F::ZERO, |sum, lane| sum + lane));
    }
}

/// Samples, channels and pixels.
pub(super) fn shape(x: &FlexTensor) -> [usize; 3] {
    let [batch, channels, height, width] = x.layout().shape().dims();
    [batch, channels, height * width]
}

/// Planes in one piece of work. A constant of the shape, so that sums over pieces are the same with any number of threads.
fn planes(pixels: usize) -> usize {
    PIECE.div_ceil(pixels)
}

/// The sum over samples of what every plane of a channel gives, in their order.
fn by_channel<F: Float>(planes: &[[F; 2]], channels: usize) -> Vec<[F; 2]> {
    let mut sums = vec![[F::ZERO; 2]; channels];
    for sample in planes.chunks(channels) {
        for (sum, plane) in sums.iter_mut().zip(sample) {
            sum[0] += plane[0];
            sum[1] += plane[1];
        }
    }
    sums
}

/// What `of_plane` gives for every plane.
fn each_plane<F: Float>(x: &[F], pixels: usize, of_plane: impl Fn(&[F]) -> [F; 2] + Sync) -> Vec<[F; 2]> {
    let mut all = vec![[F::ZERO; 2]; x.len() / pixels];
    let count = planes(pixels);
    all.par_chunks_mut(count).zip(x.par_chunks(count * pixels)).for_each(|(all, x)| {
        for (all, x) in all.iter_mut().zip(x.chunks(pixels)) {
            *all = of_plane(x);
        }
    });
    all
}

/// The sums of [`sums_of_plane`].
fn sums_about<F: Float>(x: &[F], centre: F) -> [F; 2] {
    let mut sums = [F::ZERO; 2];
    sums_of_plane(x, centre, &mut sums);
    sums
}

/// `[2, channels]`, row by row.
fn rows<F: Float>(pairs: &[[F; 2]]) -> Vec<F> {
    pairs.iter().map(|pair| pair[0]).chain(pairs.iter().map(|pair| pair[1])).collect()
}

/// The sum of every channel of a feature map, `[channels]`.
pub(in crate::ops::flex) fn sums<F: Float>(x: FlexTensor) -> FlexTensor {
    let [_, channels, pixels] = shape(&x);
    let x = contiguous(x);
    let numbers = numbers::<F>(&x);
    let planes = if numbers.is_empty() { Vec::new() } else { each_plane(numbers, pixels, |x| sums_about(x, F::ZERO)) };
    let sums = by_channel(&planes, channels).into_iter().map(|[sum, _]| sum).collect();
    tensor(sums, [channels])
}

pub(super) fn moments<F: Float>(x: FlexTensor) -> FlexTensor {
    let [batch, channels, pixels] = shape(&x);
    let x = contiguous(x);
    let values = numbers::<F>(&x);
    let (pixels_in_plane, samples) = (F::from_elem(pixels), F::from_elem(batch));
    // Of a plane, which stays in the cache: the mean about its first number, then distances from it, whose own mean corrects the rounding of the first.
    let planes = each_plane(values, pixels, |x| {
        let first = x[0] + sums_about(x, x[0])[0] / pixels_in_plane;
        let [sum, squares] = sums_about(x, first);
        let rest = sum / pixels_in_plane;
        [first + rest, squares / pixels_in_plane - rest * rest]
    });
    // Of a channel: the mean of the means, and of the variances and squared distances of the means.
    let about = |channel: usize| planes[channel][0];
    let distances: Vec<[F; 2]> =
        planes.iter().enumerate().map(|(plane, [mean, _])| [*mean - about(plane % channels), F::ZERO]).collect();
    let means: Vec<F> =
        by_channel(&distances, channels).iter().enumerate().map(|(c, [sum, _])| about(c) + *sum / samples).collect();
    let spread: Vec<[F; 2]> = planes
        .iter()
        .enumerate()
        .map(|(plane, [mean, variance])| {
            let distance = *mean - means[plane % channels];
            [*variance + distance * distance, distance]
        })
        .collect();
    let moments: Vec<[F; 2]> = by_channel(&spread, channels)
        .iter()
        .zip(means)
        .map(|([squares, distances], mean)| {
            let rest = *distances / samples;
            [mean + rest, *squares / samples - rest * rest]
        })
        .collect();
    tensor(rows(&moments), [2, channels])
}

pub(super) fn moments_gradient<F: Float>(x: FlexTensor, moments: FlexTensor, gradient: FlexTensor) -> FlexTensor {
    let [batch, channels, pixels] = shape(&x);
    let full = x.layout().shape().clone();
    let [x, moments, gradient] = [x, moments, gradient].map(contiguous);
    let (values, moments, gradient) = (numbers::<F>(&x), numbers::<F>(&moments), numbers::<F>(&gradient));
    let samples = F::from_elem(batch * pixels);
    let slope = |channel: usize| (F::ONE + F::ONE) * gradient[channels + channel] / samples;
    map_planes(values, pixels, full, |plane, x, by_x| {
        let channel = plane % channels;
        affine_plane(x, moments[channel], slope(channel), gradient[channel] / samples, by_x);
    })
}

pub(super) fn affine<F: Float>(x: FlexTensor, vectors: [FlexTensor; 3]) -> FlexTensor {
    let [_, channels, pixels] = shape(&x);
    let full = x.layout().shape().clone();
    let (x, vectors) = (contiguous(x), vectors.map(contiguous));
    let [mean, scale, shift] = vectors.each_ref().map(numbers::<F>);
    map_planes(numbers::<F>(&x), pixels, full, |plane, x, output| {
        let channel = plane % channels;
        affine_plane(x, mean[channel], scale[channel], shift[channel], output);
    })
}

/// A new feature map, plane by plane.
pub(super) fn map_planes<F: Float>(
    x: &[F],
    pixels: usize,
    shape: Shape,
    fill: impl Fn(usize, &[F], &mut [F]) + Sync,
) -> FlexTensor {
    let count = planes(pixels);
    written(shape, |output| {
        let pieces = output.par_chunks_mut(count * pixels).zip(x.par_chunks(count * pixels)).enumerate();
        pieces.for_each(|(piece, (output, x))| {
            for (plane, (output, x)) in output.chunks_mut(pixels).zip(x.chunks(pixels)).enumerate() {
                fill(piece * count + plane, x, output);
            }
        });
    })
}

pub(super) fn affine_gradient<F: Float>(
    x: FlexTensor,
    vectors: [FlexTensor; 2],
    gradient: FlexTensor,
) -> (FlexTensor, FlexTensor) {
    let [_, channels, pixels] = shape(&x);
    let (x, vectors, mut gradient) = (contiguous(x), vectors.map(contiguous), contiguous(gradient));
    let [mean, scale] = vectors.each_ref().map(numbers::<F>);
    let (values, gradients) = (numbers::<F>(&x), own_numbers::<F>(&mut gradient));
    let sums = change_planes(values, gradients, [channels, pixels], |channel, x, gradient, sums| {
        affine_gradient_plane(x, mean[channel], scale[channel], gradient, sums);
    });
    (gradient, tensor(rows(&sums), [2, channels]))
}

/// Changes a gradient plane by plane, and gives two sums of every channel.
pub(super) fn change_planes<F: Float>(
    x: &[F],
    gradient: &mut [F],
    [channels, pixels]: [usize; 2],
    change: impl Fn(usize, &[F], &mut [F], &mut [F; 2]) + Sync,
) -> Vec<[F; 2]> {
    let mut all = vec![[F::ZERO; 2]; x.len() / pixels];
    let count = planes(pixels);
    let pieces = x.par_chunks(count * pixels).zip(gradient.par_chunks_mut(count * pixels));
    all.par_chunks_mut(count).zip(pieces).enumerate().for_each(|(piece, (all, (x, gradient)))| {
        let planes = x.chunks(pixels).zip(gradient.chunks_mut(pixels));
        for (plane, (sums, (x, gradient))) in all.iter_mut().zip(planes).enumerate() {
            change((piece * count + plane) % channels, x, gradient, sums);
        }
    });
    by_channel(&all, channels)
}
