//! ELU and maxima over windows against their definitions, and their gradients against differences.

#![cfg(any(feature = "flex", feature = "wgpu"))]

mod common;

use burn::tensor::{DType, Device, Tensor};
use equi_core::ops::{
    BatchNorm, ChannelBlocks, PoolWindow, batch_norm, channel_affine, channel_moments, elu, max_pool2d,
};

use common::{Setting, assert_close, numbers, upload, values};

fn settings() -> Vec<Setting> {
    common::settings(1e-6, 1e-15, 1e-6)
}

/// Output, and gradient of `sum(w y)` by the input.
fn both<const D: usize>(
    input: &[f64],
    shape: [usize; D],
    setting: &Setting,
    map: impl Fn(Tensor<D>) -> Tensor<D>,
) -> [Vec<f64>; 2] {
    let device = setting.device.clone().autodiff();
    let x = upload(input, shape, &device, setting.dtype).require_grad();
    let y = map(x.clone());
    let weights = upload(&numbers(y.shape().num_elements(), 9), y.dims(), &device, setting.dtype);
    let gradients = (y.clone() * weights).sum().backward();
    [values(y), values(x.grad(&gradients).unwrap())]
}

#[test]
fn elu_is_its_formula() {
    for setting in settings() {
        for (count, alpha) in [(1, 1.0), (17, 0.5), (1000, 1.0), (600_000, 2.0)] {
            let x = numbers(count, 1);
            let [y, by_x] = both(&x, [count], &setting, |x| elu(x, alpha));
            let wanted: Vec<f64> = x.iter().map(|&x| if x > 0.0 { x } else { alpha * (x.exp() - 1.0) }).collect();
            assert_close("ELU", &setting, &y, &wanted);
            let weights = numbers(count, 9);
            let slope = |x: f64| if x > 0.0 { 1.0 } else { alpha * x.exp() };
            let wanted: Vec<f64> = x.iter().zip(&weights).map(|(&x, w)| w * slope(x)).collect();
            assert_close("gradient of ELU", &setting, &by_x, &wanted);
        }
    }
}

#[test]
#[cfg(feature = "flex")]
fn elu_is_finite_wherever_its_limit_is() {
    for setting in settings().into_iter().filter(|setting| setting.name.starts_with("flex")) {
        let [y, by_x] =
            both(&[0.0, -1e30, 1e30, f64::NEG_INFINITY, f64::INFINITY, f64::NAN], [6], &setting, |x| elu(x, 1.0));
        assert_eq!(
            y[..4],
            [0.0, -1.0, f64::from(1e30_f32), -1.0].map(|x| if setting.dtype == DType::F64 && x > 1.0 {
                1e30
            } else {
                x
            })
        );
        assert!(y[4] == f64::INFINITY && y[5].is_nan(), "{y:?}");
        assert!(by_x[..5].iter().all(|slope| slope.is_finite()) && by_x[5].is_nan(), "{by_x:?}");
    }
}

fn windows() -> Vec<(PoolWindow, [usize; 4])> {
    let window = |kernel_size, stride, padding| PoolWindow { kernel_size, stride, padding };
    vec![
        (window(3, 2, 1), [2, 9, 7, 9]),
        (window(2, 2, 0), [1, 3, 6, 4]),
        (window(3, 1, 1), [2, 2, 5, 20]),
        (window(5, 3, 2), [1, 2, 11, 8]),
        (window(1, 1, 0), [1, 1, 3, 3]),
        (window(4, 4, 0), [1, 1, 4, 4]),
        (window(2, 3, 1), [1, 2, 4, 5]),
        (window(18, 3, 4), [1, 2, 20, 37]),
    ]
}

/// The maximum, and where it is found first, row by row.
fn search(x: &[f64], [batch, channels, height, width]: [usize; 4], window: PoolWindow) -> Vec<(f64, usize)> {
    let places = |size: usize| (size + 2 * window.padding - window.kernel_size) / window.stride + 1;
    let inside = |place: usize, size: usize| {
        (0..window.kernel_size)
            .filter_map(move |k| (place * window.stride + k).checked_sub(window.padding).filter(|&at| at < size))
    };
    let mut found = Vec::new();
    for plane in 0..batch * channels {
        for row in 0..places(height) {
            for column in 0..places(width) {
                let mut best: Option<(f64, usize)> = None;
                for r in inside(row, height) {
                    for c in inside(column, width) {
                        let at = (plane * height + r) * width + c;
                        if best.is_none_or(|(maximum, _)| x[at] > maximum) {
                            best = Some((x[at], at));
                        }
                    }
                }
                found.push(best.expect("a pixel"));
            }
        }
    }
    found
}

