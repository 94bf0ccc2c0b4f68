//! Every kernel without fusion (`CubeBackend`) and with it (`Cube`), against flex in double precision.

use std::sync::Arc;

use burn::backend::tensor::{Device, FloatTensor};
use burn::backend::{Backend, Cube, Flex};
use burn::tensor::{DType, Device as AnyDevice, Shape, TensorData, read_sync};
use burn_cubecl::{CubeBackend, CubeDevice};

use crate::o3::{Irreps, SphericalHarmonics};
use crate::ops::extension::{BackendSegments, RowOps};
use crate::ops::o3::{CoupledPath, Couplings, HarmonicRecursion, ProductOps};
use crate::ops::segments::{Rows, Segments};
use crate::ops::{FeatureMapOps, PoolWindow};

/// A backend's device and precision.
struct Place<B: Backend> {
    device: Device<B>,
    dtype: DType,
}

impl<B: Backend> Place<B> {
    /// Numbers without a pattern between -2 and 2, the same everywhere.
    fn numbers<const D: usize>(&self, shape: [usize; D], seed: u64) -> FloatTensor<B> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let values: Vec<f32> = (0..shape.iter().product::<usize>())
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 40) as f32 / (1u64 << 24) as f32 * 4.0 - 2.0
            })
            .collect();
        B::float_from_data(TensorData::new(values, shape).convert_dtype(self.dtype), &self.device)
    }

    /// Numbers whose memory is in another order than that of their dimensions.
    fn turned(&self, shape: [usize; 2], seed: u64) -> FloatTensor<B> {
        B::float_transpose(self.numbers([shape[1], shape[0]], seed))
    }

    fn segments(&self, rows: &Arc<Rows>) -> BackendSegments<B> {
        let upload = |values: &[usize]| {
            let values: Vec<i32> = values.iter().map(|&value| value as i32).collect();
            let shape = [values.len()];
            B::int_from_data(TensorData::new(values, shape), &self.device)
        };
        BackendSegments {
            ids: upload(&rows.ids),
            offsets: upload(&rows.offsets),
            order: upload(&rows.order),
            host: rows.clone(),
        }
    }
}

/// The operations that have kernels.
trait Operations: RowOps + ProductOps + FeatureMapOps {}

impl<B: RowOps + ProductOps + FeatureMapOps> Operations for B {}

/// What is computed on every backend.
trait Case {
    fn run<B: Operations>(&self, on: &Place<B>) -> Vec<FloatTensor<B>>;
}

fn results<B: Operations>(case: &impl Case, device: Device<B>, dtype: DType) -> Vec<(Shape, Vec<f64>)> {
    let outputs = case.run::<B>(&Place { device, dtype });
    let data = outputs.into_iter().map(|output| read_sync(B::float_into_data(output)).expect("numbers"));
    data.map(|data| (data.shape().clone(), data.iter::<f64>().collect())).collect()
}

/// Both GPU backends against flex; sums of hundreds of numbers are rounded to this.
fn assert_case(what: &str, case: impl Case) {
    const TOLERANCE: f64 = 1e-5;
    let wanted = results::<Flex>(&case, Default::default(), DType::F64);
    let plain = results::<CubeBackend>(&case, CubeDevice::Wgpu(Default::default()), DType::F32);
    let fused = results::<Cube>(&case, CubeDevice::Wgpu(Default::default()), DType::F32);
    for (name, given) in [("without fusion", plain), ("with fusion", fused)] {
        assert_eq!(given.len(), wanted.len());
        for (output, ((shape, given), (wanted_shape, wanted))) in given.iter().zip(&wanted).enumerate() {
            assert_eq!(shape, wanted_shape, "{what} {name}, output {output}");
            let scale = wanted.iter().fold(1e-30, |scale: f64, value| scale.max(value.abs()));
            for (number, (given, wanted)) in given.iter().zip(wanted).enumerate() {
                let error = (given - wanted).abs() / scale;
                assert!(error <= TOLERANCE, "{what} {name}, output {output}, number {number}: {given} for {wanted}");
            }
        }
    }
}

