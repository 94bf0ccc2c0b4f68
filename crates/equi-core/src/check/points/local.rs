//! Equivariance to small turns of points: the derivative along the rotations.

use burn::tensor::{DType, Tensor};

use super::super::measure::{norm, ratio, values, worst};
use super::map::{Motion, PointFeature, PointMap, Rows};
use super::report::{Move, Moves, Trials};
use crate::action::space::PointField;
use crate::group::Isometry;

/// What small turns do to a map of points.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PointLocalError {
    /// `|L f(x)| / |f(x)|`, per radian, the root mean square over all axes: zero for an equivariant map.
    pub relative: f64,
    /// The same about `x`, `y` and `z`.
    pub axes: [f64; 3],
    /// How fast the inputs themselves turn away, `|d/dt (t . x)| / |x|`, as `relative`: the size of an error that means no symmetry at all.
    pub input: f64,
}

/// The Lie derivative of a map of points by the three rotations `J` in space,
///
/// ```text
/// L f(x) = d/dt exp(-t J) . f(exp(t J) . x)   at t = 0
/// ```
///
/// in the L2 norm, relative as in [`outputs`](super::outputs); of several outputs the one with the largest error counts. Every graph turns about the centroid of its positions, about
/// the origin if it has none. The mean square over the three axes is that over all axes, however the points lie.
///
/// It is a central difference with a step of the cube root of the unit of rounding, `eps^(1/3)`: 6e-6 in f64, 5e-3 in other precisions. There the error of the difference,
/// `eps^(2/3)` of third derivatives, is as large as what rounding leaves of an equivariant map, a few `eps^(2/3)`: 4e-11 in f64, 2e-5 in f32.
///
/// # Panics
/// If inputs or outputs have other shapes than the map says.
pub fn local(map: &impl PointMap, inputs: &[Tensor<2>]) -> PointLocalError {
    let moves = Moves::new(map, inputs, &Trials { elements: 0, ..Trials::default() });
    let step = match inputs[0].dtype() {
        DType::F64 => f64::EPSILON,
        _ => f64::from(f32::EPSILON),
    }
    .cbrt();
    let centres = centres(&moves.graphs, inputs, &moves.inputs);
    let turn = |axis: usize, angle: f64| {
        let mut direction = [0.0; 3];
        direction[axis] = 1.0;
        let about = |centre: &[f64; 3]| {
            let there = Isometry::translation(*centre).unwrap_or(Isometry::IDENTITY);
            let turn = Isometry::rotation(direction, angle).expect("an axis has a direction");
            there * turn * there.inverse()
        };
        Move { motion: Motion::Rotation, isometries: centres.iter().map(about).collect(), order: moves.unmoved() }
    };
    let turned = |axis, angle| moves.act(&turn(axis, angle), inputs, &moves.inputs);
    let back = |axis, angle| {
        let outputs = moves.forward(map, &turned(axis, angle), &moves.unmoved());
        moves.act(&turn(axis, -angle), &outputs, &moves.outputs)
    };
    // For every axis the derivative of every feature, relative to the feature.
    let derivatives = |along: &dyn Fn(usize, f64) -> Vec<Tensor<2>>, of: &[Tensor<2>], features: &[PointFeature]| {
        let scales: Vec<f64> = of.iter().zip(features).map(|(x, feature)| moves.scale(x, feature.field).0).collect();
        [0, 1, 2].map(|axis| {
            let ends = along(axis, step).into_iter().zip(along(axis, -step));
            let quotients = ends.zip(&scales).map(|((ahead, behind), &scale)| {
                let difference: Vec<f64> = values(ahead).iter().zip(values(behind)).map(|(a, b)| a - b).collect();
                ratio(norm(&difference) / (2.0 * step), scale)
            });
            quotients.collect::<Vec<f64>>()
        })
    };
    let outputs = moves.forward(map, inputs, &moves.unmoved());
    let of_map = derivatives(&back, &outputs, &moves.outputs);
    let of_inputs = derivatives(&turned, inputs, &moves.inputs);
    PointLocalError {
        relative: over_axes(&of_map),
        axes: [0, 1, 2].map(|axis| worst(of_map[axis].iter().copied())),
        input: over_axes(&of_inputs),
    }
}

/// The root mean square over the axes of the feature for which it is largest.
fn over_axes([x, y, z]: &[Vec<f64>; 3]) -> f64 {
    worst(x.iter().zip(y).zip(z).map(|((x, y), z)| ((x * x + y * y + z * z) / 3.0).sqrt()))
}

