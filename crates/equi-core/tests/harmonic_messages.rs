//! Messages with spherical harmonics in the frames of the edges, against the same by way of the harmonics, and their gradients against differences.

#![cfg(any(feature = "flex", feature = "wgpu"))]

mod common;

use std::sync::Arc;

use burn::tensor::{DType, Device, Tensor};
use equi_core::group::Isometry;
use equi_core::o3::{Irreps, Normalization, SphericalHarmonics};
use equi_core::ops::{
    CoupledPath, Couplings, HarmonicCouplings, MessageForm, Segments, harmonic_messages, uvu_messages,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use common::{Setting, upload, values};

fn settings() -> Vec<Setting> {
    common::settings(1e-5, 1e-12, 1e-5)
}

/// The first of them in double precision.
fn double() -> Setting {
    settings().into_iter().find(|setting| setting.dtype == DType::F64).expect("flex is compiled in")
}

fn numbers(count: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
    (0..count).map(|_| rng.random_range(-1.0..1.0)).collect()
}

/// Features, harmonics and outputs, and the graph between them.
struct Case {
    first: Irreps,
    out: Irreps,
    harmonics: SphericalHarmonics,
    couplings: Arc<Couplings>,
    senders: Vec<usize>,
    receivers: Vec<usize>,
}

/// Nodes that send, and nodes that receive; the last of either has no edge.
const NODES: [usize; 2] = [5, 4];

impl Case {
    /// All paths in no order. Those of one block of features to one irrep share a block of the output, or, every third path, have one of their own.
    fn new(first: &str, harmonics: SphericalHarmonics, lmax: usize, rng: &mut ChaCha8Rng) -> Self {
        let first: Irreps = first.parse().expect("irreps");
        let second = harmonics.irreps();
        let (mut blocks, mut paths) = (Vec::new(), Vec::new());
        for (a, x) in first.blocks().iter().enumerate() {
            for (b, y) in second.blocks().iter().enumerate() {
                for irrep in x.irrep.product(y.irrep).filter(|irrep| irrep.l <= lmax) {
                    let block = (x.mul, irrep);
                    let known = blocks.iter().position(|known| *known == block).filter(|_| rng.random_range(0..3) > 0);
                    let out = known.unwrap_or(blocks.len());
                    if out == blocks.len() {
                        blocks.push(block);
                    }
                    let path = CoupledPath { first: a, second: b, out, coefficient: rng.random_range(0.5..1.5) };
                    paths.insert(rng.random_range(0..=paths.len()), path);
                }
            }
        }
        let out: Irreps = blocks.into_iter().collect();
        let couplings = Arc::new(Couplings::uvu(&first, &second, &out, &paths).expect("paths"));
        let edge = |_| [rng.random_range(0..NODES[0] - 1), rng.random_range(0..NODES[1] - 1)];
        let edges: Vec<[usize; 2]> = (0..12).map(edge).collect();
        let ends = |end: usize| edges.iter().map(|edge| edge[end]).collect();
        Self { first, out, harmonics, couplings, senders: ends(0), receivers: ends(1) }
    }

    fn edges(&self) -> usize {
        self.senders.len()
    }

    /// Features, vectors and weights.
    fn inputs(&self, shared: bool, rng: &mut ChaCha8Rng) -> [Vec<f64>; 3] {
        let weights = if shared { 1 } else { self.edges() } * self.couplings.weights();
        [NODES[0] * self.first.dim(), 3 * self.edges(), weights].map(|count| numbers(count, rng))
    }

    fn shapes(&self, inputs: &[Vec<f64>; 3]) -> [[usize; 2]; 3] {
        let weights = self.couplings.weights();
        [[NODES[0], self.first.dim()], [self.edges(), 3], [inputs[2].len() / weights, weights]]
    }

    fn couplings(&self, form: MessageForm) -> Arc<HarmonicCouplings> {
        let couplings = HarmonicCouplings::new(self.couplings.clone(), &self.harmonics).expect("the harmonics");
        Arc::new(couplings.with_form(form))
    }

    fn segments(&self, device: &Device) -> [Segments; 2] {
        [(&self.senders, NODES[0]), (&self.receivers, NODES[1])]
            .map(|(ids, count)| Segments::new(ids.clone(), count, device).expect("segments"))
    }

    /// The messages, in a form or by way of the harmonics.
    fn messages(&self, inputs: [Tensor<2>; 3], form: Option<MessageForm>) -> Tensor<2> {
        let [x, r, w] = inputs;
        let [senders, receivers] = self.segments(&x.device());
        match form {
            Some(form) => harmonic_messages(x, r, w, &self.couplings(form), &senders, &receivers),
            None => uvu_messages(x, self.harmonics.forward(r), w, &self.couplings, &senders, &receivers),
        }
    }

    /// The messages, and the gradients of their product with numbers that have no pattern, by the inputs that are tracked.
    fn evaluate(
        &self,
        inputs: &[Vec<f64>; 3],
        setting: &Setting,
        tracked: [bool; 3],
        form: Option<MessageForm>,
    ) -> Vec<Option<Vec<f64>>> {
        let (device, shapes) = (setting.device.clone().autodiff(), self.shapes(inputs));
        let inputs = [0, 1, 2].map(|place| {
            let input = upload(&inputs[place], shapes[place], &device, setting.dtype);
            if tracked[place] { input.require_grad() } else { input }
        });
        let output = self.messages(inputs.clone(), form);
        let weights = numbers(NODES[1] * self.out.dim(), &mut ChaCha8Rng::seed_from_u64(9));
        let weights = upload(&weights, output.dims(), &device, setting.dtype);
        let mut all = vec![Some(values(output.clone().inner()))];
        if tracked.contains(&true) {
            let gradients = (output * weights).sum().backward();
            all.extend(inputs.iter().map(|input| input.grad(&gradients).map(values)));
        }
        all
    }
}

fn assert_close(what: &str, given: &[f64], wanted: &[f64], tolerance: f64) {
    assert_eq!(given.len(), wanted.len(), "{what}");
    let scale = wanted.iter().fold(1e-30, |scale: f64, value| scale.max(value.abs()));
    for (place, (given, wanted)) in given.iter().zip(wanted).enumerate() {
        assert!((given - wanted).abs() <= tolerance * scale, "{what}, number {place}: {given} for {wanted} of {scale}");
    }
}

/// The aligned form against the direct one, with all gradients, together and each alone.
fn assert_forms_agree(what: &str, case: &Case, inputs: &[Vec<f64>; 3], setting: &Setting) {
    let wanted = case.evaluate(inputs, setting, [true; 3], None);
    for form in [MessageForm::Aligned, MessageForm::Direct] {
        let given = case.evaluate(inputs, setting, [true; 3], Some(form));
        for (place, (given, wanted)) in given.iter().zip(&wanted).enumerate() {
            let (given, wanted) = (given.as_ref().expect("a gradient"), wanted.as_ref().expect("a gradient"));
            assert_close(&format!("{what}, {form:?}, output {place}"), given, wanted, setting.tolerance);
        }
        for place in 0..3 {
            let tracked = [0, 1, 2].map(|other| other == place);
            let alone = case.evaluate(inputs, setting, tracked, Some(form)).swap_remove(place + 1);
            let what = format!("{what}, {form:?}, gradient {place} alone");
            assert_close(&what, &alone.expect("a gradient"), given[place + 1].as_ref().expect("one"), 1e-14);
        }
    }
}

fn harmonics(degrees: &[usize]) -> SphericalHarmonics {
    SphericalHarmonics::new(degrees.to_vec())
}

/// Copies fewer and more than a vector, parities, several blocks of a degree, degrees in any order and twice, degrees beyond the kernels of seven orders.
fn cases() -> Vec<Case> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut cases = vec![
        Case::new("1x0e", harmonics(&[0]), 0, &mut rng),
        Case::new("3x0e+2x1o", harmonics(&[0, 1]), 1, &mut rng),
        Case::new("2x1e+3x0e+2x1o+1x1o", harmonics(&[2, 0, 1, 2]), 3, &mut rng),
        Case::new("17x2e+5x3o+1x3e", harmonics(&[1, 2, 3]), 4, &mut rng),
        Case::new("2x5o+1x4e+3x6e", harmonics(&[6, 3, 0, 5]), 6, &mut rng),
        Case::new("1x8e+1x7o", harmonics(&[2, 9]), 9, &mut rng),
    ];
    for _ in 0..4 {
        let block = |_: usize| {
            let parity = if rng.random_bool(0.5) { "e" } else { "o" };
            format!("{}x{}{parity}", rng.random_range(1..20), rng.random_range(0..=6))
        };
        let first: Vec<String> = (0..3).map(block).collect();
        let degrees: Vec<usize> = (0..4).map(|_| rng.random_range(0..=6)).collect();
        cases.push(Case::new(&first.join("+"), harmonics(&degrees), 6, &mut rng));
    }
    cases
}

