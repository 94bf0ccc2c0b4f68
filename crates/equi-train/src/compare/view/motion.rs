//! Motions as they are, in several poses, or in the frames of their principal components.

use burn::tensor::Device;
use equi_core::group::Isometry;

use super::AVERAGED;
use crate::augment::PointAugmentation;
use crate::compare::View;
use crate::data::nbody::Motion;
use crate::fit::{Dynamics, positions};
use crate::stop::Stop;

/// Motions between two looks at whether to stop.
const CHUNK: usize = 200;

/// Ways to choose the directions of three axes.
const SIGNS: usize = 8;

/// Forward passes for one motion in tests.
pub fn passes(view: View) -> usize {
    match view {
        View::AsIs | View::Canonical => 1,
        View::Averaged => AVERAGED,
        View::Frames => SIGNS,
    }
}

/// How training motions are moved at every step, besides the symmetry: among the frames.
pub fn among_frames() -> PointAugmentation {
    PointAugmentation { axes: 0.5, ..PointAugmentation::none() }
}

/// Motions as a network is shown them in training.
pub fn shown(view: View, motions: &[Motion]) -> Vec<Motion> {
    match view {
        View::AsIs | View::Averaged => motions.to_vec(),
        View::Canonical | View::Frames => {
            motions.iter().map(|motion| motion.moved(&motion.start.standard_pose())).collect()
        }
    }
}

/// The isometries by which each motion is moved, one list a forward pass. Those of [`View::Averaged`] are drawn as the
/// augmentation draws its own, at positions of the seed's stream that no training reaches.
fn poses(view: View, motions: &[Motion], seed: u64) -> Vec<Vec<Isometry>> {
    let standard = || motions.iter().map(|motion| motion.start.standard_pose());
    match view {
        View::AsIs => vec![vec![Isometry::IDENTITY; motions.len()]],
        View::Averaged => {
            let draw = |pass| PointAugmentation::default().draw(motions.len(), seed, usize::MAX - pass);
            (0..AVERAGED).map(draw).collect()
        }
        View::Canonical => vec![standard().collect()],
        View::Frames => {
            (0..SIGNS).map(|signs| standard().map(|pose| PointAugmentation::mirror(signs) * pose).collect()).collect()
        }
    }
}

/// The positions that an arm predicts: those of `model` in the poses of `view`, moved back and averaged; none if `stop` was raised
/// before the last.
pub fn predictions<M: Dynamics>(
    view: View,
    model: &M,
    motions: &[Motion],
    seed: u64,
    device: &Device,
    stop: &Stop,
) -> Option<Vec<Vec<[f64; 3]>>> {
    let poses = poses(view, motions, seed);
    let share = 1.0 / poses.len() as f64;
    let mut mean: Vec<Vec<[f64; 3]>> = motions.iter().map(|motion| vec![[0.0; 3]; motion.end.len()]).collect();
    for pass in &poses {
        for (place, chunk) in motions.chunks(CHUNK).enumerate() {
            if stop.is_raised() {
                return None;
            }
            let here = place * CHUNK..place * CHUNK + chunk.len();
            let moved: Vec<Motion> = chunk.iter().zip(&pass[here.clone()]).map(|(motion, g)| motion.moved(g)).collect();
            let found = positions(model, &moved, device);
            for ((mean, found), g) in mean[here.clone()].iter_mut().zip(found).zip(&pass[here]) {
                let back = g.inverse();
                for (mean, x) in mean.iter_mut().zip(found) {
                    let x = back.act(x);
                    (0..3).for_each(|k| mean[k] += share * x[k]);
                }
            }
        }
    }
    Some(mean)
}

/// The mean over all coordinates of the squared errors of predicted positions.
pub fn mean_squared_error(predicted: &[Vec<[f64; 3]>], motions: &[Motion]) -> f64 {
    let pairs = || {
        predicted
            .iter()
            .zip(motions)
            .flat_map(|(found, motion)| found.as_flattened().iter().zip(motion.end.as_flattened()))
    };
    pairs().map(|(a, b)| (a - b).powi(2)).sum::<f64>() / pairs().count().max(1) as f64
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::data::nbody::NBody;
    use crate::fit::mean_squared_error as on_device;
    use equi_layers::graph::RawGnnConfig;

    #[test]
    fn canonical_poses_and_frames_are_equivariant_and_averages_nearly() {
        let device = Device::flex();
        let model = RawGnnConfig::new(1, 8).with_edge_features(2).with_seed(1).init(&device).unwrap();
        let motions = NBody::new(0).test(20).unwrap();
        let error = |view| {
            let predict = |motions: &[Motion]| predictions(view, &model, motions, 3, &device, &Stop::new()).unwrap();
            crate::compare::probe::motion::exact_error(predict, &motions).unwrap()
        };
        let [as_is, averaged, canonical, frames] =
            [View::AsIs, View::Averaged, View::Canonical, View::Frames].map(error);
        // Rounding in f32.
        assert!(canonical < 1e-5 && frames < 1e-5, "{canonical} {frames}");
        // The mean of eight independent draws.
        assert!(averaged < 0.7 * as_is && averaged > 1e-4, "{averaged} {as_is}");
    }

    #[test]
    fn frames_do_not_depend_on_the_signs_of_the_pose() {
        let motions = NBody::new(0).test(3).unwrap();
        let matrices = |list: &[Vec<Isometry>]| -> Vec<String> {
            let mut found: Vec<String> =
                list.iter().map(|pass| format!("{:.6?}", pass[0].matrix().map(|row| row.map(|x| x + 0.0)))).collect();
            found.sort();
            found.dedup();
            found
        };
        let found = poses(View::Frames, &motions, 0);
        assert_eq!((found.len(), matrices(&found).len()), (8, 8));
        assert_eq!([View::AsIs, View::Averaged, View::Canonical, View::Frames].map(passes), [1, 8, 1, 8]);
    }

    #[test]
    fn the_error_as_it_is_is_that_of_the_device() {
        let device = Device::flex();
        let motions = NBody::new(0).test(CHUNK + 7).unwrap();
        let model = RawGnnConfig::new(1, 8).with_edge_features(2).with_seed(1).init(&device).unwrap();
        let found = predictions(View::AsIs, &model, &motions, 0, &device, &Stop::new()).unwrap();
        let (host, device_error) =
            (mean_squared_error(&found, &motions), on_device(&model, &motions, &device, &Stop::new()).unwrap());
        assert!((host - device_error).abs() < 1e-5 * host, "{host} {device_error}");
        let stop = Stop::new();
        stop.raise();
        assert!(predictions(View::AsIs, &model, &motions, 0, &device, &stop).is_none());
    }
}
