//! What is predicted for points and for the same points elsewhere in space.

use burn::tensor::{DType, Device, Tensor, TensorData};
use equi_core::check::points::{
    NamedPointLayer, PointFn, PointLayerReport, PointLayerReports, PointLocalError, Trials, layers as check_layers,
    local,
};
use equi_core::group::{Isometry, Permutation};

use crate::compare::results::LayerError;
use crate::compare::stats::largest;
use crate::data::nbody::{Motion, MotionBatch};
use crate::data::points::{PointBatch, PointSystem, Units};
use crate::data::spatial::{Answer, Sample, Spatial};
use crate::fit::{Dynamics, PointModel};
use crate::model::stages::{NUMBER, POSITIONS, VELOCITIES};
use crate::seed::{Purpose, stream};

/// Random transformations that are tried.
const TRANSFORMATIONS: u64 = 8;
/// Standard deviation of the coordinates of the translations: about the size of a system of charged particles.
pub const TRANSLATION: f64 = 2.0;

/// `|f(g.x) - g.f(x)| / |f(x)|`, the largest over random rotations and reflections, translations, and permutations of the
/// points, all at once; the norm of `f(x)` is taken about the mean of its rows, so that it does not depend on the origin, or about
/// zero where all rows are the same.
///
/// `predict` gives the answers for all samples. Every sample is moved by transformations of its own. NaN is larger than
/// everything: a broken network must not pass. None without samples.
pub fn exact_error<S: Sample>(predict: impl Fn(&[S]) -> Vec<S::Answer>, samples: &[S]) -> Option<f64> {
    exact_error_within(TRANSLATION, predict, samples)
}

/// The same, where coordinates of the translations have the standard deviation `translation`.
pub fn exact_error_within<S: Sample>(
    translation: f64,
    predict: impl Fn(&[S]) -> Vec<S::Answer>,
    samples: &[S],
) -> Option<f64> {
    if samples.is_empty() {
        return None;
    }
    let still = predict(samples);
    let error = |index: u64| {
        let mut rng = stream(0, Purpose::Probe, index);
        let transformations: Vec<(Isometry, Permutation)> = samples
            .iter()
            .map(|sample| {
                let g = Isometry::random_translation(translation, &mut rng) * Isometry::random_orthogonal(&mut rng);
                (g, Permutation::random(sample.points(), &mut rng))
            })
            .collect();
        let moved: Vec<S> = samples
            .iter()
            .zip(&transformations)
            .map(|(sample, (g, permutation))| sample.moved(g).permuted(permutation))
            .collect();
        let mut sum = 0.0;
        for ((found, still), (g, permutation)) in predict(&moved).iter().zip(&still).zip(&transformations) {
            let expected = still.moved(g).permuted(permutation);
            sum += expected.numbers().iter().zip(found.numbers()).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
        }
        sum.sqrt()
    };
    let norm = spread(&still);
    (0..TRANSFORMATIONS).map(error).reduce(largest).map(|error| error / norm.max(f64::MIN_POSITIVE))
}

/// What the smallest rotations of samples about their centres do to what `predict` gives for them: the Lie derivative, in f32. Numbers of samples are taken about their mean,
/// as by [`exact_error`]. None without samples.
pub fn small_turns<S: Sample>(
    predict: impl Fn(&[S]) -> Vec<S::Answer>,
    samples: &[S],
    device: &Device,
) -> Option<PointLocalError> {
    let first = samples.first()?;
    let answer = first.answer().feature();
    let width = first.answer().width();
    let upload = |numbers: Vec<f64>, width: usize| {
        let rows = numbers.len() / width;
        let data = TensorData::new(numbers, [rows, width]).convert_dtype(DType::F32);
        Tensor::<2>::from_data(data, (device, DType::F32))
    };
    let read = |points: &Tensor<2>| -> Vec<[f64; 3]> {
        let values: Vec<f64> = points.to_data().iter::<f64>().collect();
        values.chunks_exact(3).map(|x| [x[0], x[1], x[2]]).collect()
    };
    let origin = if answer == NUMBER { mean_of_varying(&predict(samples)) } else { 0.0 };
    // Rotations alone are tried, which leave points in their order.
    let answers = |x: &[Tensor<2>], _: &Permutation| {
        let (positions, velocities) = (read(&x[0]), x.get(1).map(read));
        let mut end = 0;
        let turned = samples.iter().map(|sample| {
            let here = end..end + sample.points();
            end = here.end;
            sample.with_points(positions[here.clone()].to_vec(), velocities.as_ref().map(|all| all[here].to_vec()))
        });
        let found = predict(&turned.collect::<Vec<_>>());
        let numbers = found.iter().flat_map(|answer| answer.numbers().iter().map(|number| number - origin));
        vec![upload(numbers.collect(), width)]
    };
    let velocities: Vec<&[[f64; 3]]> = samples.iter().filter_map(Sample::velocities).collect();
    let positions = upload(samples.iter().flat_map(|sample| sample.positions().as_flattened().to_vec()).collect(), 3);
    let moving = (!velocities.is_empty()).then(|| upload(velocities.concat().concat(), 3));
    let inputs: Vec<Tensor<2>> = [positions].into_iter().chain(moving).collect();
    let sizes: Vec<usize> = samples.iter().map(Sample::points).collect();
    let map = PointFn::new(&sizes, &[POSITIONS, VELOCITIES][..inputs.len()], &[answer], device, DType::F32, answers);
    Some(local(&map, &inputs))
}

