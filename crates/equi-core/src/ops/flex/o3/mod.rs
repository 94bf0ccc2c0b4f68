//! Spherical harmonics and tensor products on flex, in single and double precision.

#[allow(clippy::needless_range_loop)] // One index for several arrays.
mod aligned;
#[allow(clippy::needless_range_loop)] // As above.
mod coupling;
mod disjoint;
#[allow(clippy::needless_range_loop)] // As above.
mod harmonics;
mod planes;
mod stream;
mod uvu;
mod uvw;
mod vector;
mod weights;

use std::sync::Arc;

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::tensor::DType;

use super::activation::add_rows;
use super::memory::{Unwritten, contiguous, dims, filled, numbers, tensor};
use crate::ops::BackendSegments;
use crate::ops::o3::{
    self as composed, Couplings, HarmonicCouplings, HarmonicRecursion, MessageForm, ProductGradients, ProductOps,
};
use crate::ops::segments::Rows;
use coupling::Table;
use disjoint::Disjoint;
use harmonics::Recursion;
use uvu::Graph;
use vector::Vector;

/// Calls a function in the precision of a tensor, or something else where there is none.
macro_rules! in_precision {
    ($tensor:expr, $kernel:ident($($argument:expr),*), $otherwise:expr) => {
        match $tensor.dtype() {
            DType::F32 => $kernel::<f32>($($argument),*),
            DType::F64 => $kernel::<f64>($($argument),*),
            _ => $otherwise,
        }
    };
}

impl ProductOps for Flex {
    fn harmonics(points: FloatTensor<Self>, recursion: Arc<HarmonicRecursion>) -> FloatTensor<Self> {
        in_precision!(points, harmonics_of(points, &recursion), composed::composed_harmonics::<Self>(points, recursion))
    }

    fn harmonics_gradient(
        points: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        recursion: Arc<HarmonicRecursion>,
    ) -> FloatTensor<Self> {
        in_precision!(
            points,
            harmonics_gradient_of(points, gradient, &recursion),
            composed::composed_harmonics_gradient::<Self>(points, gradient, recursion)
        )
    }

    fn uvu_product(
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        couplings: Arc<Couplings>,
    ) -> FloatTensor<Self> {
        in_precision!(
            first,
            uvu([first, second, weights], &couplings, None),
            composed::composed_uvu_product::<Self>(first, second, weights, couplings)
        )
    }

    fn uvu_product_gradient(
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        couplings: Arc<Couplings>,
        gradient: FloatTensor<Self>,
        needed: [bool; 3],
    ) -> ProductGradients<Self> {
        in_precision!(
            first,
            uvu_gradient([first, second, weights], &couplings, None, gradient, needed),
            composed::composed_uvu_product_gradient::<Self>(first, second, weights, couplings, gradient, needed)
        )
    }

    fn uvu_messages(
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        couplings: Arc<Couplings>,
        senders: BackendSegments<Self>,
        receivers: BackendSegments<Self>,
    ) -> FloatTensor<Self> {
        in_precision!(
            first,
            uvu([first, second, weights], &couplings, Some([&senders.host, &receivers.host])),
            composed::composed_uvu_messages::<Self>(first, second, weights, couplings, senders, receivers)
        )
    }

    fn uvu_messages_gradient(
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        couplings: Arc<Couplings>,
        senders: BackendSegments<Self>,
        receivers: BackendSegments<Self>,
        gradient: FloatTensor<Self>,
        needed: [bool; 3],
    ) -> ProductGradients<Self> {
        let graph = Some([&*senders.host, &*receivers.host]);
        in_precision!(
            first,
            uvu_gradient([first, second, weights], &couplings, graph, gradient, needed),
            composed::composed_uvu_messages_gradient::<Self>(
                first, second, weights, couplings, senders, receivers, gradient, needed
            )
        )
    }