#[test]
fn maxima_are_found_where_they_are() {
    for setting in settings() {
        for (window, shape) in windows() {
            let count = shape.iter().product();
            let distinct = numbers(count, 1);
            // Many equal numbers: the gradient goes to the first.
            let equal: Vec<f64> = distinct.iter().map(|x| (x / 2.0).round()).collect();
            for x in [distinct, equal] {
                let [y, by_x] = both(&x, shape, &setting, |x| max_pool2d(x, window));
                let found = search(&x, shape, window);
                let wanted: Vec<f64> = found.iter().map(|(maximum, _)| *maximum).collect();
                assert_eq!(y, wanted, "{}, {window:?}", setting.name);
                let mut wanted = vec![0.0; count];
                for ((_, at), weight) in found.iter().zip(numbers(found.len(), 9)) {
                    wanted[*at] += weight;
                }
                assert_close(&format!("gradient of {window:?}"), &setting, &by_x, &wanted);
            }
        }
    }
}

/// Feature maps with one pixel, with remainders of vectors, and with more than one piece of work.
const MAPS: [[usize; 4]; 4] = [[1, 1, 1, 1], [3, 2, 1, 5], [2, 3, 7, 9], [5, 4, 90, 70]];

/// The numbers of a channel, of `[batch, channels, height, width]`.
fn channel(x: &[f64], shape: [usize; 4], channel: usize) -> Vec<f64> {
    let pixels = shape[2] * shape[3];
    x.chunks(pixels).skip(channel).step_by(shape[1]).flatten().copied().collect()
}

#[test]
fn moments_are_their_formulas() {
    for setting in settings() {
        for shape in MAPS {
            // Far from zero, where the difference of two means of squares would have no digits left.
            let x: Vec<f64> =
                numbers(shape.iter().product(), 1).iter().map(|x| f64::from((x + 1000.0) as f32)).collect();
            let (mean, variance) = channel_moments(upload(&x, shape, &setting.device, setting.dtype));
            let channels: Vec<Vec<f64>> = (0..shape[1]).map(|c| channel(&x, shape, c)).collect();
            let means: Vec<f64> = channels.iter().map(|x| x.iter().sum::<f64>() / x.len() as f64).collect();
            let variances: Vec<f64> = channels
                .iter()
                .zip(&means)
                .map(|(x, mean)| x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / x.len() as f64)
                .collect();
            assert_close("mean", &setting, &values(mean), &means);
            // The distances of numbers of size 1000 from their mean are known to 6e-5 in f32, 1e-13 in f64.
            let loose = Setting { tolerance: setting.tolerance * 200.0, device: setting.device.clone(), ..setting };
            assert_close("variance", &loose, &values(variance), &variances);
        }
    }
}

#[test]
fn affine_maps_are_their_formula() {
    for setting in settings() {
        for shape in MAPS {
            let x = numbers(shape.iter().product(), 1);
            let [mean, scale, shift] = [2, 3, 4].map(|seed| numbers(shape[1], seed));
            let vector = |x: &[f64]| upload(x, [shape[1]], &setting.device, setting.dtype);
            let y = channel_affine(
                upload(&x, shape, &setting.device, setting.dtype),
                vector(&mean),
                vector(&scale),
                vector(&shift),
            );
            let pixels = shape[2] * shape[3];
            let wanted: Vec<f64> = x
                .iter()
                .enumerate()
                .map(|(i, x)| {
                    (x - mean[i / pixels % shape[1]]) * scale[i / pixels % shape[1]] + shift[i / pixels % shape[1]]
                })
                .collect();
            assert_close("affine", &setting, &values(y), &wanted);
        }
    }
}

