//! Images as they are, in several poses, or in the frames of their moments.

use burn::Tensor;
use burn::tensor::TensorData;
use equi_core::action::image::act;
use equi_core::group::{Element, Group};
use equi_core::resample::resample;

use super::AVERAGED;
use crate::augment::Augmentation;
use crate::compare::View;
use crate::data::{Images, luminance};

/// A third moment below this fraction of its scale is zero: it has no sign to go by.
const NOTHING: f64 = 1e-9;

/// The matrix `A` of `out(p) = image(A p)` that brings a grey image, `[height, width]`, into standard pose: the principal axis of its ink, about the centre
/// of its ink, along the rows, turned so that the third moment along it is positive; with `mirrors` also that across it.
///
/// An image and its copy turned by any angle have the same pose, but for resampling. It is not continuous: where both variances are
/// equal, any axis would do, and where a third moment passes through zero, the pose turns around. Images without ink, or as wide as
/// they are high in every direction, stay as they are.
pub fn standard_pose(pixels: &[f32], width: usize, mirrors: bool) -> [[f64; 2]; 2] {
    let height = pixels.len() / width;
    let middle = [(width as f64 - 1.0) / 2.0, (height as f64 - 1.0) / 2.0];
    let ink = || {
        pixels.iter().enumerate().map(|(at, &ink)| {
            let (row, column) = ((at / width) as f64, (at % width) as f64);
            (f64::from(ink), [column - middle[0], middle[1] - row])
        })
    };
    let total: f64 = ink().map(|(m, _)| m).sum();
    let centre = [0, 1].map(|k| ink().map(|(m, p)| m * p[k]).sum::<f64>() / total);
    let centred = || ink().map(|(m, p)| (m, [p[0] - centre[0], p[1] - centre[1]]));
    let moment = |i: usize, j: usize| centred().map(|(m, p)| m * p[i] * p[j]).sum::<f64>();
    let (across, along) = (2.0 * moment(0, 1), moment(0, 0) - moment(1, 1));
    let size = moment(0, 0) + moment(1, 1);
    if across.hypot(along) <= NOTHING * size || !size.is_finite() {
        return [[1.0, 0.0], [0.0, 1.0]];
    }
    let (sin, cos) = (across.atan2(along) / 2.0).sin_cos();
    let sign = |axis: [f64; 2]| {
        let cubes: f64 = centred().map(|(m, p)| m * (p[0] * axis[0] + p[1] * axis[1]).powi(3)).sum();
        if cubes < -NOTHING * size.powf(1.5) / total.sqrt() { -1.0 } else { 1.0 }
    };
    let first = sign([cos, sin]);
    let second = if mirrors { sign([-sin, cos]) } else { first };
    [[first * cos, -second * sin], [first * sin, second * cos]]
}

/// All images in standard pose: all channels in that of their luminance.
pub fn posed(images: &Images, mirrors: bool) -> Images {
    images.resampled(images.len(), |at| standard_pose(&images.luminance(at), images.width(), mirrors))
}

/// The same on the device; the moments are taken on the host.
///
/// # Shapes
/// - images: `[batch, channels, height, width]`
/// - output: the same
fn posed_batch(images: Tensor<4>, mirrors: bool) -> Tensor<4> {
    let [batch, channels, height, width] = images.dims();
    let pixels: Vec<f32> = images.clone().into_data().iter::<f32>().collect();
    let matrices: Vec<f64> = pixels
        .chunks(channels * height * width)
        .flat_map(|image| standard_pose(&luminance(image, channels), width, mirrors))
        .flatten()
        .collect();
    let matrices = TensorData::new(matrices, [batch, 2, 2]);
    let inverse = Tensor::<3>::from_data(matrices, (&images.device(), images.dtype()));
    resample(images, inverse)
}

/// The poses that the principal axes leave open: half turns, and mirrors if the group has them.
fn frames(mirrors: bool) -> Vec<Element> {
    let group = if mirrors { Group::dihedral(2) } else { Group::cyclic(2) };
    group.and_then(Group::elements).expect("a finite group")
}

/// The poses over which answers are averaged in tests: a finite group within what the augmentation draws from.
fn averaged(flips: bool) -> Vec<Element> {
    let group = if flips { Group::dihedral(AVERAGED as u32 / 2) } else { Group::cyclic(AVERAGED as u32) };
    group.and_then(Group::elements).expect("a finite group")
}

/// Forward passes for one image in tests.
pub fn passes(view: View, mirrors: bool) -> usize {
    match view {
        View::AsIs | View::Canonical => 1,
        View::Averaged => AVERAGED,
        View::Frames => frames(mirrors).len(),
    }
}