    fn harmonic_messages(
        features: FloatTensor<Self>,
        vectors: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        couplings: Arc<HarmonicCouplings>,
        senders: BackendSegments<Self>,
        receivers: BackendSegments<Self>,
    ) -> FloatTensor<Self> {
        if couplings.form() == MessageForm::Direct {
            return composed::direct_messages::<Self>(features, vectors, weights, &couplings, senders, receivers);
        }
        let graph = Graph { senders: &senders.host, receivers: &receivers.host };
        in_precision!(
            features,
            aligned_messages([features, vectors, weights], &couplings, graph),
            composed::direct_messages::<Self>(features, vectors, weights, &couplings, senders, receivers)
        )
    }

    fn harmonic_messages_gradient(
        features: FloatTensor<Self>,
        vectors: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        couplings: Arc<HarmonicCouplings>,
        senders: BackendSegments<Self>,
        receivers: BackendSegments<Self>,
        gradient: FloatTensor<Self>,
        needed: [bool; 3],
    ) -> ProductGradients<Self> {
        if couplings.form() == MessageForm::Direct {
            return composed::direct_messages_gradient::<Self>(
                features, vectors, weights, &couplings, senders, receivers, gradient, needed,
            );
        }
        let graph = Graph { senders: &senders.host, receivers: &receivers.host };
        in_precision!(
            features,
            aligned_messages_gradient([features, vectors, weights], &couplings, graph, gradient, needed),
            composed::direct_messages_gradient::<Self>(
                features, vectors, weights, &couplings, senders, receivers, gradient, needed
            )
        )
    }

    fn uvw_product(
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        couplings: Arc<Couplings>,
    ) -> FloatTensor<Self> {
        in_precision!(
            first,
            uvw([first, second, weights], &couplings),
            composed::composed_uvw_product::<Self>(first, second, weights, couplings)
        )
    }

    fn uvw_product_gradient(
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        couplings: Arc<Couplings>,
        gradient: FloatTensor<Self>,
        needed: [bool; 3],
    ) -> ProductGradients<Self> {
        in_precision!(
            first,
            uvw_gradient([first, second, weights], &couplings, gradient, needed),
            composed::composed_uvw_product_gradient::<Self>(first, second, weights, couplings, gradient, needed)
        )
    }
}

fn harmonics_of<F: Vector>(points: FlexTensor, recursion: &HarmonicRecursion) -> FlexTensor {
    let points = contiguous(points);
    let recursion = Recursion::<F>::new(recursion);
    let shape = [dims(&points)[0], recursion.columns()];
    // There is a row for every point, and every point's is written.
    filled::<F>(shape, |output| harmonics::forward(&recursion, numbers(&points), output))
}

fn harmonics_gradient_of<F: Vector>(
    points: FlexTensor,
    gradient: FlexTensor,
    recursion: &HarmonicRecursion,
) -> FlexTensor {
    let (points, gradient) = (contiguous(points), contiguous(gradient));
    let recursion = Recursion::<F>::new(recursion);
    let rows = dims(&points)[0];
    let fill = |output: &mut [_]| harmonics::gradient(&recursion, numbers(&points), numbers(&gradient), output);
    // There is a row for every point, and every point's is written.
    filled::<F>([rows, 3], fill)
}

/// The arguments of a product `uvu`, of which `tensors` are the features, the second input and the weights.
fn uvu_arguments<'a, F: Vector>(
    tensors: &'a [FlexTensor; 3],
    table: &'a Table<F>,
    graph: Option<[&'a Rows; 2]>,
) -> uvu::Arguments<'a, F> {
    let [x, y, w] = tensors.each_ref().map(numbers::<F>);
    let edges = dims(&tensors[1])[0];
    let shared = dims(&tensors[2])[0] == 1;
    let arguments = uvu::Arguments {
        table,
        x,
        y,
        w,
        shared,
        edges,
        graph: graph.map(|[senders, receivers]| Graph { senders, receivers }),
    };
    assert!(
        x.len() == arguments.nodes()[1] * table.columns[0]
            && y.len() == edges * table.columns[1]
            && w.len() == if shared { 1 } else { edges } * table.weights.columns
            && graph.is_none_or(|graph| graph.iter().all(|rows| rows.rows() == edges)),
        "the shapes fit the couplings and the edges"
    );
    arguments
}