/// Feature maps and blocks of their channels: one, as many as there are channels, alike and different.
fn blocked() -> Vec<([usize; 4], Vec<usize>)> {
    vec![
        ([3, 2, 1, 5], vec![2]),
        ([2, 3, 7, 9], vec![1, 1, 1]),
        ([2, 6, 3, 4], vec![3, 3]),
        ([2, 6, 3, 4], vec![1, 3, 2]),
        ([5, 4, 90, 70], vec![2, 2]),
    ]
}

/// Outputs of batch norm, with its gradients by `x`, `gamma` and `beta`, mean and variance.
fn normalised(
    all: &[Vec<f64>; 3],
    shape: [usize; 4],
    norm: &BatchNorm,
    device: &Device,
    dtype: DType,
) -> Vec<Vec<f64>> {
    let x = upload(&all[0], shape, device, dtype).require_grad();
    let [gamma, beta] = [1, 2].map(|i| upload(&all[i], [all[i].len()], device, dtype).require_grad());
    let (y, moments) = batch_norm(x.clone(), gamma.clone(), beta.clone(), norm);
    let weights = upload(&numbers(all[0].len(), 9), shape, device, dtype);
    let gradients = (y.clone() * weights).sum().backward();
    let mut given = vec![values(y), values(x.grad(&gradients).unwrap())];
    given.extend([gamma, beta].map(|vector| values(vector.grad(&gradients).unwrap())));
    given.extend(moments.map(values));
    given
}

/// Of sums of a few numbers each, whose roundings are small.
fn mean_of(x: &[f64]) -> f64 {
    x.chunks(250).map(|x| x.iter().sum::<f64>()).sum::<f64>() / x.len() as f64
}

#[test]
fn batch_norm_is_its_formula() {
    for setting in settings() {
        for (shape, sizes) in blocked() {
            for alpha in [None, Some(0.7)] {
                let norm = BatchNorm { blocks: ChannelBlocks::new(sizes.clone()), epsilon: 1e-2, elu: alpha };
                let all = [numbers(shape.iter().product(), 1), numbers(sizes.len(), 2), numbers(sizes.len(), 3)];
                let given = normalised(&all, shape, &norm, &setting.device.clone().autodiff(), setting.dtype);
                let (pixels, mut first) = (shape[2] * shape[3], 0);
                let mut wanted = vec![0.0; all[0].len()];
                for (block, &size) in sizes.iter().enumerate() {
                    let inside = |i: &usize| (first..first + size).contains(&(i / pixels % shape[1]));
                    let x: Vec<f64> = (0..all[0].len()).filter(inside).map(|i| all[0][i]).collect();
                    let mean = mean_of(&x);
                    let variance = mean_of(&x.iter().map(|x| (x - mean).powi(2)).collect::<Vec<_>>());
                    assert_close("mean", &setting, &[given[4][block]], &[mean]);
                    assert_close("variance", &setting, &[given[5][block]], &[variance]);
                    for i in (0..all[0].len()).filter(inside) {
                        let y = all[1][block] * (all[0][i] - mean) / (variance + 1e-2).sqrt() + all[2][block];
                        wanted[i] = if y > 0.0 { y } else { alpha.map_or(y, |alpha| alpha * y.exp_m1()) };
                    }
                    first += size;
                }
                assert_close(&format!("{shape:?} in {sizes:?}, {alpha:?}"), &setting, &given[0], &wanted);
            }
        }
    }
}

