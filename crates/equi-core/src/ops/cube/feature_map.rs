//! Maxima over windows, and moments of channels.

use burn::backend::TensorMetadata;
use burn::backend::tensor::FloatTensor;
use burn_cubecl::CubeBackend;
use burn_cubecl::cubecl::{self, prelude::*};
use burn_cubecl::tensor::CubeTensor;

use super::total::{cubes, total};
use super::{addresses, applies, contiguous, grid, unwritten};
use crate::ops::feature_map::composed;
use crate::ops::{FeatureMapOps, PoolWindow};

/// Threads of a channel.
const UNITS: u32 = 256;

impl FeatureMapOps for CubeBackend {
    fn maximum_over_windows_gradient(
        x: FloatTensor<Self>,
        window: PoolWindow,
        gradient: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        if !applies([&x, &gradient]) {
            return composed::maximum_over_windows_gradient::<Self>(x, window, gradient);
        }
        maxima_gradient(x, window, gradient)
    }

    fn channel_moments(x: FloatTensor<Self>) -> FloatTensor<Self> {
        if !applies([&x]) {
            return composed::channel_moments::<Self>(x);
        }
        moments(x)
    }

    fn channel_affine_gradient(
        x: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        if !applies([&x, &mean, &scale, &gradient]) {
            return composed::channel_affine_gradient::<Self>(x, mean, scale, gradient);
        }
        affine_gradient(x, mean, scale, gradient)
    }
}

#[allow(unsafe_code)]
fn maxima_gradient(x: CubeTensor, window: PoolWindow, gradient: CubeTensor) -> CubeTensor {
    let [x, gradient] = contiguous([x, gradient]);
    let ([batch, channels, height, width], [_, _, rows, columns]) = (x.shape().dims(), gradient.shape().dims());
    let output = unwritten(&x, x.shape());
    let units = batch * channels * height * width;
    let (count, dim) = grid(&x, units);
    let PoolWindow { kernel_size, stride, padding } = window;
    // SAFETY: threads beyond `units` end at once, and windows are cut off at the border.
    unsafe {
        maxima_gradient_kernel::launch_unchecked(
            &output.client,
            count,
            dim,
            addresses([&x, &gradient]),
            x.into_buffer_arg(),
            gradient.into_buffer_arg(),
            output.clone().into_buffer_arg(),
            height,
            width,
            rows,
            columns,
            units,
            kernel_size,
            stride,
            padding,
        )
    };
    output
}

/// A thread for every pixel adds up the gradients of the windows whose first maximum it is.
#[cube(launch_unchecked, address_type = "dynamic")]
#[allow(clippy::too_many_arguments)]
fn maxima_gradient_kernel(
    x: &[f32],
    gradient: &[f32],
    output: &mut [f32],
    height: usize,
    width: usize,
    rows: usize,
    columns: usize,
    units: usize,
    #[comptime] size: usize,
    #[comptime] stride: usize,
    #[comptime] padding: usize,
) {
    if ABSOLUTE_POS >= units {
        terminate!();
    }
    let (image, place) = (ABSOLUTE_POS / (height * width), ABSOLUTE_POS % (height * width));
    let (first, line, column) = (image * height * width, place / width, place % width);
    let own = x[ABSOLUTE_POS];
    let mut sum = 0.0f32;
    for row_of_window in first_window(line, size, stride, padding)..min((line + padding) / stride + 1, rows) {
        for column_of_window in
            first_window(column, size, stride, padding)..min((column + padding) / stride + 1, columns)
        {
            let mut highest = true;
            #[unroll]
            for down in 0..size {
                #[unroll]
                for right in 0..size {
                    // With the padding, so that they are not negative.
                    let (y, z) = (row_of_window * stride + down, column_of_window * stride + right);
                    if y >= padding && y < height + padding && z >= padding && z < width + padding {
                        let at = (y - padding) * width + (z - padding);
                        let other = x[first + at];
                        if other > own || (other == own && at < place) {
                            highest = false;
                        }
                    }
                }
            }
            if highest {
                sum += gradient[(image * rows + row_of_window) * columns + column_of_window];
            }
        }
    }
    output[ABSOLUTE_POS] = sum;
}

/// The first window that reaches a pixel.
#[cube]
fn first_window(pixel: usize, #[comptime] size: usize, #[comptime] stride: usize, #[comptime] padding: usize) -> usize {
    let mut window = 0usize.runtime();
    if pixel + padding >= size {
        window = (pixel + padding - size) / stride + 1;
    }
    window
}

