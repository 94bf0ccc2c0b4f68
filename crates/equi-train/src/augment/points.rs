//! Augmentation of nodes in space: each graph of a batch moved by a random isometry of its own,
//!
//! ```text
//! x -> R F x + t,   R uniform in SO(3),   F = diag(-1, 1, 1) or 1,   t ~ N(0, deviation^2)
//! ```
//!
//! drawn on the host. What is moved, inputs and targets alike, is moved by the same isometries on the device.

use std::fmt;

use burn::tensor::TensorCreationOptions;
use equi_core::action::space::Isometries;
use equi_core::group::Isometry;
use rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::seed::{Purpose, stream};

/// Random rotations, reflections and translations of graphs in space.
///
/// ```no_run
/// # use burn::tensor::{Device, Tensor};
/// # use equi_core::{action::space::{PointField, act_each}, ops::Segments};
/// # use equi_train::augment::PointAugmentation;
/// # let (device, step, seed) = (Device::default(), 0, 0);
/// # let (members, x, v) = (Segments::new(vec![0, 0, 1], 2, &device).unwrap(), Tensor::zeros([3, 3], &device), Tensor::zeros([3, 3], &device));
/// # let target = x.clone();
/// let isometries = PointAugmentation::default().isometries(members.count(), seed, step, &device).spread(&members);
/// let x = act_each(&isometries, x, PointField::Position);
/// let v = act_each(&isometries, v, PointField::Vector);
/// let target = act_each(&isometries, target, PointField::Position);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PointAugmentation {
    /// Probability that a graph is turned; all orientations are then equally likely.
    pub rotation: f64,
    /// Probability that a graph is mirrored.
    pub reflection: f64,
    /// Standard deviation of the three coordinates of the translation, in units of the data.
    pub translation: f64,
    /// Probability that a coordinate changes its sign, for each of the three before all else: the directions that principal axes
    /// leave open.
    #[serde(default)]
    pub axes: f64,
}

impl Default for PointAugmentation {
    /// Every graph turned, mirrored with probability 1/2 and moved by about one unit.
    fn default() -> Self {
        Self { rotation: 1.0, reflection: 0.5, translation: 1.0, axes: 0.0 }
    }
}

impl PointAugmentation {
    /// Graphs stay as they are.
    pub const fn none() -> Self {
        Self { rotation: 0.0, reflection: 0.0, translation: 0.0, axes: 0.0 }
    }

    /// Whether graphs stay as they are.
    pub fn is_none(&self) -> bool {
        *self == Self::none()
    }

    /// The same with all probabilities, and the deviation of the translation, multiplied by `share`, at most 1.
    pub fn scaled(self, share: f64) -> Self {
        let [rotation, reflection, translation, axes] =
            [self.rotation, self.reflection, self.translation, self.axes].map(|p| share * p);
        Self { rotation, reflection, translation, axes }
    }

    /// The isometries for the `graphs` graphs of optimiser step `step`.
    ///
    /// The same random numbers are drawn whatever is switched on, so arms that differ in one part share the others.
    ///
    /// # Panics
    /// If the standard deviation of the translation is not finite.
    pub fn draw(&self, graphs: usize, seed: u64, step: usize) -> Vec<Isometry> {
        let mut rng = stream(seed, Purpose::Augmentation, step as u64);
        let mut signs = stream(seed, Purpose::Frames, step as u64);
        let mirror = Self::mirror(1);
        (0..graphs)
            .map(|_| {
                let [turned, mirrored]: [f64; 2] = rng.random();
                let rotation = Isometry::random_rotation(&mut rng);
                let mut g = Isometry::random_translation(self.translation, &mut rng);
                if turned < self.rotation {
                    g = g * rotation;
                }
                if mirrored < self.reflection {
                    g = g * mirror;
                }
                let chances: [f64; 3] = signs.random();
                let signs = chances.iter().enumerate().map(|(k, &chance)| usize::from(chance < self.axes) << k).sum();
                if signs != 0 {
                    g = g * Self::mirror(signs);
                }
                g
            })
            .collect()
    }

    /// The isometry that changes the signs of the coordinates whose bits are set in `signs`.
    ///
    /// # Panics
    /// If there are other bits than three.
    pub fn mirror(signs: usize) -> Isometry {
        assert!(signs < 8, "there are three coordinates, and {signs:b} has more bits");
        let sign = |k: usize| if signs >> k & 1 == 1 { -1.0 } else { 1.0 };
        let row = |k: usize| std::array::from_fn(|l| if l == k { sign(k) } else { 0.0 });
        Isometry::new([row(0), row(1), row(2)], [0.0; 3]).expect("signs on the diagonal are orthogonal")
    }