/// Every gradient of batch norm against central differences in f64, through mean and variance.
#[test]
#[cfg(feature = "flex")]
fn gradients_of_batch_norm_are_those_of_differences() {
    // Differences would take long for the last.
    for (shape, sizes) in blocked().into_iter().take(4) {
        for alpha in [None, Some(0.7)] {
            let norm = BatchNorm { blocks: ChannelBlocks::new(sizes.clone()), epsilon: 1e-2, elu: alpha };
            let all = [numbers(shape.iter().product(), 1), numbers(sizes.len(), 2), numbers(sizes.len(), 3)];
            let loss = |all: &[Vec<f64>; 3]| -> f64 {
                let y = &normalised(all, shape, &norm, &Device::flex().autodiff(), DType::F64)[0];
                y.iter().zip(numbers(y.len(), 9)).map(|(y, w)| y * w).sum()
            };
            let step = 1e-5;
            let wanted: [Vec<f64>; 3] = std::array::from_fn(|which| {
                let one = |i: usize| {
                    let moved = |by: f64| {
                        let mut all = all.clone();
                        all[which][i] += by;
                        loss(&all)
                    };
                    (moved(step) - moved(-step)) / (2.0 * step)
                };
                (0..all[which].len()).map(one).collect()
            });
            for setting in settings() {
                let given = normalised(&all, shape, &norm, &setting.device.clone().autodiff(), setting.dtype);
                // Differences are known to 1e-8; sums of some tens of numbers.
                let tolerance = (setting.tolerance * 50.0).max(1e-8);
                let loose = Setting { tolerance, device: setting.device.clone(), ..setting };
                for which in 0..3 {
                    let what = format!("gradient {which} of {shape:?} in {sizes:?}, {alpha:?}");
                    assert_close(&what, &loose, &given[which + 1], &wanted[which]);
                }
            }
        }
    }
}

/// Every gradient of a loss of all outputs, in every precision and on every device, against central differences in f64.
#[test]
#[cfg(feature = "flex")]
fn gradients_of_moments_and_affine_maps_are_those_of_differences() {
    let loss = |shape: [usize; 4], all: &[Vec<f64>; 4], device: &Device, dtype: DType| {
        let tracked = device.is_autodiff();
        let x = upload(&all[0], shape, device, dtype);
        let x = if tracked { x.require_grad() } else { x };
        let [mean, scale, shift] = [1, 2, 3].map(|i| {
            let vector = upload(&all[i], [shape[1]], device, dtype);
            if tracked { vector.require_grad() } else { vector }
        });
        let (m, v) = channel_moments(x.clone());
        let weights = |seed| upload(&numbers(shape[1], seed), [shape[1]], device, dtype);
        let y = channel_affine(x.clone(), mean.clone(), scale.clone(), shift.clone());
        let of_y = upload(&numbers(all[0].len(), 8), shape, device, dtype);
        let loss = (m * weights(6)).sum() + (v * weights(7)).sum() + (y * of_y).sum();
        (loss, x, [mean, scale, shift])
    };
    for shape in MAPS.into_iter().take(3) {
        let all =
            [numbers(shape.iter().product(), 1), numbers(shape[1], 2), numbers(shape[1], 3), numbers(shape[1], 4)];
        let value = |all: &[Vec<f64>; 4]| loss(shape, all, &Device::flex(), DType::F64).0.into_scalar::<f64>();
        let wanted: [Vec<f64>; 4] = std::array::from_fn(|which| {
            (0..all[which].len())
                .map(|i| {
                    let moved = |by: f64| {
                        let mut all = all.clone();
                        all[which][i] += by;
                        value(&all)
                    };
                    // The loss is of second degree, so differences are exact but for rounding.
                    (moved(0.5) - moved(-0.5)) / 1.0
                })
                .collect()
        });
        for setting in settings() {
            let (loss, x, vectors) = loss(shape, &all, &setting.device.clone().autodiff(), setting.dtype);
            let gradients = loss.backward();
            let given = std::iter::once(values(x.grad(&gradients).unwrap()))
                .chain(vectors.into_iter().map(|vector| values(vector.grad(&gradients).unwrap())));
            // Sums of some tens of numbers.
            let loose = Setting { tolerance: setting.tolerance * 50.0, device: setting.device.clone(), ..setting };
            for (which, given) in given.enumerate() {
                assert_close(&format!("gradient {which} of {shape:?}"), &loose, &given, &wanted[which]);
            }
        }
    }
}

#[test]
#[cfg(feature = "flex")]
fn threads_change_nothing() {
    let run = || {
        let device = Device::flex().autodiff();
        let shape = [5, 4, 90, 70];
        let x = upload(&numbers(shape.iter().product(), 1), shape, &device, DType::F32).require_grad();
        let (mean, variance) = channel_moments(x.clone());
        let y = elu(channel_affine(x.clone(), mean.clone(), variance.clone(), variance), 1.0);
        let norm = BatchNorm { blocks: ChannelBlocks::new([1, 3]), epsilon: 1e-5, elu: Some(1.0) };
        let (y, _) = batch_norm(y, mean.clone().narrow(0, 0, 2), mean.narrow(0, 2, 2), &norm);
        let y = max_pool2d(y, windows()[0].0);
        let weights = upload(&numbers(y.shape().num_elements(), 9), y.dims(), &device, DType::F32);
        let gradients = (y.clone() * weights).sum().backward();
        [values(y), values(x.grad(&gradients).unwrap())]
    };
    let with = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(run);
    assert_eq!(with(1), with(3));
}

