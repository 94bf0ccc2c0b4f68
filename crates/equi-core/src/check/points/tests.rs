//! A map that is equivariant passes for every field; maps that are broken in one way fail, and only in that way.

use super::*;
use crate::action::space::PointField;
use crate::group::Permutation;
use crate::o3::{Irrep, SphericalHarmonics, wigner_3j};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};

/// Two graphs of different size, one alone and one with no node.
const GRAPHS: [usize; 4] = [5, 1, 0, 3];

const INPUTS: [PointFeature; 4] = [
    PointFeature::per_node(PointField::Scalar, 2),
    PointFeature::per_node(PointField::Position, 1),
    PointFeature::per_node(PointField::Vector, 1),
    PointFeature::per_graph(PointField::Pseudovector, 1),
];

const SCALAR: PointFeature = PointFeature::per_node(PointField::Scalar, 1);
const POSITION: PointFeature = PointFeature::per_node(PointField::Position, 1);
const VECTOR: PointFeature = PointFeature::per_node(PointField::Vector, 1);

/// A map of [`INPUTS`] on [`GRAPHS`].
fn map<F>(outputs: &[PointFeature], dtype: DType, function: F) -> PointFn<F>
where
    F: Fn(&[Tensor<2>], &Permutation) -> Vec<Tensor<2>>,
{
    PointFn::new(&GRAPHS, &INPUTS, outputs, &Device::flex(), dtype, function)
}

fn report(map: &impl PointMap) -> PointReport {
    outputs(map, &probe(map, 0), &Trials::default())
}

/// From graphs to their nodes, `[nodes, graphs]`: 1 where the node is of the graph.
fn membership(like: &Tensor<2>) -> Tensor<2> {
    let row = |graph: usize| (0..GRAPHS.len()).map(move |other| if other == graph { 1.0 } else { 0.0 });
    let values: Vec<f64> = GRAPHS.iter().enumerate().flat_map(|(g, &n)| (0..n).flat_map(move |_| row(g))).collect();
    let shape = [GRAPHS.iter().sum(), GRAPHS.len()];
    Tensor::from_data(TensorData::new(values, shape), (&like.device(), like.dtype()))
}

/// Differences to all nodes of all graphs, `[nodes, nodes, 3]`, and a weight that is zero between graphs, `[nodes, nodes, 1]`.
fn neighbours(h: &Tensor<2>, x: &Tensor<2>) -> (Tensor<3>, Tensor<3>) {
    let difference = x.clone().unsqueeze_dim::<3>(1) - x.clone().unsqueeze_dim(0);
    let square = (difference.clone() * difference.clone()).sum_dim(2);
    let members = membership(x);
    let same = members.clone().matmul(members.transpose()).unsqueeze_dim::<3>(2);
    let charge = h.clone().narrow(1, 0, 1);
    let pair = (charge.clone().unsqueeze_dim::<3>(1) * charge.unsqueeze_dim(0)).tanh();
    (difference, (-square * 0.5).exp() * pair * same)
}

/// The weighted sum of the differences to the neighbours.
fn pull(inputs: &[Tensor<2>]) -> Tensor<2> {
    let (difference, weight) = neighbours(&inputs[0], &inputs[1]);
    (difference * weight).sum_dim(1).squeeze_dim(1)
}

fn dot(a: &Tensor<2>, b: &Tensor<2>) -> Tensor<2> {
    (a.clone() * b.clone()).sum_dim(1)
}

/// One output of every field, for nodes and for graphs, that use all inputs.
fn everything(inputs: &[Tensor<2>]) -> Vec<Tensor<2>> {
    let [h, x, v, w] = [0, 1, 2, 3].map(|place| inputs[place].clone());
    let members = membership(&x);
    let (pull, field) = (pull(inputs), members.clone().matmul(w.clone()));
    let moved = x.clone() + pull.clone() + v.clone() * h.clone().narrow(1, 1, 1);
    let spin = v.clone().cross(pull.clone(), 1);
    let per_graph = |x: Tensor<2>| members.clone().transpose().matmul(x);
    vec![
        moved,
        Tensor::cat(vec![pull.clone(), field.clone().cross(v.clone(), 1)], 1),
        spin.clone() + field.clone(),
        dot(&v, &pull) + h.narrow(1, 0, 1),
        dot(&spin, &x.sub(members.clone().matmul(mean(&members, &inputs[1])))),
        per_graph(dot(&spin, &field)),
        per_graph(v) - w.clone().cross(per_graph(pull), 1),
    ]
}

