//! `radial_product` as batched matrix products: nodes with room for as many edges as any of them sends.

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, TensorMetadata};
use burn::tensor::{DType, Slice, TensorData};

use crate::ops::extension::{BackendSegments, EdgeGradients};
use crate::ops::segments::Rows;

/// Numbers in the largest tensor: with more, nodes are done one group after the other.
const LARGEST: usize = if cfg!(test) { 1 << 10 } else { 1 << 25 };

/// The sizes, named as in the formula.
#[derive(Clone, Copy)]
struct Sizes {
    p: usize,
    i: usize,
    h: usize,
    kernels: usize,
    o: usize,
}

impl Sizes {
    fn new<B: Backend>(x: &FloatTensor<B>, a: &FloatTensor<B>, b: &FloatTensor<B>, w: &FloatTensor<B>) -> Self {
        let (p, i, h) = (x.shape()[1], x.shape()[2], a.shape()[1]);
        let kernels = b.shape()[2] / p;
        Self { p, i, h, kernels, o: w.shape()[1] / (h * kernels) }
    }
}

/// Nodes one after the other, and the edges they send.
struct Group<B: Backend> {
    nodes: std::ops::Range<usize>,
    /// Room for edges at every node.
    room: usize,
    edges: usize,
    /// The edges, node by node.
    order: IntTensor<B>,
    /// Where in the room of the nodes every edge is.
    seats: IntTensor<B>,
    /// Which of the edges has every seat; the one after the last where the seat is empty.
    guests: IntTensor<B>,
}

impl<B: Backend> Group<B> {
    /// With indices of the kind that the backend has: some know no 64 bits.
    fn new(
        nodes: std::ops::Range<usize>,
        rows: &Rows,
        device: &burn::backend::tensor::Device<B>,
        index: DType,
    ) -> Self {
        let spans: Vec<_> = nodes.clone().map(|node| rows.offsets[node]..rows.offsets[node + 1]).collect();
        let (first, last) = (rows.offsets[nodes.start], rows.offsets[nodes.end]);
        let room = spans.iter().map(ExactSizeIterator::len).max().unwrap_or(0);
        let mut guests = vec![(last - first) as i64; nodes.len() * room];
        let mut seats = Vec::with_capacity(last - first);
        for (node, span) in spans.into_iter().enumerate() {
            for (place, edge) in span.enumerate() {
                seats.push((node * room + place) as i64);
                guests[node * room + place] = (edge - first) as i64;
            }
        }
        let upload = |values: Vec<i64>| {
            let shape = [values.len()];
            B::int_from_data(TensorData::new(values, shape).convert_dtype(index), device)
        };
        let order = rows.order[first..last].iter().map(|&edge| edge as i64).collect();
        Self { nodes, room, edges: last - first, order: upload(order), seats: upload(seats), guests: upload(guests) }
    }

    /// Every node with what belongs to the edges it sends, zero where it sends fewer than others: `[edges, c]` to `[nodes, room, c]`.
    fn seat(&self, rows: FloatTensor<B>) -> FloatTensor<B> {
        let channels = rows.shape()[1];
        let nothing = B::float_zeros([1, channels].into(), &rows.device(), rows.dtype().into());
        let seated = B::float_select(B::float_cat(vec![rows, nothing], 0), 0, self.guests.clone());
        B::float_reshape(seated, [self.nodes.len(), self.room, channels].into())
    }

    /// The way back.
    fn unseat(&self, seated: FloatTensor<B>) -> FloatTensor<B> {
        let channels = seated.shape()[2];
        let seated = B::float_reshape(seated, [self.nodes.len() * self.room, channels].into());
        B::float_select(seated, 0, self.seats.clone())
    }