/// Central differences by every number, in f64; steps are smaller than the distances of the numbers from each other and from zero.
#[test]
#[cfg(feature = "flex")]
fn gradients_are_those_of_differences() {
    let setting = &settings()[1];
    let step = 1e-5;
    let check = |what: &str, shape: [usize; 4], map: &dyn Fn(Tensor<4>) -> Tensor<4>| {
        let x = numbers(shape.iter().product(), 1);
        let [_, given] = both(&x, shape, setting, map);
        let loss = |x: &[f64]| -> f64 {
            let y = values(map(upload(x, shape, &setting.device, setting.dtype)));
            y.iter().zip(numbers(y.len(), 9)).map(|(y, w)| y * w).sum()
        };
        for (i, given) in given.iter().enumerate() {
            let moved = |by: f64| {
                loss(&x.iter().enumerate().map(|(j, x)| if i == j { x + by } else { *x }).collect::<Vec<_>>())
            };
            let wanted = (moved(step) - moved(-step)) / (2.0 * step);
            assert!((given - wanted).abs() < 1e-8 * (1.0 + wanted.abs()), "{what}: {given} where {wanted} is wanted");
        }
    };
    check("ELU", [1, 3, 4, 5], &|x| elu(x, 0.7));
    for (window, shape) in windows() {
        check(&format!("{window:?}"), shape, &|x| max_pool2d(x, window));
    }
}

#[test]
#[cfg(feature = "flex")]
fn what_is_not_a_number_is_the_maximum() {
    for setting in settings().into_iter().filter(|setting| setting.name.starts_with("flex")) {
        let mut x = numbers(25, 1);
        x[7] = f64::NAN;
        let window = PoolWindow { kernel_size: 3, stride: 2, padding: 1 };
        let [y, _] = both(&x, [1, 1, 5, 5], &setting, |x| max_pool2d(x, window));
        let sees: Vec<bool> = (0..9).map(|place| place / 3 < 2 && place % 3 == 1).collect();
        assert_eq!(y.iter().map(|y| y.is_nan()).collect::<Vec<_>>(), sees);
    }
}

/// Numbers that are as small as what lies beyond the border.
#[test]
#[cfg(feature = "flex")]
fn the_maximum_of_nothing_but_minus_infinity_lies_in_the_image() {
    for setting in settings().into_iter().filter(|setting| setting.name.starts_with("flex")) {
        let window = PoolWindow { kernel_size: 3, stride: 2, padding: 1 };
        let [y, by_x] = both(&[f64::NEG_INFINITY; 25], [1, 1, 5, 5], &setting, |x| max_pool2d(x, window));
        assert_eq!(y, [f64::NEG_INFINITY; 9]);
        let mut wanted = [0.0; 25];
        for (place, weight) in numbers(9, 9).into_iter().enumerate() {
            // The first pixel of every window.
            let first = |at: usize| (2 * at).saturating_sub(1);
            wanted[first(place / 3) * 5 + first(place % 3)] += weight;
        }
        assert_close("gradient", &setting, &by_x, &wanted);
    }
}

#[test]
fn nothing_has_no_maximum() {
    for setting in settings() {
        let window = PoolWindow { kernel_size: 3, stride: 2, padding: 1 };
        let x = Tensor::<4>::zeros([0, 2, 5, 5], (&setting.device, setting.dtype));
        assert_eq!(max_pool2d(x, window).dims(), [0, 2, 3, 3]);
    }
}

#[test]
#[should_panic(expected = "does not fit into an image of 2 x 5")]
fn windows_larger_than_the_image_are_refused() {
    let x = Tensor::<4>::zeros([1, 1, 2, 5], &settings()[0].device);
    max_pool2d(x, PoolWindow { kernel_size: 3, stride: 1, padding: 0 });
}