/// Images, and numbers of each, of channels.
fn extent(x: &CubeTensor) -> [usize; 3] {
    let [batch, channels, height, width] = x.shape().dims();
    [batch, channels, height * width]
}

#[allow(unsafe_code)]
fn moments(x: CubeTensor) -> CubeTensor {
    let [x] = contiguous([x]);
    let [batch, channels, area] = extent(&x);
    let output = unwritten(&x, [2, channels]);
    let (count, dim) = cubes(&x, channels, UNITS);
    // SAFETY: cubes beyond `channels` end at once, and threads stay below the numbers of a channel.
    unsafe {
        moments_kernel::launch_unchecked(
            &output.client,
            count,
            dim,
            addresses([&x]),
            x.into_buffer_arg(),
            output.clone().into_buffer_arg(),
            batch * area,
            area,
            channels,
        )
    };
    output
}

/// Where a number of a channel is.
#[cube]
fn place_of(number: usize, area: usize, channels: usize) -> usize {
    (number / area * channels + CUBE_POS) * area + number % area
}

#[cube(launch_unchecked, address_type = "dynamic")]
fn moments_kernel(x: &[f32], output: &mut [f32], numbers: usize, area: usize, channels: usize) {
    if CUBE_POS >= channels {
        terminate!();
    }
    let count = f32::cast_from(numbers);
    let mut sum = 0.0f32;
    let mut number = UNIT_POS as usize;
    while number < numbers {
        sum += x[place_of(number, area, channels)];
        number += comptime!(UNITS as usize);
    }
    let mean = total(sum, UNITS) / count;
    let mut squares = 0.0f32;
    let mut number = UNIT_POS as usize;
    while number < numbers {
        let centred = x[place_of(number, area, channels)] - mean;
        squares += centred * centred;
        number += comptime!(UNITS as usize);
    }
    let variance = total(squares, UNITS) / count;
    if UNIT_POS == 0 {
        output[CUBE_POS] = mean;
        output[channels + CUBE_POS] = variance;
    }
}

#[allow(unsafe_code)]
fn affine_gradient(
    x: CubeTensor,
    mean: CubeTensor,
    scale: CubeTensor,
    gradient: CubeTensor,
) -> (CubeTensor, CubeTensor) {
    let [x, mean, scale, gradient] = contiguous([x, mean, scale, gradient]);
    let [batch, channels, area] = extent(&x);
    let (by_x, by_both) = (unwritten(&x, x.shape()), unwritten(&x, [2, channels]));
    let (count, dim) = cubes(&x, channels, UNITS);
    // SAFETY: cubes beyond `channels` end at once, and threads stay below the numbers of a channel.
    unsafe {
        affine_gradient_kernel::launch_unchecked(
            &by_x.client,
            count,
            dim,
            addresses([&x]),
            x.into_buffer_arg(),
            mean.into_buffer_arg(),
            scale.into_buffer_arg(),
            gradient.into_buffer_arg(),
            by_x.clone().into_buffer_arg(),
            by_both.clone().into_buffer_arg(),
            batch * area,
            area,
            channels,
        )
    };
    (by_x, by_both)
}

#[cube(launch_unchecked, address_type = "dynamic")]
#[allow(clippy::too_many_arguments)]
fn affine_gradient_kernel(
    x: &[f32],
    mean: &[f32],
    scale: &[f32],
    gradient: &[f32],
    by_x: &mut [f32],
    by_both: &mut [f32],
    numbers: usize,
    area: usize,
    channels: usize,
) {
    if CUBE_POS >= channels {
        terminate!();
    }
    let (mean, scale) = (mean[CUBE_POS], scale[CUBE_POS]);
    let mut by_scale = 0.0f32;
    let mut by_shift = 0.0f32;
    let mut number = UNIT_POS as usize;
    while number < numbers {
        let place = place_of(number, area, channels);
        let by_output = gradient[place];
        by_x[place] = by_output * scale;
        by_scale += by_output * (x[place] - mean);
        by_shift += by_output;
        number += comptime!(UNITS as usize);
    }
    let (by_scale, by_shift) = (total(by_scale, UNITS), total(by_shift, UNITS));
    if UNIT_POS == 0 {
        by_both[CUBE_POS] = by_scale;
        by_both[channels + CUBE_POS] = by_shift;
    }
}
