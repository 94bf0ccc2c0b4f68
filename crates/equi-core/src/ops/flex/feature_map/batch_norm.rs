//! Batch norm on flex: one pass over a feature map, and two for the gradient.

use burn::backend::flex::FlexTensor;

use super::channels::{change_planes, map_planes, shape};
use super::elu;
use crate::ops::feature_map::BatchNorm;
use crate::ops::flex::float::Float;
use crate::ops::flex::memory::{contiguous, numbers, own_numbers, tensor};
use crate::ops::flex::simd::kernel;

/// What a channel is normalised with.
#[derive(Clone, Copy)]
pub(super) struct Channel<F> {
    block: usize,
    mean: F,
    scale: F,
    shift: F,
}

kernel! {
    fn plane<'a, F | S>(x: &'a [F], channel: Channel<F>, alpha: Option<F>, output: &'a mut [F]) {
        let Channel { mean, scale, shift, .. } = channel;
        let affine = |x: F| scale.mul_add::<S>(x - mean, shift);
        match alpha {
            None => output.iter_mut().zip(x).for_each(|(output, &x)| *output = affine(x)),
            Some(alpha) => {
                for (output, &x) in output.iter_mut().zip(x) {
                    *output = elu::of::<F, S>(affine(x), alpha);
                }
            }
        }
    }
}

kernel! {
    /// Multiplies the gradient by the slope of the ELU, and gives its sums with `x - mean` and with ones.
    fn sums_of_plane<'a, F | S>(x: &'a [F], channel: Channel<F>, alpha: Option<F>, gradient: &'a mut [F], sums: &'a mut [F; 2]) {
        let Channel { mean, scale, shift, .. } = channel;
        if let Some(alpha) = alpha {
            for (gradient, &x) in gradient.iter_mut().zip(x) {
                *gradient *= elu::slope::<F, S>(scale.mul_add::<S>(x - mean, shift), alpha);
            }
        }
        let (mut lanes, mut products) = ([F::ZERO; 16], [F::ZERO; 16]);
        let ((chunks, rest), (gradients, others)) = (x.as_chunks::<16>(), gradient.as_chunks::<16>());
        for (x, gradient) in chunks.iter().zip(gradients) {
            for lane in 0..16 {
                lanes[lane] += gradient[lane];
                products[lane] = gradient[lane].mul_add::<S>(x[lane] - mean, products[lane]);
            }
        }
        for (lane, (&x, &gradient)) in rest.iter().zip(others).enumerate() {
            lanes[lane] += gradient;
            products[lane] += gradient * (x - mean);
        }
        *sums = [products, lanes].map(|lanes| lanes.into_iter().fold(F::ZERO, |sum, lane| sum + lane));
    }
}

kernel! {
    /// `scale g + slope (x - mean) + shift` for the gradient `g`.
    fn gradient_of_plane<'a, F | S>(x: &'a [F], mean: F, factors: [F; 3], gradient: &'a mut [F]) {
        let [scale, slope, shift] = factors;
        for (gradient, &x) in gradient.iter_mut().zip(x) {
            *gradient = scale.mul_add::<S>(*gradient, slope.mul_add::<S>(x - mean, shift));
        }
    }
}

/// The channels, and `1 / sqrt(variance + epsilon)` of every block.
fn channels<F: Float>(vectors: &[FlexTensor; 3], norm: &BatchNorm) -> (Vec<Channel<F>>, Vec<F>) {
    let [moments, gamma, beta] = vectors.each_ref().map(numbers::<F>);
    let blocks = norm.blocks.sizes();
    let variances = &moments[blocks.len()..];
    let inverses: Vec<F> =
        variances.iter().map(|&variance| F::ONE / (variance + F::from_elem(norm.epsilon)).square_root()).collect();
    let channels = blocks.iter().enumerate().flat_map(|(block, &size)| {
        let channel =
            Channel { block, mean: moments[block], scale: gamma[block] * inverses[block], shift: beta[block] };
        std::iter::repeat_n(channel, size)
    });
    (channels.collect(), inverses)
}

pub(super) fn forward<F: Float>(x: FlexTensor, vectors: [FlexTensor; 3], norm: BatchNorm) -> FlexTensor {
    let [_, count, pixels] = shape(&x);
    let full = x.layout().shape().clone();
    let (x, vectors) = (contiguous(x), vectors.map(contiguous));
    let (channels, _) = channels::<F>(&vectors, &norm);
    let alpha = norm.elu.map(F::from_elem);
    map_planes(numbers::<F>(&x), pixels, full, |number, x, output| plane(x, channels[number % count], alpha, output))
}

pub(super) fn gradient<F: Float>(
    x: FlexTensor,
    vectors: [FlexTensor; 3],
    norm: BatchNorm,
    gradient: FlexTensor,
) -> (FlexTensor, FlexTensor) {
    let [batch, count, pixels] = shape(&x);
    let (x, vectors, mut gradient) = (contiguous(x), vectors.map(contiguous), contiguous(gradient));
    let (channels, inverses) = channels::<F>(&vectors, &norm);
    let alpha = norm.elu.map(F::from_elem);
    let (values, gradients) = (numbers::<F>(&x), own_numbers::<F>(&mut gradient));
    let of_channels = change_planes(values, gradients, [count, pixels], |channel, x, gradient, sums| {
        sums_of_plane(x, channels[channel], alpha, gradient, sums);
    });
    let mut of_blocks = vec![[F::ZERO; 2]; inverses.len()];
    for (channel, sums) in channels.iter().zip(of_channels) {
        let total = &mut of_blocks[channel.block];
        *total = [total[0] + sums[0], total[1] + sums[1]];
    }
    let factors: Vec<[F; 3]> = channels
        .iter()
        .map(|&Channel { block, scale, .. }| {
            let numbers = F::from_elem(batch * pixels * norm.blocks.sizes()[block]);
            let ([product, sum], inverse) = (of_blocks[block], inverses[block]);
            [scale, -(scale * product * inverse * inverse / numbers), -(scale * sum / numbers)]
        })
        .collect();
    change_planes(values, gradients, [count, pixels], |channel, x, gradient, _| {
        gradient_of_plane(x, channels[channel].mean, factors[channel], gradient);
    });
    let by_gamma = of_blocks.iter().zip(&inverses).map(|([product, _], &inverse)| *product * inverse);
    let by_both = by_gamma.chain(of_blocks.iter().map(|[_, sum]| *sum)).collect();
    (gradient, tensor::<F>(by_both, [2, inverses.len()]))
}