#[test]
fn both_forms_are_messages_by_way_of_the_harmonics() {
    for setting in settings() {
        for (number, mut case) in cases().into_iter().enumerate() {
            for (normalization, normalize) in [
                (Normalization::Component, true),
                (Normalization::Component, false),
                (Normalization::Integral, true),
                (Normalization::Norm, false),
            ] {
                case.harmonics = case.harmonics.with_normalization(normalization).with_normalize(normalize);
                for shared in [true, false] {
                    let mut inputs = case.inputs(shared, &mut ChaCha8Rng::seed_from_u64(2));
                    // No shorter than a fifth, so that gradients by directions are of one size.
                    for vector in inputs[1].as_chunks_mut::<3>().0 {
                        vector[1] += 0.2f64.copysign(vector[1]);
                    }
                    let what = format!("case {number}, {normalization:?} of {normalize} directions, shared {shared}");
                    assert_forms_agree(&what, &case, &inputs, &setting);
                }
            }
        }
    }
}

/// The poles of the frames, where their longitude is undetermined, and what is close to them; an axis, and lengths far from one.
const SPECIAL: [[f64; 3]; 12] = [
    [0.0, 1.0, 0.0],
    [0.0, -1.0, 0.0],
    [1e-9, 1.0, 0.0],
    [0.0, -1.0, 1e-9],
    [-1e-5, 0.7, 1e-5],
    [1e-160, -1.0, 1e-170],
    [1e-3, -1.2, -1e-4],
    [1.0, 0.0, 0.0],
    [0.0, 0.0, -1.0],
    [-1.0, 1e-12, 0.0],
    [0.6, -0.8, 0.0],
    [-0.3, 0.4, 1.2],
];

