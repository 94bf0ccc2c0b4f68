//! The one bilinear sampler: how an image is seen through a linear map of the plane.
//!
//! ```text
//! out(p) = image(A p),      A the inverse of the transformation that acts on the image
//! ```
//!
//! so that `(g . f)(p) = f(g^-1 p)`: the picture itself turns by `+theta` (counter-clockwise) when `A = R(-theta)`.
//! Points are measured in pixels from the centre of the image, `((width - 1) / 2, (height - 1) / 2)`, with `x` along
//! the columns and `y` pointing **up** (minus row). Between the pixels the image is bilinear, and every pixel outside
//! it is 0; this makes `image(p)` a continuous function on the whole plane, which fades to 0 over one pixel beyond the
//! border, so a coordinate that floating point puts a hair outside the last row changes the result by a hair.
//!
//! Augmentation, data sets, equivariance checks and metrics all use this definition. It has two executions:
//! [`resample_host`], in `f64` on plain slices, and [`resample`], batched tensor operations on any device. The latter
//! is written with `gather` rather than `grid_sample_2d`: Burn's operation maps coordinates to `[-1, 1]` and back
//! (the identity is then not exact in `f32`), and runs different code with and without autodiff.

use burn::tensor::{DType, Device, Tensor, TensorData, ops::PadMode};

/// The inverse matrix of a rotation by `theta` radians, counter-clockwise: `R(-theta)`.
///
/// ```text
/// [  cos theta   sin theta ]
/// [ -sin theta   cos theta ]
/// ```
pub fn rotation_inverse(theta: f64) -> [[f64; 2]; 2] {
    let (sin, cos) = theta.sin_cos();
    [[cos, sin], [-sin, cos]]
}

/// The reflection that fixes the line through the centre at angle `axis` (radians, counter-clockwise from the x axis).
/// It is its own inverse. `axis = 0` exchanges up and down, `axis = pi / 2` left and right.
///
/// ```text
/// [ cos 2 axis    sin 2 axis ]
/// [ sin 2 axis   -cos 2 axis ]
/// ```
pub fn flip(axis: f64) -> [[f64; 2]; 2] {
    let (sin, cos) = (2.0 * axis).sin_cos();
    [[cos, sin], [sin, -cos]]
}

/// One image `[height, width]`, row-major, seen through `inverse`; see the [module](self) for the definition.
///
/// All arithmetic is `f64`; only the result is rounded to `f32`.
///
/// # Panics
///
/// When `image` does not hold `height * width` pixels.
pub fn resample_host(image: &[f32], height: usize, width: usize, inverse: [[f64; 2]; 2]) -> Vec<f32> {
    assert_eq!(
        image.len(),
        height * width,
        "resample_host: an image of {height} x {width} has {} pixels, {} were given",
        height * width,
        image.len()
    );
    let (h, w) = (height as f64, width as f64);
    let (cx, cy) = ((w - 1.0) / 2.0, (h - 1.0) / 2.0);
    let pixel = |row: i64, column: i64| {
        let inside = (0..height as i64).contains(&row) && (0..width as i64).contains(&column);
        if inside { f64::from(image[row as usize * width + column as usize]) } else { 0.0 }
    };

    let mut out = Vec::with_capacity(image.len());
    for row in 0..height {
        for column in 0..width {
            let (x, y) = (column as f64 - cx, cy - row as f64);
            let source_x = inverse[0][0] * x + inverse[0][1] * y;
            let source_y = inverse[1][0] * x + inverse[1][1] * y;
            let (left, right_weight) = tap(source_x + cx, w);
            let (top, bottom_weight) = tap(cy - source_y, h);
            let (i, j) = (top as i64, left as i64);
            let (left_weight, top_weight) = (1.0 - right_weight, 1.0 - bottom_weight);
            out.push(
                (pixel(i, j) * (top_weight * left_weight)
                    + pixel(i, j + 1) * (top_weight * right_weight)
                    + pixel(i + 1, j) * (bottom_weight * left_weight)
                    + pixel(i + 1, j + 1) * (bottom_weight * right_weight)) as f32,
            );
        }
    }
    out
}

/// The first of the two pixels beside a coordinate, in `[-1, size - 1]`, and the weight of the second.
/// Coordinates beyond the ring of zeros around the image are moved onto it.
fn tap(coordinate: f64, size: f64) -> (f64, f64) {
    let coordinate = coordinate.clamp(-1.0, size);
    let first = coordinate.floor().min(size - 1.0);
    (first, coordinate - first)
}