/// In order and not, with and without empty segments, one row, none, and one long segment.
fn all_rows() -> Vec<Arc<Rows>> {
    let mixed = |rows: usize, count: usize| (0..rows).map(|row| (row * 7 + row / 3) % count).collect::<Vec<_>>();
    let mut sorted = mixed(37, 11);
    sorted.sort();
    let long = (0..700).map(|row| if row < 650 { 1 } else { row % 3 }).collect();
    [(vec![0], 1), (vec![2], 4), (vec![], 3), (sorted, 13), (mixed(53, 17), 20), (long, 3)]
        .into_iter()
        .map(|(ids, count)| Segments::new(ids, count, &AnyDevice::flex()).expect("ids in range").dispatch().host)
        .collect()
}

/// Vectors of one, two and four numbers, one and several.
const CHANNELS: [usize; 6] = [1, 2, 3, 4, 20, 65];

#[test]
fn rows_are_gathered_and_summed() {
    struct Sums(Arc<Rows>, usize);
    impl Case for Sums {
        fn run<B: Operations>(&self, on: &Place<B>) -> Vec<FloatTensor<B>> {
            let (rows, count, segments) = (self.0.rows(), self.0.count(), on.segments(&self.0));
            vec![
                B::gather_rows(on.numbers([count, self.1], 1), segments.clone()),
                B::gather_rows(on.turned([count, self.1], 2), segments.clone()),
                B::sum_rows(on.numbers([rows, self.1], 3), segments.clone()),
                B::sum_rows(on.turned([rows, self.1], 4), segments),
            ]
        }
    }
    for (rows, channels) in all_rows().iter().flat_map(|rows| CHANNELS.map(|channels| (rows, channels))) {
        assert_case(&format!("sums of {} rows of {channels}", rows.rows()), Sums(rows.clone(), channels));
    }
}

#[test]
fn heads_multiply_and_sum() {
    struct Heads(Arc<Rows>, [usize; 3]);
    impl Case for Heads {
        fn run<B: Operations>(&self, on: &Place<B>) -> Vec<FloatTensor<B>> {
            let [components, heads, channels] = self.1;
            let (rows, count, width) = (self.0.rows(), self.0.count(), heads * channels);
            let (segments, own) = (on.segments(&self.0), [rows, components, width]);
            let theirs = || on.numbers([count, components, width], 1);
            vec![
                B::head_products(theirs(), on.numbers(own, 2), segments.clone(), heads),
                B::head_sums(on.numbers(own, 3), on.numbers([rows, heads], 4), segments.clone()),
                B::head_spread(theirs(), on.turned([rows, heads], 5), segments),
            ]
        }
    }
    let sizes = [[1, 1, 1], [3, 2, 4], [5, 3, 5], [1, 4, 8]];
    for (rows, sizes) in
        all_rows().iter().filter(|rows| rows.rows() > 0).flat_map(|rows| sizes.map(|sizes| (rows, sizes)))
    {
        assert_case(&format!("heads {sizes:?} of {} rows", rows.rows()), Heads(rows.clone(), sizes));
    }
}

#[test]
fn edges_combine() {
    struct Edges([Arc<Rows>; 2], usize, usize);
    impl Case for Edges {
        fn run<B: Operations>(&self, on: &Place<B>) -> Vec<FloatTensor<B>> {
            let Self([receivers, senders], inputs, channels) = self;
            let (nodes, rows) = (receivers.count(), receivers.rows());
            let arguments = || {
                let ends = (on.turned([nodes, *channels], 1), on.numbers([nodes, *channels], 2));
                (ends, on.numbers([rows, *inputs], 3), on.numbers([*inputs, *channels], 4))
            };
            let gradient = || on.numbers([rows, *channels], 5);
            let segments = || (on.segments(receivers), on.segments(senders));
            let ((received, sent), edges, weight) = arguments();
            let mut outputs = vec![B::combine_edges(received, sent, edges, weight, segments().0, segments().1)];
            for needed in [[true; 4], [false, true, false, true]] {
                let ((received, sent), edges, weight) = arguments();
                let (a, b, c, d) = B::combine_edges_gradient(
                    received,
                    sent,
                    edges,
                    weight,
                    segments().0,
                    segments().1,
                    gradient(),
                    needed,
                );
                let all = [a, b, c, d];
                assert_eq!(all.each_ref().map(Option::is_some), needed);
                outputs.extend(all.into_iter().flatten());
            }
            outputs
        }
    }
    let nodes = |ids: Vec<usize>| Segments::new(ids, 9, &AnyDevice::flex()).expect("ids in range").dispatch().host;
    for count in [1, 43] {
        let receivers = nodes((0..count).map(|edge| edge / 5).collect());
        let senders = nodes((0..count).map(|edge| (edge * 4 + 1) % 8).collect());
        for (inputs, channels) in [(1, 1), (2, 3), (5, 8)] {
            let case = Edges([receivers.clone(), senders.clone()], inputs, channels);
            assert_case(&format!("{count} edges, {inputs} to {channels}"), case);
        }
    }
}