/// The mean of the numbers of answers; zero where all are the same.
fn mean_of_varying(answers: &[impl Answer]) -> f64 {
    let numbers: Vec<f64> = answers.iter().flat_map(|answer| answer.numbers().to_vec()).collect();
    let varies = numbers.windows(2).any(|pair| pair[0] != pair[1]);
    if varies { numbers.iter().sum::<f64>() / numbers.len() as f64 } else { 0.0 }
}

/// Samples on which layers are measured: each is measured again for all that come after it.
const FEW: usize = 8;

/// The errors of every layer of a network on the first of the motions; none without motions, or where the network does not say what its layers are.
pub fn layers<M: Dynamics>(model: &M, motions: &[Motion], device: &Device) -> PointLayerReports {
    let few = &motions[..motions.len().min(FEW)];
    let Some(first) = few.first() else { return PointLayerReports(Vec::new()) };
    let batch = MotionBatch::new(few, &MotionBatch::graph(few.len(), first.points(), device), device);
    reports(&model.node_layers(&batch), &batch.features())
}

/// The same of a network on samples of points, which sees them in `units`.
pub fn point_layers<M: PointModel>(
    model: &M,
    systems: &[PointSystem],
    units: &Units,
    device: &Device,
) -> PointLayerReports {
    let few = &systems[..systems.len().min(FEW)];
    if few.is_empty() {
        return PointLayerReports(Vec::new());
    }
    let batch = PointBatch::new(few, units, device);
    reports(&model.node_layers(&batch), &batch.features())
}

fn reports(network: &[NamedPointLayer], inputs: &[Tensor<2>]) -> PointLayerReports {
    match network {
        [] => PointLayerReports(Vec::new()),
        network => check_layers(network, inputs, &Trials::default()),
    }
}

/// The same as a study records them.
pub fn layer_errors(PointLayerReports(reports): PointLayerReports) -> Vec<LayerError> {
    let error = |PointLayerReport { name, own, accumulated }| LayerError {
        layer: name,
        exact: Some(own.error()),
        exact_so_far: Some(accumulated.error()),
        interpolated: None,
        resampling_floor: None,
    };
    reports.into_iter().map(error).collect()
}