/// How training images are moved at every step, besides the symmetry: among the frames.
pub fn among_frames(mirrors: bool) -> Augmentation {
    let flips = if mirrors { 0.5 } else { 0.0 };
    let half_turn = if mirrors { 0.0 } else { 0.5 };
    Augmentation { half_turn, horizontal_flip: flips, vertical_flip: flips, ..Augmentation::none() }
}

/// What an arm says of images: the logits of `forward` in the poses of `view`, averaged.
///
/// # Shapes
/// - images: `[batch, channels, height, width]`
/// - output: `[batch, classes]`
pub fn answers(
    view: View,
    mirrors: bool,
    flips: bool,
    images: Tensor<4>,
    forward: impl Fn(Tensor<4>) -> Tensor<2>,
) -> Tensor<2> {
    let mean = |poses: Vec<Element>, images: Tensor<4>| {
        let count = poses.len() as f64;
        let answers = poses.iter().map(|g| forward(act(g, images.clone())));
        answers.reduce(|sum, answer| sum + answer).expect("a group has an identity") / count
    };
    match view {
        View::AsIs => forward(images),
        View::Canonical => forward(posed_batch(images, mirrors)),
        View::Averaged => mean(averaged(flips), images),
        View::Frames => mean(frames(mirrors), posed_batch(images, mirrors)),
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use burn::tensor::Device;
    use equi_core::resample::{resample_host, rotation_inverse};

    const SIDE: usize = 29;

    /// A comma: longer than wide, heavier at one end, and bent to one side. Smooth, so that resampling loses little.
    fn comma(angle: f64) -> Vec<f32> {
        let blobs = [(6.0, 0.0, 1.0, 3.0), (-1.0, 1.0, 0.8, 3.0), (-6.0, -2.0, 0.4, 2.5)];
        let [[a, b], [c, d]] = rotation_inverse(angle);
        (0..SIDE * SIDE)
            .map(|at| {
                let (x, y) = ((at % SIDE) as f64 - 14.0, 14.0 - (at / SIDE) as f64);
                let (x, y) = (a * x + b * y, c * x + d * y);
                let ink =
                    |&(u, v, m, s): &(f64, f64, f64, f64)| m * (-((x - u).powi(2) + (y - v).powi(2)) / (s * s)).exp();
                blobs.iter().map(ink).sum::<f64>() as f32
            })
            .collect()
    }

    fn apart(a: &[f32], b: &[f32]) -> f64 {
        let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
        let difference = norm(&mut a.iter().zip(b).map(|(a, b)| f64::from(a - b)));
        difference / norm(&mut a.iter().map(|&a| f64::from(a)))
    }

    fn stand(pixels: &[f32], mirrors: bool) -> Vec<f32> {
        resample_host(pixels, SIDE, SIDE, standard_pose(pixels, SIDE, mirrors))
    }

    #[test]
    fn turned_images_have_the_same_pose() {
        let reference = stand(&comma(0.3), false);
        for angle in [0.0, 0.7, 1.9, 3.0, 4.4, 5.5] {
            // What bilinear resampling loses of a blob three pixels wide.
            let distance = apart(&reference, &stand(&comma(angle), false));
            assert!(distance < 0.05, "{angle}: {distance}");
        }
        let mirrored: Vec<f32> = comma(0.3).chunks(SIDE).flat_map(|row| row.iter().rev().copied()).collect();
        assert!(apart(&reference, &stand(&mirrored, false)) > 0.1, "a comma is bent");
        assert!(apart(&stand(&comma(0.3), true), &stand(&mirrored, true)) < 0.05);
    }

    #[test]
    fn a_pose_is_a_turn_and_a_quarter_turn_moves_no_numbers() {
        let [[a, b], [c, d]] = standard_pose(&comma(1.1), SIDE, false);
        assert!((a * d - b * c - 1.0).abs() < 1e-12 && (a * b + c * d).abs() < 1e-12);
        // `A` takes the direction of rows to the axis that the comma lies along, one way or the other.
        let beside = (c.atan2(a) - 1.1).rem_euclid(std::f64::consts::PI);
        assert!(beside.min(std::f64::consts::PI - beside) < 0.15, "{beside}");
        let image = comma(0.4);
        let turned: Vec<f32> = (0..SIDE * SIDE).map(|at| image[(at % SIDE) * SIDE + SIDE - 1 - at / SIDE]).collect();
        assert!(apart(&stand(&image, false), &stand(&turned, false)) < 1e-6);
    }

    #[test]
    fn images_without_an_axis_stay_as_they_are() {
        let mut dot = vec![0.0; SIDE * SIDE];
        dot[14 * SIDE + 14] = 1.0;
        for image in [vec![0.0; SIDE * SIDE], vec![1.0; SIDE * SIDE], dot] {
            assert_eq!(stand(&image, true), image);
        }
    }

    /// Logits that know where ink is.
    fn corners(images: Tensor<4>) -> Tensor<2> {
        let weights: Vec<f32> = (0..SIDE * SIDE * 2).map(|i| ((i * i * 7 + i) % 101) as f32 / 101.0).collect();
        let weights = Tensor::<2>::from_data(TensorData::new(weights, [SIDE * SIDE, 2]), &images.device());
        images.flatten::<2>(1, 3).matmul(weights)
    }

    #[test]
    fn averages_over_a_group_are_invariant_under_it_and_frames_under_quarter_turns() {
        let pixels: Vec<f32> = [comma(0.2), comma(2.0)].concat();
        let images = Tensor::<4>::from_data(TensorData::new(pixels, [2, 1, SIDE, SIDE]), &Device::flex());
        let change = |view, g: Element| {
            let of = |images| answers(view, g.is_flip(), g.is_flip(), images, corners);
            let (still, moved) = (of(images.clone()), of(act(&g, images.clone())));
            (still.clone() - moved).abs().max().into_scalar::<f32>() / still.abs().max().into_scalar::<f32>()
        };
        let mirror = Element::new(true, Element::turn(0, 1).rotation());
        for g in [Element::turn(1, 4), Element::turn(1, 2), mirror] {
            // The same numbers, added in another order.
            for view in [View::Averaged, View::Canonical, View::Frames] {
                assert!(change(view, g) < 1e-5, "{view:?} {g:?}: {}", change(view, g));
            }
            assert!(change(View::AsIs, g) > 1e-3);
        }
        assert_eq!(
            [View::AsIs, View::Averaged, View::Canonical, View::Frames].map(|view| passes(view, false)),
            [1, 8, 1, 2]
        );
        assert_eq!([View::Averaged, View::Frames].map(|view| passes(view, true)), [8, 4]);
    }

    #[test]
    fn the_host_and_the_device_pose_alike() {
        let images = Images::new([comma(0.2), comma(2.0)].concat(), vec![0, 1], SIDE, SIDE).unwrap();
        let (batch, _) = images.batch(&[0, 1], &Device::flex());
        let device: Vec<f32> = posed_batch(batch, false).into_data().iter::<f32>().collect();
        let host = posed(&images, false);
        // Coordinates in f32 are off by about 1e-6 pixels.
        assert!(device.iter().zip([host.image(0), host.image(1)].concat()).all(|(a, b)| (a - b).abs() < 1e-5));
        assert_eq!(host.labels(), [0, 1]);
    }

    /// A comma of a colour on a ground of another, and a spot of a third: every channel has axes of its own.
    fn colours(angle: f64) -> Vec<f32> {
        let (comma, beside) = (comma(angle), comma(angle + 1.2));
        let channel = |a: f32, b: f32| comma.iter().zip(&beside).map(move |(x, y)| a * x + b * y).collect::<Vec<f32>>();
        [channel(0.1, 1.0), channel(1.0, 0.1), channel(0.2, 0.7)].concat()
    }

    #[test]
    fn all_channels_have_the_pose_of_their_luminance() {
        let images = Images::with_channels([colours(0.2), colours(2.0)].concat(), vec![0, 1], 3, SIDE, SIDE).unwrap();
        let host = posed(&images, false);
        assert_eq!((host.channels(), host.labels()), (3, &[0, 1][..]));
        let own = standard_pose(images.planes(0).next().unwrap(), SIDE, false);
        let pose = standard_pose(&images.luminance(0), SIDE, false);
        assert!((pose[0][0] - own[0][0]).hypot(pose[0][1] - own[0][1]) > 0.1, "red lies otherwise: {own:?} {pose:?}");
        for (moved, plane) in host.planes(0).zip(images.planes(0)) {
            assert_eq!(moved, resample_host(plane, SIDE, SIDE, pose));
        }
        // Turned images have the same pose, in every channel: what bilinear resampling loses of a blob three pixels wide.
        for (one, other) in host.planes(0).zip(host.planes(1)) {
            assert!(apart(one, other) < 0.05, "{}", apart(one, other));
        }
        let (batch, _) = images.batch(&[0, 1], &Device::flex());
        let device: Vec<f32> = posed_batch(batch, false).into_data().iter::<f32>().collect();
        // Coordinates in f32 are off by about 1e-6 pixels.
        assert!(device.iter().zip([host.image(0), host.image(1)].concat()).all(|(a, b)| (a - b).abs() < 1e-5));
    }

    #[test]
    fn images_of_equal_channels_have_the_pose_of_one() {
        let grey = Images::new(comma(0.7), vec![3], SIDE, SIDE).unwrap();
        let three = Images::with_channels(comma(0.7).repeat(3), vec![3], 3, SIDE, SIDE).unwrap();
        let (grey, three) = (posed(&grey, true), posed(&three, true));
        // Weights of the luminance add up to 1, to rounding.
        assert!(three.planes(0).all(|plane| apart(grey.image(0), plane) < 1e-5));
    }
}