#[test]
fn harmonics_are_recursions() {
    struct Harmonics(SphericalHarmonics, usize);
    impl Case for Harmonics {
        fn run<B: Operations>(&self, on: &Place<B>) -> Vec<FloatTensor<B>> {
            let recursion = Arc::new(HarmonicRecursion::new(&self.0));
            let points = || on.turned([self.1, 3], 1);
            let gradient = on.numbers([self.1, recursion.columns()], 2);
            vec![B::harmonics(points(), recursion.clone()), B::harmonics_gradient(points(), gradient, recursion)]
        }
    }
    for (degrees, normalize) in
        [(vec![0], true), (vec![1], false), (vec![2, 0, 2], false), (vec![0, 1, 2, 3, 4, 5], true)]
    {
        for rows in [1, 70] {
            let harmonics = SphericalHarmonics::new(degrees.clone()).with_normalize(normalize);
            assert_case(&format!("harmonics {degrees:?} of {rows}"), Harmonics(harmonics, rows));
        }
    }
}

#[test]
fn directions_of_nothing_are_zero() {
    struct Nothing;
    impl Case for Nothing {
        fn run<B: Operations>(&self, on: &Place<B>) -> Vec<FloatTensor<B>> {
            let recursion = Arc::new(HarmonicRecursion::new(&SphericalHarmonics::new(vec![0, 1, 2])));
            let points = || B::float_zeros([2, 3].into(), &on.device, on.dtype.into());
            let gradient = on.numbers([2, 9], 2);
            vec![B::harmonics(points(), recursion.clone()), B::harmonics_gradient(points(), gradient, recursion)]
        }
    }
    assert_case("harmonics of zero", Nothing);
}

/// Several copies, blocks of several paths, and one that nothing reaches.
fn couplings() -> Arc<Couplings> {
    couplings_of("5x0e+3x1o+2x2e", "5x0e+3x1o+2x2e+2x4e+1x5e")
}

/// All paths from copies to as many.
fn couplings_of(first: &str, out: &str) -> Arc<Couplings> {
    let irreps = |irreps: &str| irreps.parse::<Irreps>().expect("irreps");
    let (first, second, out) = (irreps(first), irreps("0e+1o+2e"), irreps(out));
    let mut paths = Vec::new();
    for (a, of_first) in first.blocks().iter().enumerate() {
        for (b, of_second) in second.blocks().iter().enumerate() {
            for (c, of_out) in out.blocks().iter().enumerate() {
                let coupled = of_first.irrep.product(of_second.irrep).any(|irrep| irrep == of_out.irrep);
                if coupled && of_first.mul == of_out.mul {
                    let coefficient = 1.0 + 0.1 * paths.len() as f64;
                    paths.push(CoupledPath { first: a, second: b, out: c, coefficient });
                }
            }
        }
    }
    Arc::new(Couplings::uvu(&first, &second, &out, &paths).expect("coupled"))
}

const NEEDED: [[bool; 3]; 3] = [[true, true, true], [true, false, false], [false, false, true]];

#[test]
fn copies_are_multiplied() {
    struct Product(usize, usize);
    impl Case for Product {
        fn run<B: Operations>(&self, on: &Place<B>) -> Vec<FloatTensor<B>> {
            let (Self(rows, weight_rows), couplings) = (self, couplings());
            let [a, b, c] = couplings.columns();
            let (x, y) = (|| on.turned([*rows, a], 1), || on.numbers([*rows, b], 2));
            let w = || on.numbers([*weight_rows, couplings.weights()], 3);
            let mut outputs = vec![B::uvu_product(x(), y(), w(), couplings.clone())];
            for needed in NEEDED {
                let gradient = on.numbers([*rows, c], 4);
                let (a, b, c) = B::uvu_product_gradient(x(), y(), w(), couplings.clone(), gradient, needed);
                assert_eq!([a.is_some(), b.is_some(), c.is_some()], needed);
                outputs.extend([a, b, c].into_iter().flatten());
            }
            outputs
        }
    }
    for (rows, weight_rows) in [(1, 1), (9, 9), (70, 1)] {
        assert_case(&format!("uvu of {rows} rows, {weight_rows} of weights"), Product(rows, weight_rows));
    }
}