    /// The rows of the nodes, with one row for every component.
    fn nodes(&self, x: &FloatTensor<B>, sizes: Sizes) -> FloatTensor<B> {
        let all = Slice::full();
        let x = B::float_slice(x.clone(), &[Slice::from(self.nodes.clone()), all, all]);
        B::float_reshape(x, [self.nodes.len() * sizes.p, sizes.i].into())
    }

    /// The rows of the edges, node by node.
    fn edges(&self, rows: &FloatTensor<B>) -> FloatTensor<B> {
        B::float_select(rows.clone(), 0, self.order.clone())
    }

    /// `W x`, `[nodes, p, h, F o]`.
    fn products(&self, x: FloatTensor<B>, w: &FloatTensor<B>, s: Sizes) -> FloatTensor<B> {
        let shape = [self.nodes.len(), s.p, s.h, s.kernels * s.o];
        B::float_reshape(B::float_matmul(x, w.clone()), shape.into())
    }

    /// The hidden values of every node's edges, once for every component: `[nodes, p, room, h]`.
    fn hidden(&self, a: FloatTensor<B>, s: Sizes) -> FloatTensor<B> {
        let seated = B::float_reshape(self.seat(a), [self.nodes.len(), 1, self.room, s.h].into());
        B::float_expand(seated, [self.nodes.len(), s.p, self.room, s.h].into())
    }

    /// `sum over h of a_e[h] W_h x`, `[edges, p F, o]`.
    fn radial(&self, a: FloatTensor<B>, products: FloatTensor<B>, s: Sizes) -> FloatTensor<B> {
        let sums = B::float_permute(B::float_matmul(self.hidden(a, s), products), &[0, 2, 1, 3]);
        let sums = B::float_reshape(sums, [self.nodes.len(), self.room, s.p * s.kernels * s.o].into());
        B::float_reshape(self.unseat(sums), [self.edges, s.p * s.kernels, s.o].into())
    }
}

/// Groups of nodes that are no larger than memory should hold at once, or are one node.
fn groups<B: Backend>(
    rows: &Rows,
    Sizes { p, h, kernels, o, .. }: Sizes,
    device: &burn::backend::tensor::Device<B>,
    index: DType,
) -> Vec<Group<B>> {
    // A node that sends many edges makes room for as many at all nodes beside it.
    let numbers = |room: usize| (p * h * kernels * o).max(room * (p * h).max(p * kernels * o));
    let sent = |node: usize| rows.offsets[node + 1] - rows.offsets[node];
    let mut groups: Vec<(std::ops::Range<usize>, usize)> = Vec::new();
    for node in 0..rows.count() {
        match groups.last_mut() {
            Some((group, room)) if (group.len() + 1) * numbers(sent(node).max(*room)) <= LARGEST => {
                (group.end, *room) = (node + 1, sent(node).max(*room));
            }
            _ => groups.push((node..node + 1, sent(node))),
        }
    }
    groups.retain(|(_, room)| *room > 0);
    groups.into_iter().map(|(nodes, _)| Group::new(nodes, rows, device, index)).collect()
}

/// Rows that came group by group, in the order of the edges again.
fn restored<B: Backend>(parts: Vec<FloatTensor<B>>, rows: &Rows, index: DType) -> FloatTensor<B> {
    let together = B::float_cat(parts, 0);
    let mut places = vec![0_i64; rows.rows()];
    for (place, &edge) in rows.order.iter().enumerate() {
        places[edge] = place as i64;
    }
    let shape = [places.len()];
    let places = B::int_from_data(TensorData::new(places, shape).convert_dtype(index), &together.device());
    B::float_select(together, 0, places)
}

pub(crate) fn radial_product<B: Backend>(
    x: FloatTensor<B>,
    a: FloatTensor<B>,
    b: FloatTensor<B>,
    w: FloatTensor<B>,
    senders: BackendSegments<B>,
) -> FloatTensor<B> {
    let sizes = Sizes::new::<B>(&x, &a, &b, &w);
    let index = senders.ids.dtype();
    let parts = groups::<B>(&senders.host, sizes, &x.device(), index).into_iter().map(|group| {
        let products = group.products(group.nodes(&x, sizes), &w, sizes);
        B::float_matmul(group.edges(&b), group.radial(group.edges(&a), products, sizes))
    });
    restored::<B>(parts.collect(), &senders.host, index)
}