/// A batch of images, each seen through its own matrix; see the [module](self) for the definition.
///
/// Differentiable in the images and, away from the pixel grid where bilinear interpolation has kinks, in `inverse`.
/// `inverse` is used in the precision of the images. In `f32` a coordinate `r` pixels from the centre carries a
/// rounding error of about `1e-7 r` pixels; the identity is exact in every precision.
///
/// # Shapes
///
/// - images: `[batch, channels, height, width]`
/// - inverse: `[batch, 2, 2]`
/// - output: `[batch, channels, height, width]`
///
/// # Panics
///
/// When there is not exactly one 2 x 2 matrix per image.
pub fn resample(images: Tensor<4>, inverse: Tensor<3>) -> Tensor<4> {
    let [batch, channels, height, width] = images.dims();
    assert_eq!(
        inverse.dims(),
        [batch, 2, 2],
        "resample: images [{batch}, {channels}, {height}, {width}] need one matrix each, [{batch}, 2, 2]"
    );
    let (device, dtype) = (images.device(), images.dtype());
    let points = height * width;
    let (cx, cy) = ((width as f64 - 1.0) / 2.0, (height as f64 - 1.0) / 2.0);

    let upload = |values: Vec<f64>| Tensor::<2>::from_data(TensorData::new(values, [1, points]), (&device, dtype));
    let x = upload((0..points).map(|i| (i % width) as f64 - cx).collect());
    let y = upload((0..points).map(|i| cy - (i / width) as f64).collect());

    // Products and sums, not `matmul`: GPU matrix units may round their inputs to 10 bits.
    let inverse = inverse.cast(dtype).reshape([batch, 4]);
    let entry = |i: usize| inverse.clone().slice([0..batch, i..i + 1]);
    let column = entry(0) * x.clone() + entry(1) * y.clone() + cx;
    let row = -(entry(2) * x + entry(3) * y) + cy;

    // A ring of zeros makes the border rule one gather: every tap of a clamped coordinate lies in the padded image.
    let tap = |coordinate: Tensor<2>, size: usize| {
        let coordinate = coordinate.clamp(-1.0, size as f64);
        let first = coordinate.clone().floor().clamp_max(size as f64 - 1.0);
        (first.clone().int(), coordinate - first)
    };
    let (left, right_weight) = tap(column, width);
    let (top, bottom_weight) = tap(row, height);
    let padded_width = width as i64 + 2;
    let corner = ((top + 1) * padded_width + left + 1).reshape([batch, 1, points]);
    let padded =
        images.pad([(1, 1), (1, 1)], PadMode::Constant(0.0)).reshape([batch, channels, (height + 2) * (width + 2)]);
    let at = |offset: i64| padded.clone().gather(2, (corner.clone() + offset).expand([batch, channels, points]));
    let weight = |vertical: &Tensor<2>, horizontal: &Tensor<2>| {
        (vertical.clone() * horizontal.clone()).reshape([batch, 1, points])
    };
    let left_weight = -right_weight.clone() + 1.0;
    let top_weight = -bottom_weight.clone() + 1.0;

    (at(0) * weight(&top_weight, &left_weight)
        + at(1) * weight(&top_weight, &right_weight)
        + at(padded_width) * weight(&bottom_weight, &left_weight)
        + at(padded_width + 1) * weight(&bottom_weight, &right_weight))
    .reshape([batch, channels, height, width])
}

/// Uploads host matrices for [`resample`].
///
/// # Shapes
///
/// - output: `[inverses.len(), 2, 2]`
pub fn matrices(inverses: &[[[f64; 2]; 2]], device: &Device, dtype: DType) -> Tensor<3> {
    let values: Vec<f64> = inverses.iter().flatten().flatten().copied().collect();
    Tensor::from_data(TensorData::new(values, [inverses.len(), 2, 2]), (device, dtype))
}

#[cfg(test)]
#[cfg(feature = "flex")]
mod tests {
    use super::*;
    use std::f64::consts::{FRAC_PI_2, PI, TAU};

    const IDENTITY: [[f64; 2]; 2] = [[1.0, 0.0], [0.0, 1.0]];

    /// Pixels in [0, 1] without symmetry (the golden ratio's multiples are equidistributed).
    fn noise(pixels: usize) -> Vec<f32> {
        (0..pixels).map(|i| ((i + 1) as f64 * 0.618_033_988_749_895).fract() as f32).collect()
    }

    fn on_tensor(image: &[f32], height: usize, width: usize, inverse: [[f64; 2]; 2], dtype: DType) -> Vec<f64> {
        let device = Device::flex();
        let image: Vec<f64> = image.iter().copied().map(f64::from).collect();
        let images = Tensor::from_data(TensorData::new(image, [1, 1, height, width]), (&device, dtype));
        resample(images, matrices(&[inverse], &device, dtype)).into_data().convert::<f64>().try_to_vec().unwrap()
    }

