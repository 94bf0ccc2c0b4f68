//! Augmentation: training samples moved by random elements of a symmetry group, on the device. Here images; nodes in space
//! have [`PointAugmentation`].
//!
//! The host draws one matrix per image; all pixels move in one resampling,
//!
//! ```text
//! out(p) = image(A p),   A = R(-theta) F,   F = diag(+-1, +-1)
//! ```
//!
//! which turns the image by `theta` counter-clockwise and then mirrors it. An image that is not turned has a matrix of
//! zeros and ones, for which the resampler copies pixels exactly.

mod points;

pub use points::PointAugmentation;

use std::f64::consts::PI;
use std::fmt;

use burn::Tensor;
use burn::tensor::TensorData;
use equi_core::resample::{resample, rotation_inverse};
use rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::seed::{Purpose, stream};

/// Random rotations and mirror images, each with its probability.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Augmentation {
    /// Rotations are uniform between minus and plus this many degrees.
    pub max_degrees: f64,
    /// Probability that an image is turned.
    pub rotation: f64,
    /// Probability that left and right are exchanged.
    pub horizontal_flip: f64,
    /// Probability that up and down are exchanged.
    pub vertical_flip: f64,
    /// Probability that an image is turned by 180 degrees, besides its rotation. This exchanges pixels and resamples nothing.
    #[serde(default)]
    pub half_turn: f64,
}

impl Default for Augmentation {
    /// Every image turned by up to 180 degrees, and mirrored each way with probability 1/2.
    fn default() -> Self {
        Self { max_degrees: 180.0, rotation: 1.0, horizontal_flip: 0.5, vertical_flip: 0.5, half_turn: 0.0 }
    }
}

impl Augmentation {
    /// Images stay as they are.
    pub const fn none() -> Self {
        Self { max_degrees: 0.0, rotation: 0.0, horizontal_flip: 0.0, vertical_flip: 0.0, half_turn: 0.0 }
    }

    /// Whether images stay as they are.
    pub fn is_none(&self) -> bool {
        let flips = [self.horizontal_flip, self.vertical_flip, self.half_turn];
        (self.rotation == 0.0 || self.max_degrees == 0.0) && flips == [0.0; 3]
    }

    /// The same with all probabilities multiplied by `share`, at most 1.
    pub fn scaled(self, share: f64) -> Self {
        let [rotation, horizontal_flip, vertical_flip, half_turn] =
            [self.rotation, self.horizontal_flip, self.vertical_flip, self.half_turn].map(|p| share * p);
        Self { rotation, horizontal_flip, vertical_flip, half_turn, ..self }
    }

    /// The matrices `A` for the `batch` images of optimiser step `step`.
    ///
    /// Every image consumes four random numbers, whatever is switched on, and one of another stream for its half turn.
    pub fn draw(&self, seed: u64, step: usize, batch: usize) -> Vec<[[f64; 2]; 2]> {
        let mut rng = stream(seed, Purpose::Augmentation, step as u64);
        let mut halves = stream(seed, Purpose::Frames, step as u64);
        let sign = |probability: f64, chance: f64| if chance < probability { -1.0 } else { 1.0 };
        (0..batch)
            .map(|_| {
                let [turned, angle, horizontal, vertical]: [f64; 4] = rng.random();
                let theta = (2.0 * angle - 1.0) * self.max_degrees * PI / 180.0;
                let turn = if turned < self.rotation { rotation_inverse(theta) } else { [[1.0, 0.0], [0.0, 1.0]] };
                let half = sign(self.half_turn, halves.random());
                let (x, y) = (half * sign(self.horizontal_flip, horizontal), half * sign(self.vertical_flip, vertical));
                [[turn[0][0] * x, turn[0][1] * y], [turn[1][0] * x, turn[1][1] * y]]
            })
            .collect()
    }

    /// `images` with an augmentation of its own for each, the same for the same `seed` and `step`.
    ///
    /// # Shapes
    ///
    /// - images: `[batch, channels, height, width]`
    /// - output: `[batch, channels, height, width]`
    pub fn apply(&self, images: Tensor<4>, seed: u64, step: usize) -> Tensor<4> {
        if self.is_none() {
            return images;
        }
        let batch = images.dims()[0];
        let entries: Vec<f64> = self.draw(seed, step, batch).into_iter().flatten().flatten().collect();
        let matrices = TensorData::new(entries, [batch, 2, 2]);
        let inverse = Tensor::<3>::from_data(matrices, (&images.device(), images.dtype()));
        resample(images, inverse)
    }
}

