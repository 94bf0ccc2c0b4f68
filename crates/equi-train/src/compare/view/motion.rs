//! Points as they are, in several poses, or in the frames of their principal components.

use equi_core::group::Isometry;

use super::AVERAGED;
use crate::augment::PointAugmentation;
use crate::compare::View;
use crate::data::nbody::Motion;
use crate::data::spatial::{Answer, Sample, Spatial};
use crate::stop::Stop;

/// Samples between two looks at whether to stop.
const CHUNK: usize = 200;

/// Ways to choose the directions of three axes.
const SIGNS: usize = 8;

/// Forward passes for one sample in tests.
pub fn passes(view: View) -> usize {
    match view {
        View::AsIs | View::Canonical => 1,
        View::Averaged => AVERAGED,
        View::Frames => SIGNS,
    }
}

/// How training samples are moved at every step, besides the symmetry: among the frames.
pub fn among_frames() -> PointAugmentation {
    PointAugmentation { axes: 0.5, ..PointAugmentation::none() }
}

/// Samples as a network is shown them in training.
pub fn shown<S: Sample>(view: View, samples: &[S]) -> Vec<S> {
    match view {
        View::AsIs | View::Averaged => samples.to_vec(),
        View::Canonical | View::Frames => {
            samples.iter().map(|sample| Spatial::moved(sample, &sample.standard_pose())).collect()
        }
    }
}

/// The isometries by which each sample is moved, one list a forward pass. Those of [`View::Averaged`] are drawn as `augmentation`
/// draws its own, at positions of the seed's stream that no training reaches.
fn poses<S: Sample>(view: View, samples: &[S], augmentation: PointAugmentation, seed: u64) -> Vec<Vec<Isometry>> {
    let standard = || samples.iter().map(Sample::standard_pose);
    match view {
        View::AsIs => vec![vec![Isometry::IDENTITY; samples.len()]],
        View::Averaged => {
            let draw = |pass| augmentation.draw(samples.len(), seed, usize::MAX - pass);
            (0..AVERAGED).map(draw).collect()
        }
        View::Canonical => vec![standard().collect()],
        View::Frames => {
            (0..SIGNS).map(|signs| standard().map(|pose| PointAugmentation::mirror(signs) * pose).collect()).collect()
        }
    }
}

/// What an arm predicts: what `predict` says of the samples in the poses of `view`, moved back and averaged; none if `stop` was raised
/// before the last.
pub fn averaged<S: Sample>(
    view: View,
    samples: &[S],
    augmentation: PointAugmentation,
    seed: u64,
    stop: &Stop,
    predict: impl Fn(&[S]) -> Vec<S::Answer>,
) -> Option<Vec<S::Answer>> {
    let poses = poses(view, samples, augmentation, seed);
    let share = 1.0 / poses.len() as f64;
    let mut mean: Vec<S::Answer> = samples.iter().map(|sample| sample.answer().clone()).collect();
    mean.iter_mut().for_each(|answer| answer.numbers_mut().fill(0.0));
    for pass in &poses {
        for (place, chunk) in samples.chunks(CHUNK).enumerate() {
            if stop.is_raised() {
                return None;
            }
            let here = place * CHUNK..place * CHUNK + chunk.len();
            let moved: Vec<S> = chunk.iter().zip(&pass[here.clone()]).map(|(sample, g)| sample.moved(g)).collect();
            for ((mean, found), g) in mean[here.clone()].iter_mut().zip(predict(&moved)).zip(&pass[here]) {
                let back = found.moved(&g.inverse());
                mean.numbers_mut().iter_mut().zip(back.numbers()).for_each(|(mean, x)| *mean += share * x);
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
    use crate::fit::{Dynamics, mean_squared_error as on_device, positions};
    use burn::tensor::Device;
    use equi_layers::graph::RawGnnConfig;

    fn predictions<M: Dynamics>(
        view: View,
        model: &M,
        motions: &[Motion],
        seed: u64,
        device: &Device,
        stop: &Stop,
    ) -> Option<Vec<Vec<[f64; 3]>>> {
        let predict = |motions: &[Motion]| positions(model, motions, device);
        averaged(view, motions, PointAugmentation::default(), seed, stop, predict)
    }

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
        let found = poses(View::Frames, &motions, PointAugmentation::default(), 0);
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