#[test]
fn poles_are_like_any_other_direction() {
    for setting in settings() {
        for (number, mut case) in cases().into_iter().enumerate() {
            for normalize in [true, false] {
                case.harmonics = case.harmonics.with_normalize(normalize);
                let mut inputs = case.inputs(false, &mut ChaCha8Rng::seed_from_u64(3));
                inputs[1] = SPECIAL.as_flattened().to_vec();
                assert_forms_agree(&format!("case {number}, {normalize}"), &case, &inputs, &setting);
            }
        }
    }
}

/// Edges without a direction, between coincident points, among others: as harmonics have it, and with finite gradients.
#[test]
fn vectors_without_a_direction_are_those_of_the_harmonics() {
    for setting in settings() {
        for (number, mut case) in cases().into_iter().enumerate() {
            for normalize in [true, false] {
                case.harmonics = case.harmonics.with_normalize(normalize);
                for shared in [true, false] {
                    let mut inputs = case.inputs(shared, &mut ChaCha8Rng::seed_from_u64(4));
                    inputs[1] = SPECIAL.as_flattened().to_vec();
                    inputs[1][..3].fill(0.0);
                    inputs[1][12..15].copy_from_slice(&[3e-13, -4e-13, 1e-13]);
                    inputs[1][27..30].fill(0.0);
                    assert_forms_agree(&format!("case {number}, {normalize}"), &case, &inputs, &setting);
                }
            }
        }
    }
}