/// The centroid of the positions of every graph; the origin where there are none.
fn centres(graphs: &[usize], inputs: &[Tensor<2>], features: &[PointFeature]) -> Vec<[f64; 3]> {
    let mut sums = vec![([0.0; 3], 0.0); graphs.len()];
    let of_nodes = |feature: &PointFeature| feature.field == PointField::Position && feature.rows == Rows::Nodes;
    for (x, feature) in inputs.iter().zip(features).filter(|(_, feature)| of_nodes(feature)) {
        let values = values(x.clone());
        let mut points = values.chunks_exact(3);
        for ((sum, count), nodes) in sums.iter_mut().zip(graphs) {
            for point in points.by_ref().take(nodes * feature.channels) {
                sum.iter_mut().zip(point).for_each(|(sum, x)| *sum += x);
                *count += 1.0;
            }
        }
    }
    sums.into_iter().map(|(sum, count)| if count > 0.0 { sum.map(|x| x / count) } else { sum }).collect()
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::action::space::act;
    use crate::check::points::{PointFn, probe};
    use crate::group::Permutation;
    use crate::o3::{Irrep, SphericalHarmonics};
    use burn::tensor::Device;

    const NODES: [usize; 1] = [7];
    const POSITION: PointFeature = PointFeature::per_node(PointField::Position, 1);
    const VECTOR: PointFeature = PointFeature::per_node(PointField::Vector, 1);

    fn map<F>(graphs: &[usize], outputs: &[PointFeature], dtype: DType, f: F) -> PointFn<F>
    where
        F: Fn(&[Tensor<2>], &Permutation) -> Vec<Tensor<2>>,
    {
        PointFn::new(graphs, &[POSITION, VECTOR], outputs, &Device::flex(), dtype, f)
    }

    /// Where the positions go along the velocities, and harmonics of degree 2.
    fn honest(x: &[Tensor<2>], _: &Permutation) -> Vec<Tensor<2>> {
        let square = (x[1].clone() * x[1].clone()).sum_dim(1);
        let harmonics = SphericalHarmonics::new([2]).with_normalize(false).forward(x[1].clone());
        vec![x[0].clone() + x[1].clone() * square.clone().tanh(), harmonics, square]
    }

    #[test]
    fn equivariant_maps_have_none() {
        let scalar = PointFeature::per_node(PointField::Scalar, 1);
        let outputs = [POSITION, PointFeature::per_node(PointField::Irrep(Irrep::even(2)), 1), scalar];
        // A few eps^(2/3).
        for (dtype, tolerance) in [(DType::F64, 1e-9), (DType::F32, 3e-4)] {
            let map = map(&[4, 0, 1, 5], &outputs, dtype, honest);
            let error = local(&map, &probe(&map, 2));
            assert!(error.relative < tolerance && error.axes.iter().all(|&axis| axis < tolerance), "{error:?}");
            assert!(error.input > 0.5, "{error:?}");
        }
    }

    #[test]
    fn vectors_taken_for_scalars_turn_as_their_generators_say() {
        // sum over J of |J v|^2 = 2 |v|^2, so the root of the mean is sqrt(2/3), and for positions that over sqrt 2: they are relative to their
        // distances and to the spread.
        let numbers = PointFeature::per_node(PointField::Scalar, 3);
        for (dtype, tolerance) in [(DType::F64, 1e-9), (DType::F32, 3e-4)] {
            let map = map(&NODES, &[numbers], dtype, |x, _| vec![x[1].clone()]);
            let mut inputs = probe(&map, 5);
            let near = local(&map, &inputs);
            let expected = (2.0_f64 / 3.0).sqrt();
            assert!(
                (near.relative - expected).abs() < tolerance && (near.input - expected).abs() < tolerance,
                "{near:?}"
            );
            let about_axes = (near.axes.iter().map(|axis| axis * axis).sum::<f64>() / 3.0).sqrt();
            assert!((about_axes - near.relative).abs() < 1e-12, "one output: {near:?}");
            // Graphs turn about their own centre, wherever that is.
            inputs[0] = inputs[0].clone() + 4.0;
            assert!((local(&map, &inputs).relative - near.relative).abs() < tolerance);
        }
    }

    #[test]
    fn it_is_the_slope_of_the_error_of_small_rotations() {
        let broken = |x: &[Tensor<2>], _: &Permutation| vec![x[1].clone() + (x[0].clone() * 0.7).sin()];
        let map = map(&NODES, &[VECTOR], DType::F64, broken);
        let inputs = probe(&map, 1);
        let error = local(&map, &inputs);
        let plain = values(map.forward(&inputs, &Permutation::identity(7)).remove(0));
        let positions = values(inputs[0].clone());
        let centre = [0, 1, 2].map(|k| positions.iter().skip(k).step_by(3).sum::<f64>() / 7.0);
        let there = Isometry::translation(centre).unwrap();
        for (axis, &slope) in error.axes.iter().enumerate() {
            let mut direction = [0.0; 3];
            direction[axis] = 1.0;
            let angle = 1e-5;
            let g = there * Isometry::rotation(direction, angle).unwrap() * there.inverse();
            let moved =
                [act(&g, inputs[0].clone(), PointField::Position), act(&g, inputs[1].clone(), PointField::Vector)];
            let output = map.forward(&moved, &Permutation::identity(7)).remove(0);
            let back = values(act(&g.inverse(), output, PointField::Vector));
            let difference: Vec<f64> = back.iter().zip(&plain).map(|(a, b)| a - b).collect();
            let finite = norm(&difference) / norm(&plain) / angle;
            // The next term is as large as the angle.
            assert!(slope > 0.01 && (finite / slope - 1.0).abs() < 1e-3, "{axis}: {finite} {slope}");
        }
    }

    #[test]
    fn what_is_not_a_number_is_never_small() {
        let map = map(&NODES, &[VECTOR], DType::F64, |x, _| vec![x[1].clone() * f64::NAN]);
        assert_eq!(local(&map, &probe(&map, 0)).relative, f64::INFINITY);
    }
}