    /// The bilinear definition in `f64` all the way, written from the tent function: an independent reference.
    fn reference(image: &[f32], height: usize, width: usize, a: [[f64; 2]; 2]) -> Vec<f64> {
        let (cx, cy) = ((width as f64 - 1.0) / 2.0, (height as f64 - 1.0) / 2.0);
        let tent = |t: f64| (1.0 - t.abs()).max(0.0);
        (0..height * width)
            .map(|p| {
                let (x, y) = ((p % width) as f64 - cx, cy - (p / width) as f64);
                let (u, v) = (a[0][0] * x + a[0][1] * y + cx, cy - a[1][0] * x - a[1][1] * y);
                (0..height * width)
                    .map(|q| f64::from(image[q]) * tent(u - (q % width) as f64) * tent(v - (q / width) as f64))
                    .sum()
            })
            .collect()
    }

    fn assert_close(got: &[f64], want: &[f64], tolerance: f64, what: &str) {
        assert_eq!(got.len(), want.len(), "{what}");
        let worst = got.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(worst <= tolerance, "{what}: {worst:e} exceeds {tolerance:e}");
    }

    fn wide(values: &[f32]) -> Vec<f64> {
        values.iter().copied().map(f64::from).collect()
    }

    /// `numpy.rot90`: counter-clockwise, new[i][j] = old[j][size - 1 - i].
    fn rot90(image: &[f32], size: usize) -> Vec<f32> {
        (0..size * size).map(|p| image[(p % size) * size + size - 1 - p / size]).collect()
    }

    #[test]
    fn identity_is_exact() {
        for (height, width) in [(7, 7), (8, 8), (5, 12), (12, 5), (29, 29), (1, 1)] {
            let image = noise(height * width);
            assert_eq!(resample_host(&image, height, width, IDENTITY), image);
            for dtype in [DType::F32, DType::F64] {
                assert_eq!(on_tensor(&image, height, width, IDENTITY, dtype), wide(&image));
            }
        }
    }

    #[test]
    fn quarter_turns_are_pixel_permutations_counter_clockwise() {
        for size in [2, 7, 8, 28, 29] {
            let image = noise(size * size);
            let mut want = image.clone();
            for quarters in 1..=4 {
                want = rot90(&want, size);
                let inverse = rotation_inverse(f64::from(quarters) * FRAC_PI_2);
                // cos(pi / 2) is 6e-17, not 0; coordinates stay below 15 pixels.
                assert_close(&wide(&resample_host(&image, size, size, inverse)), &wide(&want), 1e-6, "host");
                assert_close(&on_tensor(&image, size, size, inverse, DType::F32), &wide(&want), 1e-6, "f32");
                assert_close(&on_tensor(&image, size, size, inverse, DType::F64), &wide(&want), 1e-12, "f64");
            }
        }
    }

    #[test]
    fn flips_exchange_columns_and_rows() {
        let (height, width) = (5, 8);
        let image = noise(height * width);
        let columns: Vec<f32> = (0..height * width).map(|p| image[p / width * width + width - 1 - p % width]).collect();
        let rows: Vec<f32> = (0..height * width).map(|p| image[(height - 1 - p / width) * width + p % width]).collect();
        for (axis, want) in [(FRAC_PI_2, columns), (0.0, rows)] {
            assert_close(&wide(&resample_host(&image, height, width, flip(axis))), &wide(&want), 1e-6, "host");
            assert_close(&on_tensor(&image, height, width, flip(axis), DType::F64), &wide(&want), 1e-12, "f64");
        }
    }

    #[test]
    fn tensor_and_host_agree_with_the_tent_definition() {
        for (height, width) in [(28, 28), (29, 29), (9, 16), (16, 9)] {
            let image = noise(height * width);
            for step in 0..24 {
                // Turned, sheared and scaled maps; every third reaches far outside the image.
                let theta = TAU * f64::from(step) / 23.0;
                let scale = [1.0, 0.7, 2.5][step as usize % 3];
                let mut inverse = rotation_inverse(theta);
                inverse.as_flattened_mut().iter_mut().for_each(|a| *a *= scale);
                inverse[0][1] += 0.1;
                let want = reference(&image, height, width, inverse);
                let host = wide(&resample_host(&image, height, width, inverse));
                assert_close(&host, &want, 1e-7, "host: one rounding to f32");
                assert_close(&on_tensor(&image, height, width, inverse, DType::F64), &want, 1e-12, "f64");
            }
            for step in 0..24 {
                let inverse = rotation_inverse(TAU * f64::from(step) / 23.0);
                let host = wide(&resample_host(&image, height, width, inverse));
                // Noise has slopes near 1 per pixel, and an f32 coordinate below 32 an ulp of 1.9e-6.
                assert_close(&on_tensor(&image, height, width, inverse, DType::F32), &host, 4e-6, "f32");
            }
        }
    }