/// Central differences of the messages by some numbers of every input. The step balances the error of the difference, its square, against that of rounding,
/// its inverse.
#[cfg(feature = "flex")]
#[test]
fn gradients_are_limits_of_differences() {
    const STEP: f64 = 1e-5;
    let setting = double();
    let untracked = [false; 3];
    for (number, mut case) in cases().into_iter().enumerate() {
        for normalize in [true, false] {
            case.harmonics = case.harmonics.with_normalize(normalize);
            let mut inputs = case.inputs(number % 2 == 0, &mut ChaCha8Rng::seed_from_u64(5));
            inputs[1][..6].copy_from_slice(&[0.0, 0.9, 0.0, 0.0, -1.1, 0.0]);
            for vector in inputs[1].as_chunks_mut::<3>().0 {
                vector[1] += 0.4f64.copysign(vector[1]);
            }
            let gradients = case.evaluate(&inputs, &setting, [true; 3], Some(MessageForm::Aligned));
            let weights = numbers(NODES[1] * case.out.dim(), &mut ChaCha8Rng::seed_from_u64(9));
            let loss = |inputs: &[Vec<f64>; 3]| -> f64 {
                let output = case.evaluate(inputs, &setting, untracked, Some(MessageForm::Aligned)).swap_remove(0);
                output.expect("messages").iter().zip(&weights).map(|(output, weight)| output * weight).sum()
            };
            for place in 0..3 {
                let gradient = gradients[place + 1].as_ref().expect("a gradient");
                let scale = gradient.iter().fold(1.0, |scale: f64, value| scale.max(value.abs()));
                for entry in (0..gradient.len()).step_by(gradient.len().div_ceil(36)) {
                    let moved = |by: f64| {
                        let mut inputs = inputs.clone();
                        inputs[place][entry] += by;
                        loss(&inputs)
                    };
                    let difference = (moved(STEP) - moved(-STEP)) / (2.0 * STEP);
                    let error = (gradient[entry] - difference).abs() / scale;
                    let what = format!("case {number}, {normalize}, gradient {place}, number {entry}");
                    assert!(error < 1e-7, "{what}: {} for {difference} of {scale}", gradient[entry]);
                }
            }
        }
    }
}

/// `f(D x, R r) = D f(x, r)`, with inversions.
#[cfg(feature = "flex")]
#[test]
fn messages_turn_with_features_and_vectors() {
    let setting = double();
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    for (number, case) in cases().into_iter().enumerate() {
        let inputs = case.inputs(false, &mut rng);
        let shapes = case.shapes(&inputs);
        let input = |place: usize| upload(&inputs[place], shapes[place], &setting.device, setting.dtype);
        let messages = |x, r| case.messages([x, r, input(2)], Some(MessageForm::Aligned));
        for g in [Isometry::random_rotation(&mut rng), Isometry::random_rotation(&mut rng) * Isometry::INVERSION] {
            let act = |irreps: &Irreps, rows: Tensor<2>| {
                // Stored by columns, the matrix is its transpose by rows.
                let matrix = irreps.matrix(&g);
                rows.matmul(upload(matrix.as_slice(), [irreps.dim(); 2], &setting.device, setting.dtype))
            };
            let vectors: Irreps = "1o".parse().expect("irreps");
            let given = messages(act(&case.first, input(0)), act(&vectors, input(1)));
            let wanted = act(&case.out, messages(input(0), input(1)));
            assert_close(&format!("case {number}, {g}"), &values(given), &values(wanted), setting.tolerance);
        }
    }
}

/// Enough for pieces of work on several threads, and weights whose gradients several pieces add up.
#[cfg(feature = "flex")]
#[test]
fn messages_do_not_depend_on_threads() {
    let setting = double();
    let mut case = Case::new("16x0e+16x1o+16x3o", harmonics(&[0, 1, 2, 3]), 3, &mut ChaCha8Rng::seed_from_u64(7));
    case.senders = (0..900).map(|edge| edge * 7 % 5).collect();
    case.receivers = (0..900).map(|edge| edge * 3 % 4).collect();
    for shared in [true, false] {
        let inputs = case.inputs(shared, &mut ChaCha8Rng::seed_from_u64(8));
        let all = || case.evaluate(&inputs, &setting, [true; 3], Some(MessageForm::Aligned));
        let pool = |threads: usize| rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        let alone = pool(1).install(all);
        for threads in [2, 3] {
            assert!(pool(threads).install(all) == alone, "{threads} threads");
        }
    }
}