fn uvu<F: Vector>(tensors: [FlexTensor; 3], couplings: &Couplings, graph: Option<[&Rows; 2]>) -> FlexTensor {
    let tensors = tensors.map(contiguous);
    let table = Table::<F>::new(couplings);
    let arguments = uvu_arguments(&tensors, &table, graph);
    let shape = [arguments.nodes()[0], table.columns[2]];
    // The row of every node that receives is written.
    filled::<F>(shape, |output| uvu::multiply(&arguments, output))
}

fn uvu_gradient<F: Vector>(
    tensors: [FlexTensor; 3],
    couplings: &Couplings,
    graph: Option<[&Rows; 2]>,
    gradient: FlexTensor,
    needed: [bool; 3],
) -> ProductGradients<Flex> {
    let (tensors, gradient) = (tensors.map(contiguous), contiguous(gradient));
    let table = Table::<F>::new(couplings);
    let arguments = uvu_arguments(&tensors, &table, graph);
    let [columns1, columns2, _] = table.columns;
    let weight_rows = if arguments.shared { uvu::pieces(&arguments) } else { arguments.edges };
    let shapes = [[arguments.nodes()[1], columns1], [arguments.edges, columns2], [weight_rows, table.weights.columns]];
    let length = |place: usize| if needed[place] { shapes[place][0] * shapes[place][1] } else { 0 };
    let mut written: [Unwritten<F>; 3] = std::array::from_fn(|place| Unwritten::new(length(place)));
    let [by_x, by_y, by_w] = &mut written;
    let gradients = uvu::Gradients {
        by_x: Disjoint::new(by_x.numbers(), columns1),
        by_y: Disjoint::new(by_y.numbers(), columns2),
        by_w: Disjoint::new(by_w.numbers(), shapes[2][1]),
        needed,
    };
    // Every row that was asked for is written.
    uvu::gradient(&arguments, numbers::<F>(&gradient), &gradients);
    given(written, shapes, needed, arguments.shared)
}

/// The gradients of a product that were asked for. Those by `shared` weights have a row for every piece of work, and are summed.
fn given<F: Vector>(
    written: [Unwritten<F>; 3],
    shapes: [[usize; 2]; 3],
    needed: [bool; 3],
    shared: bool,
) -> ProductGradients<Flex> {
    let [by_x, by_y, by_w] = written;
    let by_weights = || {
        if !shared {
            return by_w.tensor(shapes[2]);
        }
        let mut sum = vec![F::ZERO; shapes[2][1]];
        add_rows(by_w.as_slice(), &mut sum);
        tensor(sum, [1, shapes[2][1]])
    };
    (needed[0].then(|| by_x.tensor(shapes[0])), needed[1].then(|| by_y.tensor(shapes[1])), needed[2].then(by_weights))
}

/// The arguments of messages in the frames of the edges, of which `tensors` are the features, the vectors and the weights.
fn aligned_arguments<'a, F: Vector>(
    tensors: &'a [FlexTensor; 3],
    plan: &'a aligned::Plan<F>,
    graph: Graph<'a>,
) -> aligned::Arguments<'a, F> {
    let [x, vectors, w] = tensors.each_ref().map(numbers::<F>);
    let (edges, shared) = (graph.senders.rows(), dims(&tensors[2])[0] == 1);
    assert!(
        x.len() == graph.senders.count() * plan.columns[0]
            && vectors.len() == 3 * edges
            && w.len() == if shared { 1 } else { edges } * plan.weights.columns
            && graph.receivers.rows() == edges,
        "the shapes fit the couplings and the edges"
    );
    aligned::Arguments { plan, x, vectors, w, shared, graph }
}