/// The norm of all rows about their mean, or about zero where there is no other.
fn spread(answers: &[impl Answer]) -> f64 {
    let width = answers.first().map_or(1, Answer::width);
    let column = |k: usize| answers.iter().flat_map(move |answer| answer.numbers().iter().skip(k).step_by(width));
    let about = |mean: &dyn Fn(usize) -> f64| {
        (0..width).map(|k| column(k).map(|x| (x - mean(k)).powi(2)).sum::<f64>()).sum::<f64>().sqrt()
    };
    let means: Vec<f64> = (0..width).map(|k| column(k).sum::<f64>() / column(k).count() as f64).collect();
    let spread = about(&|k| means[k]);
    if spread == 0.0 { about(&|_| 0.0) } else { spread }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::nbody::{Motion, NBody};

    fn straight_on(motions: &[Motion]) -> Vec<Vec<[f64; 3]>> {
        let add = |(x, v): (&[f64; 3], &[f64; 3])| std::array::from_fn(|k| x[k] + 0.8 * v[k]);
        motions
            .iter()
            .map(|motion| motion.start.positions.iter().zip(&motion.start.velocities).map(add).collect())
            .collect()
    }

    #[test]
    fn straight_lines_are_equivariant() {
        let motions = NBody::new(0).test(4).unwrap();
        assert!(exact_error(straight_on, &motions).unwrap() < 1e-14);
        assert_eq!(exact_error(straight_on, &[]), None);
    }

    #[test]
    fn each_broken_symmetry_shows() {
        let motions = NBody::new(0).test(4).unwrap();
        let broken = |change: fn(usize, [f64; 3]) -> [f64; 3]| {
            let predict = |motions: &[Motion]| {
                let change = |x: Vec<[f64; 3]>| x.into_iter().enumerate().map(|(i, x)| change(i, x)).collect();
                straight_on(motions).into_iter().map(change).collect()
            };
            exact_error(predict, &motions).unwrap()
        };
        assert!(broken(|_, x| x) < 1e-14);
        // Neither rotations, nor translations, nor permutations.
        assert!(broken(|_, [x, y, z]| [x + 0.1, y, z]) > 1e-2);
        assert!(broken(|_, x| x.map(|x| 1.01 * x)) > 1e-3);
        assert!(broken(|i, x| if i == 0 { x.map(|x| x + 0.1) } else { x }) > 1e-2);
        assert!(broken(|_, _| [f64::NAN; 3]).is_nan());
    }

    #[cfg(feature = "flex")]
    #[test]
    fn small_turns_show_a_direction_in_space_and_nothing_else() {
        let (device, motions) = (Device::flex(), NBody::new(0).test(6).unwrap());
        let turned = |wind: f64| {
            let predict = |motions: &[Motion]| {
                let blow = |x: Vec<[f64; 3]>| x.into_iter().map(|[x, y, z]| [x + wind, y, z]).collect();
                straight_on(motions).into_iter().map(blow).collect()
            };
            small_turns(predict, &motions, &device).unwrap()
        };
        // A few eps^(2/3) in f32.
        let still = turned(0.0);
        assert!(still.relative < 3e-4 && still.input > 0.5, "{still:?}");
        let blown = turned(0.1);
        // A constant vector turns about the other two axes.
        assert!(blown.axes[0] < 3e-4 && blown.axes[1] > 2e-3 && blown.axes[2] > 2e-3, "{blown:?}");
        assert!((blown.axes[1] / blown.axes[2] - 1.0).abs() < 0.05, "{blown:?}");
        assert!(small_turns(straight_on, &[], &device).is_none());
    }

    #[cfg(feature = "flex")]
    #[test]
    fn small_turns_of_numbers_are_relative_to_how_much_they_vary() {
        use crate::data::points::{Neighbourhood, PointSample, PointTarget};

        let sample = |at: f64| PointSample {
            positions: vec![[at, 0.0, 0.0], [0.0, 1.0 + at, 0.0], [0.0, 0.0, 2.0]],
            velocities: None,
            species: Vec::new(),
            features: Vec::new(),
            target: PointTarget::Scalar(0.0),
        };
        let system = |at| PointSystem::new(&sample(at), [0.0; 3], &[], Neighbourhood::All).unwrap();
        let systems = [0.5, 1.0, 2.0].map(system);
        let turned = |systems: &[PointSystem], number: fn(&PointSystem) -> f64| {
            let predict =
                |systems: &[PointSystem]| systems.iter().map(|system| PointTarget::Scalar(number(system))).collect();
            small_turns(predict, systems, &Device::flex()).unwrap()
        };
        let length = |system: &PointSystem| 1000.0 + system.lengths().sum::<f64>();
        let along = |system: &PointSystem| 1000.0 + system.positions[0][0] - system.centre()[0];
        // A few eps^(2/3) in f32; beside the thousand a turn would be nothing.
        assert!(turned(&systems, length).relative < 3e-4, "{:?}", turned(&systems, length));
        let error = turned(&systems, along);
        assert!(error.relative > 0.1 && error.axes[0] < 3e-4 && error.axes[1] > 0.1, "{error:?}");
        // One number does not vary.
        let one = turned(&systems[..1], along).relative;
        assert!((1e-5..1e-2).contains(&one), "{one}");
    }

    #[cfg(feature = "flex")]
    #[test]
    fn layers_are_recorded_and_networks_without_any_have_none() {
        use equi_layers::graph::{LinearMotion, RawGnnConfig};

        let (device, motions) = (Device::flex(), NBody::new(0).test(FEW + 2).unwrap());
        let raw = RawGnnConfig::new(1, 8).with_edge_features(2).with_layers(1).with_seed(1).init(&device).unwrap();
        let errors = layer_errors(layers(&raw, &motions, &device));
        let names: Vec<&str> = errors.iter().map(|error| error.layer.as_str()).collect();
        assert_eq!(names, ["embedding", "layer 1", "shift"]);
        // Rounding in f32.
        assert!(errors[0].exact.unwrap() > 1e-2 && errors[1].exact.unwrap() < 1e-5, "{errors:?}");
        assert!(errors[1].exact_so_far.unwrap() > 1e-2 && errors[1].interpolated.is_none(), "{errors:?}");
        assert_eq!(layers(&raw, &motions[..FEW], &device), layers(&raw, &motions, &device));
        assert!(layers(&raw, &[], &device).0.is_empty());
        assert!(layers(&LinearMotion::new(1.0, &device), &motions, &device).0.is_empty());
    }
}
