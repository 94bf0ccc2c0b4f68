//! Samples of points, from the test set to the file.

use equi_core::group::Isometry;

use super::samples::SAMPLES;
use super::*;
use crate::data::nbody::NBody;
use crate::data::points::{Neighbourhood, PointSample, PointSystem, PointTarget};
use crate::data::spatial::{Sample, centre};

#[test]
fn angles_go_once_around_and_contain_the_eighths() {
    let angles = angles();
    assert_eq!((angles.len(), angles[0], angles[1]), (48, 0.0, 7.5));
    for eighth in 0..8 {
        assert!(angles.contains(&(45.0 * f64::from(eighth))));
    }
}

#[test]
fn samples_and_answers_of_earlier_versions_are_read_and_those_of_this_one_come_back() {
    let text = r#"{"angles":[0.0],"samples":[
        {"kind":"points","place":3,"charges":[1.0],"start":[[0.5,0.0,0.0]],"velocities":[[1.0,0.0,0.0]],"end":[[1.5,0.0,0.0]]},
        {"kind":"image","place":0,"label":1,"size":[1,1],"height":1,"width":1,"range":[0.0,1.0],"levels":[7]}]}"#;
    let Turning { samples, .. } = serde_json::from_str(text).unwrap();
    assert!(matches!(&samples[0], TurnedSample::Points { place: 3, end, .. } if end[0] == [1.5, 0.0, 0.0]));
    assert!(matches!(&samples[1], TurnedSample::Image { label: 1, channels: 1, levels, .. } if levels[..] == [7]));
    let answers: Vec<TurnedAnswer> =
        serde_json::from_str(r#"[{"positions":[[1.0,null,0.0]]},{"classes":[1],"probabilities":[[1.0]]}]"#).unwrap();
    assert!(matches!(&answers[0], TurnedAnswer::Positions { positions } if positions[0][1].is_nan()));
    assert!(matches!(&answers[1], TurnedAnswer::Classes { classes, .. } if classes[..] == [1]));
    let vectors = PointTarget::Vectors(vec![[0.5, 0.25, 0.0]; 2]);
    for target in [PointTarget::Scalar(2.5), vectors] {
        let kept = Turning::of_points(&[system(2, target)]).unwrap();
        assert_eq!(serde_json::from_str::<Turning>(&serde_json::to_string(&kept).unwrap()).unwrap(), kept);
    }
}

#[test]
fn motions_turn_about_their_centre_and_large_systems_are_left_out() {
    let motions = NBody::new(0).test(8).unwrap();
    let quarter = Isometry::rotation([0.0, 0.0, 1.0], std::f64::consts::FRAC_PI_2).unwrap();
    let turned = motions[0].about_centre(quarter);
    let (before, after) = (centre(&motions[0].start.positions), centre(&turned.start.positions));
    for k in 0..3 {
        assert!((before[k] - after[k]).abs() < 1e-12);
    }
    let [x, y, z] = motions[0].end[0];
    let expected = [before[0] - (y - before[1]), before[1] + (x - before[0]), z];
    for (found, expected) in turned.end[0].iter().zip(expected) {
        assert!((found - expected).abs() < 1e-12, "counter-clockwise, seen from above");
    }
    assert_eq!(Turning::of_points(&motions).unwrap().samples.len(), SAMPLES);
    let crowd = |count: usize| {
        let mut motion = motions[0].clone();
        let repeat = |points: &[[f64; 3]]| points.iter().copied().cycle().take(count).collect::<Vec<_>>();
        motion.start.charges = vec![1.0; count];
        motion.start.velocities = repeat(&motion.start.velocities);
        motion.start.positions = repeat(&motion.start.positions);
        motion.end = repeat(&motion.end);
        vec![motion; 8]
    };
    assert_eq!(Turning::of_points(&crowd(20)).unwrap().samples.len(), 3);
    assert_eq!(Turning::of_points(&crowd(61)), None);
}

/// A sample of points on the x axis.
fn system(points: usize, target: PointTarget) -> PointSystem {
    let sample = PointSample {
        positions: (0..points).map(|at| [at as f64 / 3.0, 0.0, 0.0]).collect(),
        velocities: None,
        species: Vec::new(),
        features: Vec::new(),
        target,
    };
    PointSystem::new(&sample, [0.0; 3], &[], Neighbourhood::All).unwrap()
}

#[test]
fn wide_samples_are_left_out_and_the_others_keep_their_places() {
    let of = |counts: &[usize]| -> Vec<usize> {
        let systems: Vec<PointSystem> = counts.iter().map(|&n| system(n, PointTarget::Scalar(0.0))).collect();
        first(&systems).into_iter().map(|(place, _)| place).collect()
    };
    assert_eq!(of(&[61, 4, 50, 7, 6, 61, 1]), [1, 2, 4]);
    assert_eq!(of(&[2; 9]), [0, 1, 2, 3, 4, 5]);
    assert!(of(&[61, 70]).is_empty() && of(&[]).is_empty());
}

#[test]
fn numbers_keep_digits_of_what_varies_and_vectors_of_their_coordinates() {
    let numbers = [-40_000.123_456_78, -39_999.823_456_78].map(|number| system(2, PointTarget::Scalar(number)));
    let Turning { samples, .. } = Turning::of_points(&numbers).unwrap();
    let kept: Vec<f64> = samples
        .iter()
        .map(|sample| match sample {
            TurnedSample::Number { number, .. } => *number,
            other => panic!("{other:?}"),
        })
        .collect();
    // They differ by three tenths.
    assert_eq!(kept, [-40_000.123_457, -39_999.823_457]);
    let alike = [system(2, PointTarget::Scalar(12.345_678_9))];
    let TurnedSample::Number { number, .. } = Turning::of_points(&alike).unwrap().samples[0] else { panic!() };
    assert_eq!(number, 12.3457);
    let vectors = [system(2, PointTarget::Vectors(vec![[1.0 / 3.0, 0.0, 200.0 / 3.0], [0.0; 3]]))];
    let TurnedSample::Vectors { positions, vectors, .. } = &Turning::of_points(&vectors).unwrap().samples[0] else {
        panic!("vectors")
    };
    assert_eq!((vectors[0], positions[1]), ([0.3333, 0.0, 66.6667], [0.333_333, 0.0, 0.0]));
}