/// Of every graph; zero without nodes.
fn mean(members: &Tensor<2>, x: &Tensor<2>) -> Tensor<2> {
    let count = members.clone().sum_dim(0).transpose().clamp_min(1.0);
    members.clone().transpose().matmul(x.clone()) / count
}

const EVERYTHING: [PointFeature; 7] = [
    POSITION,
    PointFeature::per_node(PointField::Vector, 2),
    PointFeature::per_node(PointField::Pseudovector, 1),
    SCALAR,
    PointFeature::per_node(PointField::Pseudoscalar, 1),
    PointFeature::per_graph(PointField::Scalar, 1),
    PointFeature::per_graph(PointField::Vector, 1),
];

#[test]
fn an_equivariant_map_of_every_field_passes() {
    // Rounding: about 40 terms of size 1 from coordinates of size 5.
    assert_point_equivariant!(map(&EVERYTHING, DType::F64, |x, _| everything(x)), 1e-13);
    assert_point_equivariant!(map(&EVERYTHING, DType::F32, |x, _| everything(x)), 2e-5);
}

#[test]
fn errors_in_f32_are_not_zero_and_name_their_element() {
    let report = report(&map(&EVERYTHING, DType::F32, |x, _| everything(x)));
    assert_eq!(report.errors.len(), 16);
    // Rotations and translations round; an error of zero would mean that nothing moved.
    assert!(report.error_of(Motion::Rotation).unwrap() > 1e-9, "{report}");
    assert!(report.error_of(Motion::Translation).unwrap() > 1e-9, "{report}");
    let text = report.to_string();
    for words in ["rotation by ", "reflection, rotation by ", "translation by (", "permutation that moves ", "per node"]
    {
        assert!(text.contains(words), "{text}");
    }
}

/// Asserts that exactly these motions fail, and by much.
fn assert_fails(map: &impl PointMap, broken: &[Motion]) {
    let report = report(map);
    for motion in Motion::ALL {
        let error = report.error_of(motion).unwrap();
        assert!(if broken.contains(&motion) { error > 1e-2 } else { error < 1e-12 }, "{motion}: {error}\n{report}");
    }
}

#[test]
fn raw_coordinates_are_caught() {
    let map = map(&[SCALAR], DType::F64, |inputs, _| vec![inputs[1].clone().narrow(1, 0, 1).tanh()]);
    assert_fails(&map, &[Motion::Rotation, Motion::Reflection, Motion::Translation]);
}

#[test]
fn coordinates_relative_to_the_origin_are_caught() {
    let map = map(&[POSITION], DType::F64, |inputs, _| vec![inputs[1].clone() * 1.1]);
    assert_fails(&map, &[Motion::Translation]);
}

#[test]
#[should_panic(expected = "outputs: equivariance error")]
fn the_macro_refuses_raw_coordinates() {
    assert_point_equivariant!(map(&[SCALAR], DType::F64, |inputs, _| vec![inputs[1].clone().narrow(1, 2, 1)]), 1e-3);
}

/// The triple product of velocity, pull and the pull of velocities, which a mirror turns into its opposite.
fn handedness(inputs: &[Tensor<2>]) -> Tensor<2> {
    let (difference, weight) = neighbours(&inputs[0], &inputs[1]);
    let square = (difference.clone() * difference.clone()).sum_dim(2);
    let second = (difference * weight * square).sum_dim(1).squeeze_dim(1);
    dot(&inputs[2].clone().cross(pull(inputs), 1), &second)
}

#[test]
fn a_chiral_map_that_claims_reflections_is_caught() {
    assert_fails(&map(&[SCALAR], DType::F64, |x, _| vec![handedness(x)]), &[Motion::Reflection]);
    // As a pseudoscalar it is what it says.
    let honest = PointFeature::per_node(PointField::Pseudoscalar, 1);
    assert_fails(&map(&[honest], DType::F64, |x, _| vec![handedness(x)]), &[]);
}

#[test]
fn a_chiral_map_may_claim_less() {
    let chiral = map(&[SCALAR], DType::F64, |x, _| vec![handedness(x)]).claiming(&Motion::PROPER);
    assert_point_equivariant!(chiral, 1e-12);
    assert_eq!(report(&chiral).error_of(Motion::Reflection), None);
}