pub(crate) fn radial_product_gradient<B: Backend>(
    x: FloatTensor<B>,
    a: FloatTensor<B>,
    b: FloatTensor<B>,
    w: FloatTensor<B>,
    senders: BackendSegments<B>,
    gradient: FloatTensor<B>,
    [by_x, by_a, by_b, by_w]: [bool; 4],
) -> EdgeGradients<B> {
    let s = Sizes::new::<B>(&x, &a, &b, &w);
    let zeros = |shape: [usize; 3]| B::float_zeros(shape.into(), &x.device(), x.dtype().into());
    let (mut of_x, mut of_a, mut of_b, mut of_w) = (Vec::new(), Vec::new(), Vec::new(), None);
    let mut done = 0;
    let index = senders.ids.dtype();
    for group in groups::<B>(&senders.host, s, &x.device(), index) {
        let nodes = group.nodes.len();
        let (rows, hidden, gradient) = (group.nodes(&x, s), group.edges(&a), group.edges(&gradient));
        let products = || group.products(rows.clone(), &w, s);
        if by_b {
            let radial = group.radial(hidden.clone(), products(), s);
            of_b.push(B::float_matmul(gradient.clone(), B::float_swap_dims(radial, 1, 2)));
        }
        if !(by_x || by_a || by_w) {
            continue;
        }
        // By the sums over h, `[nodes, p, room, F o]`.
        let by_radial = B::float_matmul(B::float_swap_dims(group.edges(&b), 1, 2), gradient);
        let by_radial = B::float_reshape(by_radial, [group.edges, s.p * s.kernels * s.o].into());
        let by_radial = B::float_reshape(group.seat(by_radial), [nodes, group.room, s.p, s.kernels * s.o].into());
        let by_radial = B::float_permute(by_radial, &[0, 2, 1, 3]);
        if by_a {
            let each = B::float_matmul(by_radial.clone(), B::float_swap_dims(products(), 2, 3));
            let sum = B::float_reshape(B::float_sum_dim(each, 1), [nodes, group.room, s.h].into());
            of_a.push(group.unseat(sum));
        }
        if by_x || by_w {
            let by_products = B::float_matmul(B::float_swap_dims(group.hidden(hidden, s), 2, 3), by_radial);
            let by_products = B::float_reshape(by_products, [nodes * s.p, s.h * s.kernels * s.o].into());
            if by_w {
                let part = B::float_matmul(B::float_transpose(rows), by_products.clone());
                of_w = Some(match of_w {
                    Some(sum) => B::float_add(sum, part),
                    None => part,
                });
            }
            if by_x {
                // Groups without edges were left out.
                if group.nodes.start > done {
                    of_x.push(zeros([group.nodes.start - done, s.p, s.i]));
                }
                let part = B::float_matmul(by_products, B::float_transpose(w.clone()));
                of_x.push(B::float_reshape(part, [nodes, s.p, s.i].into()));
                done = group.nodes.end;
            }
        }
    }
    if by_x && done < senders.host.count() {
        of_x.push(zeros([senders.host.count() - done, s.p, s.i]));
    }
    (
        by_x.then(|| B::float_cat(of_x, 0)),
        by_a.then(|| restored::<B>(of_a, &senders.host, index)),
        by_b.then(|| restored::<B>(of_b, &senders.host, index)),
        of_w,
    )
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use std::sync::Arc;

    use burn::backend::Flex;
    use burn::backend::flex::FlexTensor;
    use burn::backend::ops::IntTensorOps;
    use burn::tensor::TensorData;

    use super::*;
    use crate::ops::extension::RowOps;

    fn numbers(shape: &[usize], seed: u64) -> FlexTensor {
        let count = shape.iter().product::<usize>();
        let values: Vec<f64> = (0..count).map(|place| ((place as f64 + 0.37) * (seed as f64 + 1.93)).sin()).collect();
        FlexTensor::from_data(TensorData::new(values, shape.to_vec()))
    }

    fn values(tensor: FlexTensor) -> Vec<f64> {
        tensor.to_contiguous().storage::<f64>().to_vec()
    }

    /// Every backend without a kernel of its own runs this, so it is held against the kernel of flex: nodes in one group and in many.
    #[test]
    fn agrees_with_the_kernel_of_flex() {
        let order: Vec<usize> = vec![4, 0, 2, 1, 3, 5];
        let ids = vec![1, 3, 1, 3, 0, 3];
        let offsets = vec![0, 1, 3, 3, 6, 6];
        let rows = Arc::new(Rows { ids: ids.clone(), offsets, order, sorted: false });
        let upload = |ids: &[usize]| {
            let values: Vec<i64> = ids.iter().map(|&id| id as i64).collect();
            let shape = [values.len()];
            Flex::int_from_data(TensorData::new(values, shape), &Default::default())
        };
        let segments = || BackendSegments::<Flex> {
            ids: upload(&ids),
            offsets: upload(&rows.offsets),
            order: upload(&rows.order),
            host: rows.clone(),
        };
        // With so many columns a node fills a group; with all rows alike flex goes another way.
        for (columns, alike) in [(2 * 15, false), (2 * 100, false), (2 * 15, true), (2 * 100, true)] {
            let (p, i, h, q) = (3, 2, 4, 5);
            let kernels = 2;
            let tensors = || {
                let shapes: [&[usize]; 4] = [&[5, p, i], &[6, h], &[6, q, p * kernels], &[i, h * columns]];
                let mut seeds = 0..;
                let [x, a, b, w] = shapes.map(|shape| numbers(shape, seeds.next().expect("a seed")));
                let rows = (0..6 * h).map(|place| (place / h + 1) as f64 * (0.3 + place as f64 % h as f64)).collect();
                let alike = alike.then(|| FlexTensor::from_data(TensorData::new::<f64, _>(rows, [6, h])));
                [x, alike.unwrap_or(a), b, w]
            };
            let [x, a, b, w] = tensors();
            let given = radial_product::<Flex>(x, a, b, w, segments());
            let [x, a, b, w] = tensors();
            let wanted = <Flex as RowOps>::radial_product(x, a, b, w, segments());
            let close = |given: FlexTensor, wanted: FlexTensor| {
                assert_eq!(given.shape(), wanted.shape());
                let worst = values(given).iter().zip(values(wanted)).fold(0.0, |m: f64, (a, b)| m.max((a - b).abs()));
                assert!(worst < 1e-12, "{worst}");
            };
            let gradient = numbers(&[6, q, columns / kernels], 9);
            close(given, wanted);
            for needed in [[true; 4], [true, false, false, false], [false, false, true, false]] {
                let [x, a, b, w] = tensors();
                let given = radial_product_gradient::<Flex>(x, a, b, w, segments(), gradient.clone(), needed);
                let [x, a, b, w] = tensors();
                let wanted =
                    <Flex as RowOps>::radial_product_gradient(x, a, b, w, segments(), gradient.clone(), needed);
                let pairs = [(given.0, wanted.0), (given.1, wanted.1), (given.2, wanted.2), (given.3, wanted.3)];
                for ((given, wanted), needed) in pairs.into_iter().zip(needed) {
                    assert_eq!((given.is_some(), wanted.is_some()), (needed, needed));
                    if let (Some(given), Some(wanted)) = (given, wanted) {
                        close(given, wanted);
                    }
                }
            }
        }
    }
}