fn aligned_messages<F: Vector>(tensors: [FlexTensor; 3], couplings: &HarmonicCouplings, graph: Graph) -> FlexTensor {
    let tensors = tensors.map(contiguous);
    let plan = aligned::Plan::<F>::new(couplings);
    let arguments = aligned_arguments(&tensors, &plan, graph);
    let shape = [graph.receivers.count(), plan.columns[1]];
    // The row of every node that receives is written.
    filled::<F>(shape, |output| aligned::multiply(&arguments, output))
}

fn aligned_messages_gradient<F: Vector>(
    tensors: [FlexTensor; 3],
    couplings: &HarmonicCouplings,
    graph: Graph,
    gradient: FlexTensor,
    needed: [bool; 3],
) -> ProductGradients<Flex> {
    let (tensors, gradient) = (tensors.map(contiguous), contiguous(gradient));
    let plan = aligned::Plan::<F>::new(couplings);
    let arguments = aligned_arguments(&tensors, &plan, graph);
    let edges = graph.senders.rows();
    let weight_rows = if arguments.shared { arguments.pieces() } else { edges };
    let shapes = [[graph.senders.count(), plan.columns[0]], [edges, 3], [weight_rows, plan.weights.columns]];
    let length = |place: usize| if needed[place] { shapes[place][0] * shapes[place][1] } else { 0 };
    let mut written: [Unwritten<F>; 3] = std::array::from_fn(|place| Unwritten::new(length(place)));
    let [by_x, by_vectors, by_w] = &mut written;
    let gradients = aligned::Gradients {
        by_x: Disjoint::new(by_x.numbers(), shapes[0][1]),
        by_vectors: Disjoint::new(by_vectors.numbers(), 3),
        by_w: Disjoint::new(by_w.numbers(), shapes[2][1]),
        needed,
    };
    // Every row that was asked for is written.
    aligned::gradient(&arguments, numbers::<F>(&gradient), &gradients);
    given(written, shapes, needed, arguments.shared)
}

fn uvw_arguments<'a, F: Vector>(tensors: &'a [FlexTensor; 3], couplings: &Couplings) -> uvw::Arguments<'a, F> {
    let [x, y, w] = tensors.each_ref().map(numbers::<F>);
    let (edges, columns) = (dims(&tensors[1])[0], couplings.columns());
    assert!(
        x.len() == edges * columns[0] && y.len() == edges * columns[1] && w.len() == couplings.weights(),
        "the shapes fit the couplings"
    );
    uvw::Arguments::new(couplings, x, y, w, edges)
}

fn uvw<F: Vector>(tensors: [FlexTensor; 3], couplings: &Couplings) -> FlexTensor {
    let tensors = tensors.map(contiguous);
    let arguments = uvw_arguments::<F>(&tensors, couplings);
    let shape = [dims(&tensors[0])[0], couplings.columns()[2]];
    // Every row is written.
    filled::<F>(shape, |output| uvw::multiply(&arguments, output))
}

fn uvw_gradient<F: Vector>(
    tensors: [FlexTensor; 3],
    couplings: &Couplings,
    gradient: FlexTensor,
    needed: [bool; 3],
) -> ProductGradients<Flex> {
    let (tensors, gradient) = (tensors.map(contiguous), contiguous(gradient));
    let arguments = uvw_arguments::<F>(&tensors, couplings);
    let edges = dims(&tensors[0])[0];
    let [columns1, columns2, _] = couplings.columns();
    let length = |place: usize, columns: usize| if needed[place] { edges * columns } else { 0 };
    let lengths = [length(0, columns1), length(1, columns2)];
    let [mut by_x, mut by_y] = lengths.map(Unwritten::<F>::new);
    let gradients = uvw::Gradients {
        by_x: Disjoint::new(by_x.numbers(), columns1),
        by_y: Disjoint::new(by_y.numbers(), columns2),
        needed,
    };
    // Every row that was asked for is written.
    let by_w = uvw::gradient(&arguments, numbers::<F>(&gradient), &gradients);
    (
        needed[0].then(|| by_x.tensor([edges, columns1])),
        needed[1].then(|| by_y.tensor([edges, columns2])),
        needed[2].then(|| tensor(by_w, [1, couplings.weights()])),
    )
}