#[test]
fn a_map_of_differences_may_claim_translations_and_permutations_alone() {
    let f = |inputs: &[Tensor<2>], _: &Permutation| vec![pull(inputs).narrow(1, 1, 1).tanh()];
    assert_point_equivariant!(
        map(&[SCALAR], DType::F64, f).claiming(&[Motion::Translation, Motion::Permutation]),
        1e-13
    );
    assert_fails(&map(&[SCALAR], DType::F64, f), &[Motion::Rotation, Motion::Reflection]);
}

#[test]
fn a_dependence_on_the_order_of_the_nodes_is_caught() {
    let f = |inputs: &[Tensor<2>], _: &Permutation| {
        let [nodes, _] = inputs[0].dims();
        let row = Tensor::<1, Int>::arange(0..nodes as i64, &inputs[0].device()).float().cast(DType::F64);
        vec![inputs[1].clone() + pull(inputs) * row.unsqueeze_dim(1)]
    };
    assert_fails(&map(&[POSITION], DType::F64, f), &[Motion::Permutation]);
}

/// Each node of the first graph sees the next one: edges of a chain that `place` puts into rows.
fn chain(inputs: &[Tensor<2>], place: impl Fn(usize) -> usize) -> Tensor<2> {
    let mut next: Vec<i64> = (0..9).collect();
    for node in 0..4 {
        next[place(node)] = place(node + 1) as i64;
    }
    let next = Tensor::<1, Int>::from_data(TensorData::new(next, [9]), &Device::flex());
    inputs[1].clone().select(0, next) - inputs[1].clone()
}

#[test]
fn a_graph_must_follow_its_nodes() {
    assert_fails(&map(&[VECTOR], DType::F64, |x, order| vec![chain(x, |node| order.image(node))]), &[]);
    assert_fails(&map(&[VECTOR], DType::F64, |x, _| vec![chain(x, |node| node)]), &[Motion::Permutation]);
}

#[test]
fn graphs_that_leak_into_each_other_are_caught() {
    // The centre of the whole batch: right if all graphs moved together.
    let f = |inputs: &[Tensor<2>], _: &Permutation| vec![inputs[1].clone() - inputs[1].clone().mean_dim(0)];
    assert_fails(&map(&[VECTOR], DType::F64, f), &[Motion::Rotation, Motion::Reflection, Motion::Translation]);
}

#[test]
fn nan_is_never_equivariant() {
    let f = |inputs: &[Tensor<2>], _: &Permutation| {
        let length = dot(&pull(inputs), &pull(inputs)).sqrt();
        // The graph of one node has length 0.
        vec![inputs[0].clone().narrow(1, 0, 1), length.clone() / length]
    };
    let map = map(&[SCALAR, SCALAR], DType::F64, f);
    let report = report(&map);
    assert_eq!(report.error(), f64::INFINITY);
    assert!(report.errors.iter().all(|error| error.worst == 1), "{report}");
    let caught = std::panic::catch_unwind(|| report.assert_within("outputs", 1e300));
    assert!(caught.is_err());
}

/// The part of degree `l3` of the product of two features, of degrees `l1` and `l2`.
fn product(a: Tensor<2>, b: Tensor<2>, l3: usize) -> Tensor<2> {
    let ([rows, d1], [_, d2]) = (a.dims(), b.dims());
    let table = wigner_3j((d1 - 1) / 2, (d2 - 1) / 2, l3).unwrap();
    let shape = [d1 * d2, 2 * l3 + 1];
    let table = Tensor::<2>::from_data(TensorData::new(table.values().to_vec(), shape), (&Device::flex(), a.dtype()));
    (a.unsqueeze_dim::<3>(2) * b.unsqueeze_dim(1)).reshape([rows, d1 * d2]).matmul(table)
}