    /// The same on the device, in the precision of the features they will act on: one for each graph.
    /// [`Isometries::spread`] makes them one for each node.
    pub fn isometries(
        &self,
        graphs: usize,
        seed: u64,
        step: usize,
        options: impl Into<TensorCreationOptions>,
    ) -> Isometries {
        Isometries::new(&self.draw(graphs, seed, step), options)
    }
}

impl fmt::Display for PointAugmentation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_none() {
            return f.write_str("none");
        }
        let mut parts = Vec::new();
        if self.rotation > 0.0 {
            parts.push(format!("uniform rotation (p = {})", self.rotation));
        }
        if self.reflection > 0.0 {
            parts.push(format!("reflection (p = {})", self.reflection));
        }
        if self.translation > 0.0 {
            parts.push(format!("normal translation (deviation {})", self.translation));
        }
        if self.axes > 0.0 {
            parts.push(format!("sign of each coordinate (p = {})", self.axes));
        }
        f.write_str(&parts.join(", "))
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use burn::tensor::{DType, Device, Tensor, TensorData};
    use equi_core::action::space::{PointField, act, act_each};
    use equi_core::ops::Segments;

    const SIZES: [usize; 3] = [4, 1, 3];

    fn members() -> Segments {
        let members = SIZES.iter().enumerate().flat_map(|(graph, &size)| vec![graph; size]).collect();
        Segments::new(members, SIZES.len(), &Device::flex()).unwrap()
    }

    /// Without symmetry, the same for the same seed.
    fn vectors(rows: usize, seed: usize) -> Tensor<2> {
        let values: Vec<f64> =
            (0..3 * rows).map(|i| ((i * i * 7 + seed * i + seed) % 101) as f64 / 50.0 - 1.0).collect();
        Tensor::from_data(TensorData::new(values, [rows, 3]), (&Device::flex(), DType::F64))
    }

    fn host(x: Tensor<2>) -> Vec<f64> {
        x.into_data_as::<f64>().try_into_vec().unwrap()
    }

    fn largest(x: Tensor<2>) -> f64 {
        host(x).into_iter().fold(0.0, |m: f64, v| m.max(v.abs()))
    }

    #[test]
    fn nothing_switched_on_moves_nothing() {
        let isometries = PointAugmentation::none().draw(5, 1, 0);
        assert!(PointAugmentation::none().is_none() && isometries.iter().all(|g| *g == Isometry::IDENTITY));
    }

    #[test]
    fn repeats_for_the_same_step_and_differs_for_the_next() {
        let augmentation = PointAugmentation::default();
        assert_eq!(augmentation.draw(4, 9, 2), augmentation.draw(4, 9, 2));
        assert_ne!(augmentation.draw(4, 9, 2), augmentation.draw(4, 9, 3));
        assert_ne!(augmentation.draw(4, 9, 2), augmentation.draw(4, 8, 2));
        // Each graph has its own, and more graphs in the batch do not change it.
        let drawn = augmentation.draw(4, 9, 2);
        assert_ne!(drawn[0], drawn[1]);
        assert_eq!(drawn[..3], augmentation.draw(3, 9, 2));
    }

    #[test]
    fn switches_do_not_change_what_the_others_draw() {
        let all = PointAugmentation { rotation: 1.0, reflection: 1.0, translation: 2.0, axes: 0.0 };
        let without = |change: fn(&mut PointAugmentation)| {
            let mut part = all;
            change(&mut part);
            part.draw(6, 3, 1)
        };
        for (all, unmirrored) in all.draw(6, 3, 1).iter().zip(without(|a| a.reflection = 0.0)) {
            assert_eq!(all.offset(), unmirrored.offset());
            assert!(!all.is_proper() && unmirrored.is_proper());
        }
        for (all, fixed) in all.draw(6, 3, 1).iter().zip(without(|a| a.translation = 0.0)) {
            assert_eq!((all.matrix(), fixed.offset()), (fixed.matrix(), [0.0; 3]));
        }
        for unturned in without(|a| a.rotation = 0.0) {
            assert_eq!(unturned.matrix(), [[-1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]);
        }
    }

    #[test]
    fn signs_of_axes_are_drawn_evenly_and_change_no_other_draw() {
        let signs = PointAugmentation { axes: 0.5, ..PointAugmentation::none() };
        let mut seen = [0; 8];
        for g in signs.draw(8000, 5, 3) {
            let matrix = g.matrix();
            assert!((0..3).all(|k| (0..3).all(|l| k == l || matrix[k][l] == 0.0)) && g.offset() == [0.0; 3]);
            seen[(0..3).map(|k| usize::from(matrix[k][k] < 0.0) << k).sum::<usize>()] += 1;
        }
        // 1000 +- 30 each; five standard deviations.
        assert!(seen.iter().all(|count| (850..1150).contains(count)), "{seen:?}");
        let all = PointAugmentation { axes: 1.0, ..PointAugmentation::default() };
        for (with, without) in all.draw(6, 3, 1).iter().zip(PointAugmentation::default().draw(6, 3, 1)) {
            assert_eq!((with.offset(), with.is_proper()), (without.offset(), !without.is_proper()));
        }
    }

    #[test]
    fn parts_have_the_stated_distribution() {
        let count = 20_000;
        let augmentation = PointAugmentation { rotation: 0.75, reflection: 0.25, translation: 3.0, axes: 0.0 };
        let drawn = augmentation.draw(count, 11, 0);
        let share = |of: &dyn Fn(&Isometry) -> bool| drawn.iter().filter(|g| of(g)).count() as f64 / count as f64;
        // 4 standard errors of a binomial with p = 1/4.
        assert!((share(&|g| !g.is_proper()) - 0.25).abs() < 0.013);
        assert!((share(&|g| g.matrix()[0][1] == 0.0) - 0.25).abs() < 0.013);
        let offsets: Vec<f64> = drawn.iter().flat_map(Isometry::offset).collect();
        let variance = offsets.iter().map(|t| t * t).sum::<f64>() / offsets.len() as f64;
        // 4 standard errors, 9 sqrt(2 / 3n) each.
        assert!((variance - 9.0).abs() < 0.21, "{variance}");
        // E[R_11] = 0 and E[R_11^2] = 1/3 among the turned; 4 standard errors.
        let turned: Vec<f64> = drawn.iter().map(|g| g.matrix()[1][1]).filter(|entry| *entry != 1.0).collect();
        let moment = |power| turned.iter().map(|entry| entry.powi(power)).sum::<f64>() / turned.len() as f64;
        assert!(moment(1).abs() < 0.019 && (moment(2) - 1.0 / 3.0).abs() < 0.01, "{} {}", moment(1), moment(2));
    }

    #[test]
    fn inputs_and_targets_move_together_graph_by_graph() {
        let augmentation = PointAugmentation::default();
        let (x, v) = (vectors(8, 3), vectors(8, 4));
        let target = x.clone() + v.clone() * 0.5;
        let isometries = augmentation.isometries(SIZES.len(), 4, 1, (&Device::flex(), DType::F64)).spread(&members());
        let moved = act_each(&isometries, x.clone(), PointField::Position);
        let velocity = act_each(&isometries, v.clone(), PointField::Vector);
        // The law that made the target still holds for what was moved; coordinates are of size 1.
        let expected = act_each(&isometries, target, PointField::Position);
        assert!(largest(moved.clone() + velocity * 0.5 - expected) < 1e-14);
        let spin = act_each(&isometries, x.clone().cross(v, 1), PointField::Pseudovector);
        let mut start = 0;
        for (g, size) in augmentation.draw(SIZES.len(), 4, 1).iter().zip(SIZES) {
            let alone = act(g, x.clone().narrow(0, start, size), PointField::Position);
            assert_eq!(host(moved.clone().narrow(0, start, size)), host(alone));
            start += size;
        }
        assert!(largest(spin) > 0.1);
    }

    #[test]
    fn display_names_what_is_switched_on() {
        assert_eq!(PointAugmentation::none().to_string(), "none");
        assert_eq!(
            PointAugmentation { translation: 0.0, ..Default::default() }.to_string(),
            "uniform rotation (p = 1), reflection (p = 0.5)"
        );
        let moved = PointAugmentation { translation: 2.5, ..PointAugmentation::none() };
        assert_eq!(moved.to_string(), "normal translation (deviation 2.5)");
    }
}