impl fmt::Display for Augmentation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_none() {
            return f.write_str("none");
        }
        let mut parts = Vec::new();
        if self.rotation > 0.0 && self.max_degrees > 0.0 {
            parts.push(format!("rotation by up to {} degrees (p = {})", self.max_degrees, self.rotation));
        }
        if self.horizontal_flip > 0.0 {
            parts.push(format!("horizontal flip (p = {})", self.horizontal_flip));
        }
        if self.vertical_flip > 0.0 {
            parts.push(format!("vertical flip (p = {})", self.vertical_flip));
        }
        if self.half_turn > 0.0 {
            parts.push(format!("half turn (p = {})", self.half_turn));
        }
        f.write_str(&parts.join(", "))
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use burn::tensor::Device;
    use equi_core::resample::resample_host;

    const SIZE: usize = 9;

    /// Pixels with no symmetry of their own, different in every image.
    fn images(batch: usize) -> Tensor<4> {
        let pixels: Vec<f32> = (0..batch * SIZE * SIZE).map(|i| ((i * i * 7 + i) % 101) as f32 / 101.0).collect();
        Tensor::from_data(TensorData::new(pixels, [batch, 1, SIZE, SIZE]), &Device::flex())
    }

    fn host(images: Tensor<4>) -> Vec<f32> {
        images.into_data().try_to_vec().unwrap()
    }

    #[test]
    fn probability_zero_is_the_identity() {
        let unlikely = Augmentation { rotation: 0.0, horizontal_flip: 0.0, vertical_flip: 0.0, ..Default::default() };
        assert!(unlikely.is_none());
        assert_eq!(host(unlikely.apply(images(4), 1, 0)), host(images(4)));
    }

    #[test]
    fn flips_alone_are_permutations_of_pixels() {
        let both = Augmentation { rotation: 0.0, horizontal_flip: 1.0, vertical_flip: 1.0, ..Default::default() };
        assert_eq!(host(both.apply(images(3), 1, 0)), host(images(3).flip([2, 3])));
        let left_right = Augmentation { vertical_flip: 0.0, ..both };
        assert_eq!(host(left_right.apply(images(3), 1, 0)), host(images(3).flip([3])));
        let up_down = Augmentation { horizontal_flip: 0.0, ..both };
        assert_eq!(host(up_down.apply(images(3), 1, 0)), host(images(3).flip([2])));
    }

    #[test]
    fn half_turns_are_permutations_of_pixels_and_change_no_other_draw() {
        let half = Augmentation { half_turn: 1.0, ..Augmentation::none() };
        assert!(!half.is_none());
        assert_eq!(host(half.apply(images(3), 1, 0)), host(images(3).flip([2, 3])));
        let all = Augmentation { half_turn: 1.0, ..Augmentation::default() };
        for (with, without) in all.draw(7, 2, 20).iter().zip(Augmentation::default().draw(7, 2, 20)) {
            assert_eq!(with.map(|row| row.map(|entry| -entry)), without);
        }
        let some = Augmentation { half_turn: 0.5, ..Augmentation::none() };
        let turned = some.draw(7, 2, 10_000).iter().filter(|a| a[0][0] < 0.0).count();
        // 4 standard errors of a binomial with p = 1/2.
        assert!((4800..5200).contains(&turned), "{turned}");
    }

    #[test]
    fn images_left_alone_in_a_mixed_batch_are_untouched() {
        let half = Augmentation { rotation: 0.5, horizontal_flip: 0.0, vertical_flip: 0.0, ..Default::default() };
        let batch = 32;
        let moved = host(half.apply(images(batch), 3, 5));
        let original = host(images(batch));
        let identity = [[1.0, 0.0], [0.0, 1.0]];
        let mut alone = 0;
        for (i, matrix) in half.draw(3, 5, batch).into_iter().enumerate() {
            let range = i * SIZE * SIZE..(i + 1) * SIZE * SIZE;
            assert_eq!(matrix == identity, moved[range.clone()] == original[range]);
            alone += usize::from(matrix == identity);
        }
        assert!((1..batch).contains(&alone), "{alone} of {batch}");
    }

    #[test]
    fn angles_and_flips_have_the_stated_distribution() {
        let count = 20_000;
        let turns = Augmentation { horizontal_flip: 0.0, vertical_flip: 0.0, max_degrees: 90.0, ..Default::default() };
        let angles: Vec<f64> = turns.draw(11, 0, count).iter().map(|a| a[0][1].atan2(a[0][0]).to_degrees()).collect();
        let mean = angles.iter().sum::<f64>() / count as f64;
        let variance = angles.iter().map(|angle| angle * angle).sum::<f64>() / count as f64;
        // Uniform on [-90, 90]: variance 2700. The bounds are 4 standard errors, 52 / sqrt(n) and 2415 / sqrt(n).
        assert!(mean.abs() < 1.5, "mean {mean}");
        assert!((variance - 2700.0).abs() < 70.0, "variance {variance}");
        assert!(angles.iter().all(|angle| angle.abs() <= 90.0));

        let flips = Augmentation { rotation: 0.0, horizontal_flip: 0.25, vertical_flip: 0.0, ..Default::default() };
        let mirrored = flips.draw(11, 0, count).iter().filter(|a| a[0][0] < 0.0).count() as f64;
        // 4 standard errors of a binomial with p = 1/4.
        assert!((mirrored / count as f64 - 0.25).abs() < 0.013);
    }

    #[test]
    fn repeats_for_the_same_step_and_differs_for_the_next() {
        let augmentation = Augmentation::default();
        assert_eq!(host(augmentation.apply(images(4), 9, 2)), host(augmentation.apply(images(4), 9, 2)));
        assert_ne!(augmentation.draw(9, 2, 4), augmentation.draw(9, 3, 4));
        assert_ne!(augmentation.draw(9, 2, 4), augmentation.draw(8, 2, 4));
    }

    #[test]
    fn the_batch_equals_the_host_resampling_image_by_image() {
        let augmentation = Augmentation::default();
        let batch = 6;
        let moved = host(augmentation.apply(images(batch), 4, 1));
        let original = host(images(batch));
        for (i, matrix) in augmentation.draw(4, 1, batch).into_iter().enumerate() {
            let range = i * SIZE * SIZE..(i + 1) * SIZE * SIZE;
            let expected = resample_host(&original[range.clone()], SIZE, SIZE, matrix);
            for (got, expected) in moved[range].iter().zip(expected) {
                // Coordinates in f32 are off by about 1e-6 pixels, and neighbouring pixels differ by up to 1.
                assert!((got - expected).abs() < 1e-5, "{got} is not {expected}");
            }
        }
    }

    #[test]
    fn display_names_what_is_switched_on() {
        assert_eq!(Augmentation::none().to_string(), "none");
        assert_eq!(
            Augmentation { vertical_flip: 0.0, ..Default::default() }.to_string(),
            "rotation by up to 180 degrees (p = 1), horizontal flip (p = 0.5)"
        );
    }
}