#[test]
fn irreps_are_checked_with_their_parity() {
    let degree_2 = PointFeature::per_node(PointField::Irrep(Irrep::even(2)), 1);
    let inputs = [POSITION, degree_2, PointFeature::per_graph(PointField::Irrep(Irrep::odd(3)), 2)];
    let check = |outputs: &[PointFeature]| {
        PointFn::new(&GRAPHS, &inputs, outputs, &Device::flex(), DType::F64, |inputs, _| {
            let members = membership(&inputs[0]);
            let centre = members.clone().matmul(mean(&members, &inputs[0]));
            let harmonics = SphericalHarmonics::new([2]).with_normalize(false).forward(inputs[0].clone() - centre);
            let third = members.matmul(inputs[2].clone()).narrow(1, 7, 7);
            vec![harmonics.clone(), product(inputs[1].clone(), third, 4), product(harmonics, inputs[1].clone(), 1)]
        })
    };
    let irreps = |irreps: [Irrep; 3]| irreps.map(|irrep| PointFeature::per_node(PointField::Irrep(irrep), 1));
    let honest = check(&irreps([Irrep::even(2), Irrep::odd(4), Irrep::even(1)]));
    assert_point_equivariant!(honest, 1e-12);
    for wrong in [
        [Irrep::odd(2), Irrep::odd(4), Irrep::even(1)],
        [Irrep::even(2), Irrep::even(4), Irrep::even(1)],
        [Irrep::even(2), Irrep::odd(4), Irrep::odd(1)],
    ] {
        let map = check(&irreps(wrong));
        let report = outputs(&map, &probe(&map, 0), &Trials::default());
        assert!(report.error_of(Motion::Reflection).unwrap() > 1.0, "{report}");
        assert!(report.error_of(Motion::Rotation).unwrap() < 1e-12, "{report}");
    }
    assert_eq!(honest.outputs()[1].to_string(), "1 x 4o per node");
}

#[test]
#[should_panic(expected = "input gradients: equivariance error")]
fn a_wrong_gradient_fails_although_the_outputs_pass() {
    // The value is x, the gradient is not that of the identity.
    let f = |inputs: &[Tensor<2>], _: &Permutation| {
        let x = inputs[1].clone();
        vec![x.clone() + (x.clone() - x.clone().detach()) * x.detach()]
    };
    assert_point_equivariant!(map(&[POSITION], DType::F64, f), 1e-6);
}

#[test]
#[should_panic(expected = "input gradients: equivariance error inf")]
fn a_gradient_that_is_not_a_number_fails_although_the_outputs_pass() {
    // The length of the zero vector: a finite value with an infinite derivative.
    let f = |inputs: &[Tensor<2>], _: &Permutation| vec![dot(&pull(inputs), &pull(inputs)).sqrt()];
    assert_point_equivariant!(map(&[SCALAR], DType::F64, f), 1e-6);
}

#[test]
#[should_panic(expected = "no output of the map depends on an input")]
fn gradients_of_a_constant_are_refused() {
    let map = map(&[SCALAR], DType::F64, |inputs, _| vec![inputs[0].clone().detach().narrow(1, 0, 1)]);
    gradients(&map, &probe(&map, 0), &Trials::default());
}

#[test]
fn the_centre_of_mass_alone_has_a_spread_to_compare_with() {
    let centre = PointFeature::per_graph(PointField::Position, 1);
    let alone =
        PointFn::new(&[6], &[POSITION], &[centre], &Device::flex(), DType::F64, |x, _| vec![x[0].clone().mean_dim(0)]);
    assert_point_equivariant!(alone, 1e-14);
}

#[test]
fn digits_lost_far_from_the_origin_are_shown_and_not_hidden() {
    // Differences of positions are known to eps |t|, whatever the map does with them.
    let map = map(&[POSITION, VECTOR], DType::F32, |x, _| vec![x[1].clone() + pull(x), pull(x)]);
    let error = |distance: f64| {
        let trials = Trials { distance, ..Trials::default() };
        let report = outputs(&map, &probe(&map, 0), &trials);
        assert!((report.distance / (distance * 3f64.sqrt())).ln().abs() < 0.7, "{report}");
        report.error_of(Motion::Translation).unwrap()
    };
    let (near, far) = (error(1.0), error(1e4));
    assert!(near < 1e-6, "{near}");
    // 1e4 spreads away, eps = 6e-8 of that: between 1e-4 and 1e-2.
    assert!((1e-4..1e-2).contains(&far), "{far}");
}

#[test]
#[should_panic(expected = "the map claims no motion")]
fn a_map_that_claims_nothing_cannot_be_asserted() {
    assert_point_equivariant!(map(&[SCALAR], DType::F64, |x, _| vec![x[0].clone().narrow(1, 0, 1)]).claiming(&[]), 1.0);
}

#[test]
#[should_panic(expected = "output 0, 1 x vector per node, must be [9, 3]")]
fn an_output_of_another_shape_is_refused() {
    report(&map(&[VECTOR], DType::F64, |x, _| vec![x[0].clone()]));
}

#[test]
#[should_panic(expected = "the map says it has 4 inputs; there are 1")]
fn too_few_inputs_are_refused() {
    let map = map(&[SCALAR], DType::F64, |x, _| vec![x[0].clone().narrow(1, 0, 1)]);
    outputs(&map, &probe(&map, 0)[..1], &Trials::default());
}
