//! `gelu(n)` of normalised rows, a cube of threads for each.

use burn::backend::TensorMetadata;
use burn::backend::ops::FloatTensorOps;
use burn_cubecl::CubeBackend;
use burn_cubecl::cubecl::{self, prelude::*};
use burn_cubecl::tensor::CubeTensor;

use super::total::{cubes, total};
use super::{addresses, contiguous, unwritten};

/// Threads of a row.
const UNITS: u32 = 64;

#[allow(unsafe_code)]
pub(super) fn forward(x: CubeTensor, scale: CubeTensor, shift: CubeTensor, epsilon: f64) -> CubeTensor {
    let [x, scale, shift] = contiguous([x, scale, shift]);
    let [rows, channels] = x.shape().dims();
    let output = unwritten(&x, [rows, channels]);
    let (count, dim) = cubes(&x, rows, UNITS);
    // SAFETY: cubes beyond `rows` end at once, and threads stay below `channels`.
    unsafe {
        forward_kernel::launch_unchecked(
            &output.client,
            count,
            dim,
            addresses([&x]),
            x.clone().into_buffer_arg(),
            scale.into_buffer_arg(),
            shift.into_buffer_arg(),
            output.clone().into_buffer_arg(),
            epsilon as f32,
            rows,
            channels,
        )
    };
    output
}

#[cube(launch_unchecked, address_type = "dynamic")]
#[allow(clippy::too_many_arguments)]
fn forward_kernel(
    x: &[f32],
    scale: &[f32],
    shift: &[f32],
    output: &mut [f32],
    epsilon: f32,
    rows: usize,
    channels: usize,
) {
    if CUBE_POS >= rows {
        terminate!();
    }
    let first = CUBE_POS * channels;
    let (mean, inverse) = moments(x, first, channels, epsilon);
    let mut channel = UNIT_POS as usize;
    while channel < channels {
        let y = (x[first + channel] - mean) * inverse * scale[channel] + shift[channel];
        output[first + channel] = y * distribution(y);
        channel += comptime!(UNITS as usize);
    }
}

/// The mean of a row and one over its deviation.
#[cube]
fn moments(x: &[f32], first: usize, channels: usize, epsilon: f32) -> (f32, f32) {
    let count = f32::cast_from(channels);
    let mut sum = 0.0f32;
    let mut channel = UNIT_POS as usize;
    while channel < channels {
        sum += x[first + channel];
        channel += comptime!(UNITS as usize);
    }
    let mean = total(sum, UNITS) / count;
    let mut squares = 0.0f32;
    let mut channel = UNIT_POS as usize;
    while channel < channels {
        let centred = x[first + channel] - mean;
        squares += centred * centred;
        channel += comptime!(UNITS as usize);
    }
    let variance = total(squares, UNITS) / count;
    (mean, 1.0f32 / (variance + epsilon).sqrt())
}

/// `(1 + erf(y / sqrt 2)) / 2`
#[cube]
fn distribution(y: f32) -> f32 {
    (Erf::erf(y * comptime!(std::f32::consts::FRAC_1_SQRT_2)) + 1.0f32) * 0.5f32
}

#[allow(unsafe_code)]
pub(super) fn gradient(
    x: CubeTensor,
    scale: CubeTensor,
    shift: CubeTensor,
    epsilon: f64,
    gradient: CubeTensor,
) -> (CubeTensor, CubeTensor, CubeTensor) {
    let [x, scale, shift, gradient] = contiguous([x, scale, shift, gradient]);
    let [rows, channels] = x.shape().dims();
    let [by_x, by_scale, by_shift] = [(); 3].map(|()| unwritten(&x, [rows, channels]));
    let (count, dim) = cubes(&x, rows, UNITS);
    // SAFETY: cubes beyond `rows` end at once, and threads stay below `channels`.
    unsafe {
        gradient_kernel::launch_unchecked(
            &by_x.client,
            count,
            dim,
            addresses([&x]),
            x.clone().into_buffer_arg(),
            scale.into_buffer_arg(),
            shift.into_buffer_arg(),
            gradient.into_buffer_arg(),
            by_x.clone().into_buffer_arg(),
            by_scale.clone().into_buffer_arg(),
            by_shift.clone().into_buffer_arg(),
            epsilon as f32,
            rows,
            channels,
        )
    };
    let sum = |terms: CubeTensor| CubeBackend::float_reshape(CubeBackend::float_sum_dim(terms, 0), [channels].into());
    (by_x, sum(by_scale), sum(by_shift))
}

/// By scale and shift it gives the terms of every row.
#[cube(launch_unchecked, address_type = "dynamic")]
#[allow(clippy::too_many_arguments)]
fn gradient_kernel(
    x: &[f32],
    scale: &[f32],
    shift: &[f32],
    gradient: &[f32],
    by_x: &mut [f32],
    by_scale: &mut [f32],
    by_shift: &mut [f32],
    epsilon: f32,
    rows: usize,
    channels: usize,
) {
    if CUBE_POS >= rows {
        terminate!();
    }
    let (first, count) = (CUBE_POS * channels, f32::cast_from(channels));
    let (mean, inverse) = moments(x, first, channels, epsilon);
    let mut sum = 0.0f32;
    let mut along = 0.0f32;
    let mut channel = UNIT_POS as usize;
    while channel < channels {
        let normal = (x[first + channel] - mean) * inverse;
        let y = normal * scale[channel] + shift[channel];
        let density = (y * y * -0.5f32).exp()
            * comptime!((0.5 * std::f64::consts::FRAC_2_SQRT_PI * std::f64::consts::FRAC_1_SQRT_2) as f32);
        let by_y = gradient[first + channel] * (distribution(y) + y * density);
        by_scale[first + channel] = by_y * normal;
        by_shift[first + channel] = by_y;
        sum += by_y * scale[channel];
        along += by_y * scale[channel] * normal;
        channel += comptime!(UNITS as usize);
    }
    let (sum, along) = (total(sum, UNITS) / count, total(along, UNITS) / count);
    let mut channel = UNIT_POS as usize;
    while channel < channels {
        let normal = (x[first + channel] - mean) * inverse;
        by_x[first + channel] = (by_shift[first + channel] * scale[channel] - sum - normal * along) * inverse;
        channel += comptime!(UNITS as usize);
    }
}