    #[test]
    fn host_and_f32_tensor_agree_to_1e_6_on_a_smooth_image() {
        let size = 29;
        let image: Vec<f32> = (0..size * size)
            .map(|p| {
                let (x, y) = ((p % size) as f64 - 14.0, (p / size) as f64 - 14.0);
                ((-(x * x + 2.0 * y * y) / 40.0).exp() * (1.0 + 0.05 * x)) as f32
            })
            .collect();
        for step in 0..36 {
            let inverse = rotation_inverse(PI * f64::from(step) / 18.0);
            let host = wide(&resample_host(&image, size, size, inverse));
            assert_close(&on_tensor(&image, size, size, inverse, DType::F32), &host, 1e-6, "f32");
        }
    }

    #[test]
    fn every_image_and_channel_gets_the_matrix_of_its_image() {
        let (batch, channels, height, width) = (3, 2, 6, 7);
        let device = Device::flex();
        let pixels = noise(batch * channels * height * width);
        let inverses = [rotation_inverse(0.3), rotation_inverse(2.0), flip(0.4)];
        let images =
            Tensor::from_data(TensorData::new(pixels.clone(), [batch, channels, height, width]), (&device, DType::F64));
        let got: Vec<f64> =
            resample(images, matrices(&inverses, &device, DType::F64)).into_data().try_to_vec().unwrap();
        let want: Vec<f64> = pixels
            .chunks(height * width)
            .enumerate()
            .flat_map(|(i, image)| reference(image, height, width, inverses[i / channels]))
            .collect();
        assert_close(&got, &want, 1e-12, "batch");
    }

    #[test]
    fn gradients_match_finite_differences() {
        let (height, width) = (5, 6);
        let device = Device::flex().autodiff();
        let image = wide(&noise(height * width));
        let probe = wide(&noise(2 * height * width)[height * width..]);
        let inverse = rotation_inverse(0.7);
        let upload = |values: &[f64]| {
            Tensor::<4>::from_data(TensorData::new(values.to_vec(), [1, 1, height, width]), (&device, DType::F64))
        };
        let loss = |image: Tensor<4>, inverse: Tensor<3>| (resample(image, inverse) * upload(&probe)).sum();
        let value = |image: &[f64], inverse: [[f64; 2]; 2]| -> f64 {
            loss(upload(image), matrices(&[inverse], &device, DType::F64)).into_data().try_to_vec::<f64>().unwrap()[0]
        };

        let images = upload(&image).require_grad();
        let maps = matrices(&[inverse], &device, DType::F64).require_grad();
        let gradients = loss(images.clone(), maps.clone()).backward();
        let by_image: Vec<f64> = images.grad(&gradients).unwrap().into_data().try_to_vec().unwrap();
        let by_map: Vec<f64> = maps.grad(&gradients).unwrap().into_data().try_to_vec().unwrap();
        assert!(by_image.iter().any(|g| g.abs() > 0.1), "a zero gradient would agree with anything");

        let step = 1e-6;
        for (pixel, gradient) in by_image.iter().enumerate() {
            let (mut up, mut down) = (image.clone(), image.clone());
            up[pixel] += step;
            down[pixel] -= step;
            let difference = (value(&up, inverse) - value(&down, inverse)) / (2.0 * step);
            // Linear in the image: only the rounding of the difference, 1e-15 / 1e-6, remains.
            assert!((difference - gradient).abs() < 1e-8, "pixel {pixel}: {gradient} against {difference}");
        }
        for (entry, gradient) in by_map.iter().enumerate() {
            let (mut up, mut down) = (inverse, inverse);
            up[entry / 2][entry % 2] += step;
            down[entry / 2][entry % 2] -= step;
            let difference = (value(&image, up) - value(&image, down)) / (2.0 * step);
            assert!((difference - gradient).abs() < 1e-6, "entry {entry}: {gradient} against {difference}");
        }
    }

    #[test]
    #[should_panic(expected = "need one matrix each, [2, 2, 2]")]
    fn a_missing_matrix_is_named() {
        let device = Device::flex();
        resample(Tensor::zeros([2, 1, 4, 4], &device), matrices(&[IDENTITY], &device, DType::F32));
    }
}