#[test]
fn messages_are_multiplied_and_summed() {
    struct Messages([Arc<Rows>; 2], usize);
    impl Case for Messages {
        fn run<B: Operations>(&self, on: &Place<B>) -> Vec<FloatTensor<B>> {
            let (Self([senders, receivers], weight_rows), couplings) = (self, couplings());
            let [a, b, c] = couplings.columns();
            let (x, y) = (|| on.numbers([senders.count(), a], 1), || on.numbers([senders.rows(), b], 2));
            let w = || on.numbers([*weight_rows, couplings.weights()], 3);
            let ends = || (on.segments(senders), on.segments(receivers));
            let (from, to) = ends();
            let mut outputs = vec![B::uvu_messages(x(), y(), w(), couplings.clone(), from, to)];
            for needed in NEEDED {
                let (gradient, (from, to)) = (on.numbers([receivers.count(), c], 4), ends());
                let (a, b, c) = B::uvu_messages_gradient(x(), y(), w(), couplings.clone(), from, to, gradient, needed);
                assert_eq!([a.is_some(), b.is_some(), c.is_some()], needed);
                outputs.extend([a, b, c].into_iter().flatten());
            }
            outputs
        }
    }
    let rows = |ids: Vec<usize>, count| Segments::new(ids, count, &AnyDevice::flex()).expect("ids").dispatch().host;
    let edges = 43;
    let senders = rows((0..edges).map(|edge| (edge * 4 + 1) % 8).collect(), 9);
    for receivers in [(0..edges).map(|edge| edge / 5).collect(), (0..edges).map(|edge| edge * 5 % 11).collect()] {
        let receivers = rows(receivers, 12);
        for weight_rows in [1, edges] {
            let case = Messages([senders.clone(), receivers.clone()], weight_rows);
            assert_case(&format!("messages with {weight_rows} rows of weights"), case);
        }
    }
}

#[test]
fn maxima_lead_back() {
    struct Maxima([usize; 4], PoolWindow);
    impl Case for Maxima {
        fn run<B: Operations>(&self, on: &Place<B>) -> Vec<FloatTensor<B>> {
            let Self([batch, channels, height, width], window) = self;
            // Few values, so that there are equal ones in a window.
            let x = B::float_round(on.numbers(self.0, 1));
            let shape = [*batch, *channels, window.placements(*height), window.placements(*width)];
            vec![B::maximum_over_windows_gradient(x, *window, on.numbers(shape, 2))]
        }
    }
    for (kernel_size, stride, padding) in [(3, 2, 1), (2, 2, 0), (5, 1, 2), (2, 3, 0), (1, 1, 0)] {
        for shape in [[2, 3, 9, 7], [1, 1, 5, 5], [1, 2, 12, 8]] {
            let window = PoolWindow { kernel_size, stride, padding };
            assert_case(&format!("{window:?} over {shape:?}"), Maxima(shape, window));
        }
    }
}

#[test]
fn channels_have_moments() {
    struct Moments([usize; 4]);
    impl Case for Moments {
        fn run<B: Operations>(&self, on: &Place<B>) -> Vec<FloatTensor<B>> {
            let x = || B::float_swap_dims(on.numbers([self.0[1], self.0[0], self.0[2], self.0[3]], 1), 0, 1);
            let [mean, scale] = [2, 3].map(|seed| on.numbers([self.0[1]], seed));
            let (by_x, by_both) = B::channel_affine_gradient(x(), mean, scale, on.numbers(self.0, 4));
            vec![B::channel_moments(x()), by_x, by_both]
        }
    }
    for shape in [[1, 1, 1, 1], [2, 5, 3, 7], [3, 2, 29, 29], [1, 70, 4, 4]] {
        assert_case(&format!("moments of {shape:?}"), Moments(shape));
    }
}
