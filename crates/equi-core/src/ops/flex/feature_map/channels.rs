//! Moments and affine maps of channels on flex, a plane of pixels at a time.

use burn::backend::flex::FlexTensor;
use rayon::prelude::*;

use crate::ops::flex::float::Float;
use crate::ops::flex::memory::{contiguous, numbers, own_numbers, tensor};
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
fn shape(x: &FlexTensor) -> [usize; 3] {
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

/// The sums of every plane, about the centre of its channel.
fn plane_sums<F: Float>(x: &[F], pixels: usize, centre: impl Fn(usize) -> F + Sync) -> Vec<[F; 2]> {
    let mut all = vec![[F::ZERO; 2]; x.len() / pixels];
    let count = planes(pixels);
    all.par_chunks_mut(count).zip(x.par_chunks(count * pixels)).enumerate().for_each(|(piece, (all, x))| {
        for (plane, (all, x)) in all.iter_mut().zip(x.chunks(pixels)).enumerate() {
            sums_of_plane(x, centre(piece * count + plane), all);
        }
    });
    all
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
    let planes = if numbers.is_empty() { Vec::new() } else { plane_sums(numbers, pixels, |_| F::ZERO) };
    let sums = by_channel(&planes, channels).into_iter().map(|[sum, _]| sum).collect();
    tensor(sums, [channels])
}

pub(super) fn moments<F: Float>(x: FlexTensor) -> FlexTensor {
    let [batch, channels, pixels] = shape(&x);
    let x = contiguous(x);
    let values = numbers::<F>(&x);
    let samples = F::from_elem(batch * pixels);
    // The mean first, about a number of the channel; then distances from it, whose own mean corrects the rounding of the first.
    let about = by_channel(&plane_sums(values, pixels, |plane| values[plane % channels * pixels]), channels);
    let first = |channel: usize| values[channel * pixels] + about[channel][0] / samples;
    let centred = by_channel(&plane_sums(values, pixels, |plane| first(plane % channels)), channels);
    let moments: Vec<[F; 2]> = centred
        .iter()
        .enumerate()
        .map(|(channel, [sum, squares])| {
            let rest = *sum / samples;
            [first(channel) + rest, *squares / samples - rest * rest]
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
    let by_x = each_plane(values, pixels, |plane, x, by_x| {
        let channel = plane % channels;
        affine_plane(x, moments[channel], slope(channel), gradient[channel] / samples, by_x);
    });
    tensor(by_x, full)
}

pub(super) fn affine<F: Float>(x: FlexTensor, vectors: [FlexTensor; 3]) -> FlexTensor {
    let [_, channels, pixels] = shape(&x);
    let full = x.layout().shape().clone();
    let (x, vectors) = (contiguous(x), vectors.map(contiguous));
    let [mean, scale, shift] = vectors.each_ref().map(numbers::<F>);
    let output = each_plane(numbers::<F>(&x), pixels, |plane, x, output| {
        let channel = plane % channels;
        affine_plane(x, mean[channel], scale[channel], shift[channel], output);
    });
    tensor(output, full)
}

/// A new feature map, plane by plane.
fn each_plane<F: Float>(x: &[F], pixels: usize, fill: impl Fn(usize, &[F], &mut [F]) + Sync) -> Vec<F> {
    let count = planes(pixels);
    let mut output = vec![F::ZERO; x.len()];
    let pieces = output.par_chunks_mut(count * pixels).zip(x.par_chunks(count * pixels)).enumerate();
    pieces.for_each(|(piece, (output, x))| {
        for (plane, (output, x)) in output.chunks_mut(pixels).zip(x.chunks(pixels)).enumerate() {
            fill(piece * count + plane, x, output);
        }
    });
    output
}

pub(super) fn affine_gradient<F: Float>(
    x: FlexTensor,
    vectors: [FlexTensor; 2],
    gradient: FlexTensor,
) -> (FlexTensor, FlexTensor) {
    let [batch, channels, pixels] = shape(&x);
    let (x, vectors, mut gradient) = (contiguous(x), vectors.map(contiguous), contiguous(gradient));
    let [mean, scale] = vectors.each_ref().map(numbers::<F>);
    let mut all = vec![[F::ZERO; 2]; batch * channels];
    let count = planes(pixels);
    let values = numbers::<F>(&x).par_chunks(count * pixels);
    let gradients = own_numbers::<F>(&mut gradient).par_chunks_mut(count * pixels);
    all.par_chunks_mut(count).zip(values.zip(gradients)).enumerate().for_each(|(piece, (all, (x, gradient)))| {
        let planes = x.chunks(pixels).zip(gradient.chunks_mut(pixels));
        for (plane, (sums, (x, gradient))) in all.iter_mut().zip(planes).enumerate() {
            let channel = (piece * count + plane) % channels;
            affine_gradient_plane(x, mean[channel], scale[channel], gradient, sums);
        }
    });
    (gradient, tensor(rows(&by_channel(&all, channels)), [2, channels]))
}