#[test]
fn without_edges_messages_are_zero() {
    for setting in settings() {
        let mut case = cases().remove(1);
        (case.senders, case.receivers) = (vec![], vec![]);
        let inputs = [vec![1.0; NODES[0] * case.first.dim()], vec![], vec![1.0; case.couplings.weights()]];
        for form in [MessageForm::Aligned, MessageForm::Direct] {
            let output = case.evaluate(&inputs, &setting, [false; 3], Some(form)).swap_remove(0);
            assert_eq!(output.expect("messages"), vec![0.0; NODES[1] * case.out.dim()]);
        }
    }
}

/// Low degrees to blocks of their own are direct; many paths between the same blocks are not.
#[test]
fn the_form_is_the_cheaper_one() {
    let all = |lmax: usize, shared: bool| {
        let first: Irreps = (0..=lmax).map(|l| (8, SphericalHarmonics::new([l]).irreps().blocks()[0].irrep)).collect();
        let harmonics = SphericalHarmonics::up_to(lmax);
        let second = harmonics.irreps();
        let (mut blocks, mut paths) = (first.blocks().iter().map(|b| (b.mul, b.irrep)).collect::<Vec<_>>(), vec![]);
        for (a, x) in first.blocks().iter().enumerate() {
            for (b, y) in second.blocks().iter().enumerate() {
                for irrep in x.irrep.product(y.irrep).filter(|irrep| first.count(*irrep) > 0) {
                    if !shared {
                        blocks.push((8, irrep));
                    }
                    let out = if shared { irrep.l } else { blocks.len() - 1 };
                    paths.push(CoupledPath { first: a, second: b, out, coefficient: 1.0 });
                }
            }
        }
        let out: Irreps = blocks.into_iter().collect();
        let couplings = Couplings::uvu(&first, &second, &out, &paths).expect("paths");
        HarmonicCouplings::new(Arc::new(couplings), &harmonics).expect("the harmonics")
    };
    for (lmax, shared, form) in [
        (0, true, MessageForm::Direct),
        (1, false, MessageForm::Direct),
        (2, true, MessageForm::Direct),
        (4, true, MessageForm::Aligned),
        (6, true, MessageForm::Aligned),
        (6, false, MessageForm::Aligned),
    ] {
        let couplings = all(lmax, shared);
        let [direct, aligned] = [MessageForm::Direct, MessageForm::Aligned].map(|form| couplings.cost(form));
        assert_eq!(couplings.form(), form, "up to {lmax}, {shared}: {direct} and {aligned}");
    }
}

#[test]
fn couplings_with_something_else_are_refused() {
    let irreps = |text: &str| text.parse::<Irreps>().expect("irreps");
    let path = [CoupledPath { first: 0, second: 1, out: 0, coefficient: 1.0 }];
    let of = |second: &str, degrees: &[usize]| {
        let couplings = Couplings::uvu(&irreps("2x1o"), &irreps(second), &irreps("2x1e"), &path).expect("a path");
        HarmonicCouplings::new(Arc::new(couplings), &harmonics(degrees))
    };
    assert!(of("0e+1o+2e", &[0, 1, 2]).is_ok());
    assert!(of("0e+1o+2e", &[0, 1]).is_err());
    assert!(of("0e+1o+2e", &[0, 2, 1]).is_err());
    assert!(of("2x0e+1o", &[0, 1]).is_err());
    let mixed = Couplings::uvw(&irreps("2x1o"), &irreps("0e+1o"), &irreps("2x1e"), &path).expect("a path");
    assert!(HarmonicCouplings::new(Arc::new(mixed), &harmonics(&[0, 1])).is_err());
}
