//! Gradients, written by hand.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, NodeGuard, Ops, OpsKind, unary};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, TensorMetadata};

use super::extension::{BackendSegments, RowOps};
use super::kept::Kept;
use super::message_network::{self, BackendMessages, OptionalTensors};
use super::perceptron::{self, BackendPerceptron};

impl<B: RowOps, C: CheckpointStrategy> RowOps for Autodiff<B, C> {
    fn swish(x: FloatTensor<Self>) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct Swish;

        impl<B: RowOps> Backward<B, 1> for Swish {
            type State = FloatTensor<B>;

            fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
                unary::<B, _>(ops.parents, ops.node, grads, |gradient| B::swish_gradient(ops.state, gradient));
            }
        }

        let (x, node) = x.into_parts();
        match Swish.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(x.clone(), B::swish(x)),
            OpsKind::UnTracked(prep) => prep.finish(B::swish(x)),
        }
    }

    fn gaussian_unit(x: FloatTensor<Self>) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct GaussianUnit;

        impl<B: RowOps> Backward<B, 1> for GaussianUnit {
            type State = FloatTensor<B>;

            fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
                unary::<B, _>(ops.parents, ops.node, grads, |gradient| B::gaussian_unit_gradient(ops.state, gradient));
            }
        }

        let (x, node) = x.into_parts();
        match GaussianUnit.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(x.clone(), B::gaussian_unit(x)),
            OpsKind::UnTracked(prep) => prep.finish(B::gaussian_unit(x)),
        }
    }

    fn bias_swish(x: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct BiasSwish;

        impl<B: RowOps> Backward<B, 2> for BiasSwish {
            type State = (FloatTensor<B>, FloatTensor<B>);

            fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
                let gradient = grads.consume::<B>(&ops.node);
                let (x, bias) = ops.state;
                let (by_x, by_bias) = B::bias_swish_gradient(x, bias, gradient);
                let [x, bias] = ops.parents;
                if let Some(x) = x {
                    grads.register::<B>(x.id, by_x);
                }
                if let Some(bias) = bias {
                    grads.register::<B>(bias.id, by_bias);
                }
            }
        }

        let ([x, bias], nodes) = parts::<B, C, _>([x, bias]);
        match BiasSwish.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((x.clone(), bias.clone()), B::bias_swish(x, bias)),
            OpsKind::UnTracked(prep) => prep.finish(B::bias_swish(x, bias)),
        }
    }

    fn gate(x: FloatTensor<Self>, weight: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct Gate;

        impl<B: RowOps> Backward<B, 3> for Gate {
            type State = [FloatTensor<B>; 3];

            fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
                let gradient = grads.consume::<B>(&ops.node);
                let [x, weight, bias] = ops.state;
                let (by_x, by_weight, by_bias) = B::gate_gradient(x, weight, bias, gradient);
                for (parent, by_parent) in ops.parents.into_iter().zip([by_x, by_weight, by_bias]) {
                    if let Some(parent) = parent {
                        grads.register::<B>(parent.id, by_parent);
                    }
                }
            }
        }

        let (tensors, nodes) = parts::<B, C, _>([x, weight, bias]);
        let gate = |[x, weight, bias]: [FloatTensor<B>; 3]| B::gate(x, weight, bias);
        match Gate.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(tensors.clone(), gate(tensors)),
            OpsKind::UnTracked(prep) => prep.finish(gate(tensors)),
        }
    }

    fn gather_rows(values: FloatTensor<Self>, segments: BackendSegments<Self>) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct GatherRows;

        impl<B: RowOps> Backward<B, 1> for GatherRows {
            type State = BackendSegments<B>;

            fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
                unary::<B, _>(ops.parents, ops.node, grads, |gradient| B::sum_rows(gradient, ops.state));
            }
        }

        let (segments, (values, node)) = (inner::<B, C>(segments), values.into_parts());
        match GatherRows.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(segments.clone(), B::gather_rows(values, segments)),
            OpsKind::UnTracked(prep) => prep.finish(B::gather_rows(values, segments)),
        }
    }

    fn edge_differences(
        values: FloatTensor<Self>,
        receivers: BackendSegments<Self>,
        senders: BackendSegments<Self>,
    ) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct EdgeDifferences;

        impl<B: RowOps> Backward<B, 1> for EdgeDifferences {
            type State = [BackendSegments<B>; 2];

            fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
                unary::<B, _>(ops.parents, ops.node, grads, |gradient| {
                    let [receivers, senders] = ops.state;
                    B::float_sub(B::sum_rows(gradient.clone(), receivers), B::sum_rows(gradient, senders))
                });
            }
        }

        let [receivers, senders] = [receivers, senders].map(inner::<B, C>);
        let (values, node) = values.into_parts();
        match EdgeDifferences.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                prep.finish([receivers.clone(), senders.clone()], B::edge_differences(values, receivers, senders))
            }
            OpsKind::UnTracked(prep) => prep.finish(B::edge_differences(values, receivers, senders)),
        }
    }

    fn sum_rows(values: FloatTensor<Self>, segments: BackendSegments<Self>) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct SumRows;

        impl<B: RowOps> Backward<B, 1> for SumRows {
            type State = BackendSegments<B>;

            fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
                unary::<B, _>(ops.parents, ops.node, grads, |gradient| B::gather_rows(gradient, ops.state));
            }
        }

        let (segments, (values, node)) = (inner::<B, C>(segments), values.into_parts());
        match SumRows.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(segments.clone(), B::sum_rows(values, segments)),
            OpsKind::UnTracked(prep) => prep.finish(B::sum_rows(values, segments)),
        }
    }

    fn head_products(
        segment_values: FloatTensor<Self>,
        values: FloatTensor<Self>,
        segments: BackendSegments<Self>,
        heads: usize,
    ) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct HeadProducts;

        impl<B: RowOps> Backward<B, 2> for HeadProducts {
            type State = ([FloatTensor<B>; 2], BackendSegments<B>);

            fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
                let gradient = grads.consume::<B>(&ops.node);
                let ([segment_values, values], segments) = ops.state;
                let [by_segments, by_values] = ops.parents;
                if let Some(parent) = by_segments {
                    grads.register::<B>(parent.id, B::head_sums(values, gradient.clone(), segments.clone()));
                }
                if let Some(parent) = by_values {
                    grads.register::<B>(parent.id, B::head_spread(segment_values, gradient, segments));
                }
            }
        }

        let segments = inner::<B, C>(segments);
        let (tensors, nodes) = parts::<B, C, _>([segment_values, values]);
        let products = |[segment_values, values]: [FloatTensor<B>; 2], segments| {
            B::head_products(segment_values, values, segments, heads)
        };
        match HeadProducts.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let state = (tensors.clone(), segments.clone());
                prep.finish(state, products(tensors, segments))
            }
            OpsKind::UnTracked(prep) => prep.finish(products(tensors, segments)),
        }
    }

    fn head_sums(
        values: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        segments: BackendSegments<Self>,
    ) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct HeadSums;

        impl<B: RowOps> Backward<B, 2> for HeadSums {
            type State = ([FloatTensor<B>; 2], BackendSegments<B>);

            fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
                let gradient = grads.consume::<B>(&ops.node);
                let ([values, weights], segments) = ops.state;
                let heads = weights.shape()[1];
                let [by_values, by_weights] = ops.parents;
                if let Some(parent) = by_values {
                    grads.register::<B>(parent.id, B::head_spread(gradient.clone(), weights, segments.clone()));
                }
                if let Some(parent) = by_weights {
                    grads.register::<B>(parent.id, B::head_products(gradient, values, segments, heads));
                }
            }
        }

        let segments = inner::<B, C>(segments);
        let (tensors, nodes) = parts::<B, C, _>([values, weights]);
        let sums = |[values, weights]: [FloatTensor<B>; 2], segments| B::head_sums(values, weights, segments);
        match HeadSums.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let state = (tensors.clone(), segments.clone());
                prep.finish(state, sums(tensors, segments))
            }
            OpsKind::UnTracked(prep) => prep.finish(sums(tensors, segments)),
        }
    }

    fn combine_edges(
        received: FloatTensor<Self>,
        sent: FloatTensor<Self>,
        edges: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        receivers: BackendSegments<Self>,
        senders: BackendSegments<Self>,
    ) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct CombineEdges;

        impl<B: RowOps> Backward<B, 4> for CombineEdges {
            type State = ([FloatTensor<B>; 4], [BackendSegments<B>; 2]);

            fn backward(self, ops: Ops<Self::State, 4>, grads: &mut Gradients, _: &mut Checkpointer) {
                let gradient = grads.consume::<B>(&ops.node);
                let ([received, sent, edges, weight], [receivers, senders]) = ops.state;
                let needed = ops.parents.each_ref().map(Option::is_some);
                let (by_received, by_sent, by_edges, by_weight) =
                    B::combine_edges_gradient(received, sent, edges, weight, receivers, senders, gradient, needed);
                for (parent, by_parent) in ops.parents.into_iter().zip([by_received, by_sent, by_edges, by_weight]) {
                    if let (Some(parent), Some(by_parent)) = (parent, by_parent) {
                        grads.register::<B>(parent.id, by_parent);
                    }
                }
            }
        }

        let (receivers, senders) = (inner::<B, C>(receivers), inner::<B, C>(senders));
        let (tensors, nodes) = parts::<B, C, _>([received, sent, edges, weight]);
        let combine = |[received, sent, edges, weight]: [FloatTensor<B>; 4], receivers, senders| {
            B::combine_edges(received, sent, edges, weight, receivers, senders)
        };
        match CombineEdges.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let state = (tensors.clone(), [receivers.clone(), senders.clone()]);
                prep.finish(state, combine(tensors, receivers, senders))
            }
            OpsKind::UnTracked(prep) => prep.finish(combine(tensors, receivers, senders)),
        }
    }

    fn linear_rows(x: FloatTensor<Self>, weight: FloatTensor<Self>, bias: OptionalTensors<Self>) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct LinearRows;

        impl<B: RowOps> Backward<B, 3> for LinearRows {
            type State = ([FloatTensor<B>; 2], bool);

            fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
                let gradient = grads.consume::<B>(&ops.node);
                let ([x, weight], biased) = ops.state;
                let mut needed = ops.parents.each_ref().map(Option::is_some);
                needed[2] &= biased;
                let all = B::linear_rows_gradient(x, weight, gradient, needed);
                for (parent, by_parent) in ops.parents.into_iter().zip(all) {
                    if let (Some(parent), Some(by_parent)) = (parent, by_parent) {
                        grads.register::<B>(parent.id, by_parent);
                    }
                }
            }
        }

        // Where there is no bias, the weight takes its place in the graph.
        let biased = bias.tensors()[0].is_some();
        let nodes = [x.node(), weight.node(), bias.tensors()[0].unwrap_or(&weight).node()];
        let (x, weight) = (x.into_primitive(), weight.into_primitive());
        let bias = bias.map(&mut |tensor: FloatTensor<Self>| tensor.into_primitive());
        match LinearRows.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                prep.finish(([x.clone(), weight.clone()], biased), B::linear_rows(x, weight, bias))
            }
            OpsKind::UnTracked(prep) => prep.finish(B::linear_rows(x, weight, bias)),
        }
    }

    fn perceptron(network: BackendPerceptron<Self>) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct Perceptron;

        impl<B: RowOps> Backward<B, { perceptron::ARGUMENTS }> for Perceptron {
            type State = BackendPerceptron<B>;

            fn backward(
                self,
                ops: Ops<Self::State, { perceptron::ARGUMENTS }>,
                grads: &mut Gradients,
                _: &mut Checkpointer,
            ) {
                let gradient = grads.consume::<B>(&ops.node);
                let mut needed = ops.parents.each_ref().map(Option::is_some);
                for (needed, tensor) in needed.iter_mut().zip(ops.state.tensors()) {
                    *needed &= tensor.is_some();
                }
                let all = B::perceptron_gradient(ops.state, gradient, needed);
                for (parent, by_parent) in ops.parents.into_iter().zip(all) {
                    if let (Some(parent), Some(by_parent)) = (parent, by_parent) {
                        grads.register::<B>(parent.id, by_parent);
                    }
                }
            }
        }

        // Where an argument is missing, another takes its place in the graph; it is not asked for a gradient there.
        let nodes = network.tensors().map(|tensor| tensor.unwrap_or(&network.x).node());
        let network = network.map(|tensor: FloatTensor<Self>| tensor.into_primitive());
        match Perceptron.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(network.clone(), B::perceptron(network)),
            OpsKind::UnTracked(prep) => prep.finish(B::perceptron(network)),
        }
    }

    fn message_network(
        messages: BackendMessages<Self>,
        receivers: BackendSegments<Self>,
        senders: BackendSegments<Self>,
        _: Option<Kept>,
    ) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct MessageNetwork;

        impl<B: RowOps> Backward<B, { message_network::ARGUMENTS }> for MessageNetwork {
            type State = (BackendMessages<B>, [BackendSegments<B>; 2], Kept);

            fn backward(
                self,
                ops: Ops<Self::State, { message_network::ARGUMENTS }>,
                grads: &mut Gradients,
                _: &mut Checkpointer,
            ) {
                let gradient = grads.consume::<B>(&ops.node);
                let (messages, [receivers, senders], kept) = ops.state;
                let mut needed = ops.parents.each_ref().map(Option::is_some);
                for (needed, tensor) in needed.iter_mut().zip(messages.tensors()) {
                    *needed &= tensor.is_some();
                }
                let all = B::message_network_gradient(messages, receivers, senders, gradient, kept, needed);
                for (parent, by_parent) in ops.parents.into_iter().zip(all) {
                    if let (Some(parent), Some(by_parent)) = (parent, by_parent) {
                        grads.register::<B>(parent.id, by_parent);
                    }
                }
            }
        }

        let (receivers, senders) = (inner::<B, C>(receivers), inner::<B, C>(senders));
        // Where an argument is missing, another takes its place in the graph; it is not asked for a gradient there.
        let first = &messages.received;
        let nodes = messages.tensors().map(|tensor| tensor.unwrap_or(first).node());
        let messages = messages.map(|tensor| tensor.into_primitive());
        match MessageNetwork.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let kept = Kept::default();
                let state = (messages.clone(), [receivers.clone(), senders.clone()], kept.clone());
                prep.finish(state, B::message_network(messages, receivers, senders, Some(kept)))
            }
            OpsKind::UnTracked(prep) => prep.finish(B::message_network(messages, receivers, senders, None)),
        }
    }

    fn radial_product(
        features: FloatTensor<Self>,
        hidden: FloatTensor<Self>,
        angular: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        senders: BackendSegments<Self>,
    ) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct RadialProduct;

        impl<B: RowOps> Backward<B, 4> for RadialProduct {
            type State = ([FloatTensor<B>; 4], BackendSegments<B>);

            fn backward(self, ops: Ops<Self::State, 4>, grads: &mut Gradients, _: &mut Checkpointer) {
                let gradient = grads.consume::<B>(&ops.node);
                let ([features, hidden, angular, weight], senders) = ops.state;
                let needed = ops.parents.each_ref().map(Option::is_some);
                let (by_features, by_hidden, by_angular, by_weight) =
                    B::radial_product_gradient(features, hidden, angular, weight, senders, gradient, needed);
                for (parent, by_parent) in ops.parents.into_iter().zip([by_features, by_hidden, by_angular, by_weight])
                {
                    if let (Some(parent), Some(by_parent)) = (parent, by_parent) {
                        grads.register::<B>(parent.id, by_parent);
                    }
                }
            }
        }

        let senders = inner::<B, C>(senders);
        let (tensors, nodes) = parts::<B, C, _>([features, hidden, angular, weight]);
        let product = |[features, hidden, angular, weight]: [FloatTensor<B>; 4], senders| {
            B::radial_product(features, hidden, angular, weight, senders)
        };
        match RadialProduct.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let state = (tensors.clone(), senders.clone());
                prep.finish(state, product(tensors, senders))
            }
            OpsKind::UnTracked(prep) => prep.finish(product(tensors, senders)),
        }
    }

    fn radial_network(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        next_weight: FloatTensor<Self>,
        next_bias: FloatTensor<Self>,
        next_scale: FloatTensor<Self>,
        next_shift: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct RadialNetwork;

        impl<B: RowOps> Backward<B, 9> for RadialNetwork {
            type State = ([FloatTensor<B>; 9], f64);

            fn backward(self, ops: Ops<Self::State, 9>, grads: &mut Gradients, _: &mut Checkpointer) {
                let gradient = grads.consume::<B>(&ops.node);
                let ([x, a, b, c, d, e, f, g, h], epsilon) = ops.state;
                let by_x = ops.parents[0].is_some();
                let (by_x, a, b, c, d, e, f, g, h) =
                    B::radial_network_gradient(x, a, b, c, d, e, f, g, h, epsilon, gradient, by_x);
                let all = std::iter::once(by_x).chain([a, b, c, d, e, f, g, h].map(Some));
                for (parent, by_parent) in ops.parents.into_iter().zip(all) {
                    if let (Some(parent), Some(by_parent)) = (parent, by_parent) {
                        grads.register::<B>(parent.id, by_parent);
                    }
                }
            }
        }

        let tensors = [x, weight, bias, scale, shift, next_weight, next_bias, next_scale, next_shift];
        let (tensors, nodes) = parts::<B, C, _>(tensors);
        let network =
            |[x, a, b, c, d, e, f, g, h]: [FloatTensor<B>; 9]| B::radial_network(x, a, b, c, d, e, f, g, h, epsilon);
        match RadialNetwork.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((tensors.clone(), epsilon), network(tensors)),
            OpsKind::UnTracked(prep) => prep.finish(network(tensors)),
        }
    }

    fn norm_gelu(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct NormGelu;

        impl<B: RowOps> Backward<B, 3> for NormGelu {
            type State = ([FloatTensor<B>; 3], f64);

            fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
                let gradient = grads.consume::<B>(&ops.node);
                let ([x, scale, shift], epsilon) = ops.state;
                let (by_x, by_scale, by_shift) = B::norm_gelu_gradient(x, scale, shift, epsilon, gradient);
                for (parent, by_parent) in ops.parents.into_iter().zip([by_x, by_scale, by_shift]) {
                    if let Some(parent) = parent {
                        grads.register::<B>(parent.id, by_parent);
                    }
                }
            }
        }

        let (tensors, nodes) = parts::<B, C, _>([x, scale, shift]);
        let norm_gelu = |[x, scale, shift]: [FloatTensor<B>; 3]| B::norm_gelu(x, scale, shift, epsilon);
        match NormGelu.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((tensors.clone(), epsilon), norm_gelu(tensors)),
            OpsKind::UnTracked(prep) => prep.finish(norm_gelu(tensors)),
        }
    }
}

/// The tensors, and the nodes that keep them in the graph.
pub(super) fn parts<B: Backend, C: CheckpointStrategy, const N: usize>(
    tensors: [FloatTensor<Autodiff<B, C>>; N],
) -> ([FloatTensor<B>; N], [NodeGuard; N]) {
    let nodes = tensors.each_ref().map(|tensor| tensor.node());
    (tensors.map(|tensor| tensor.into_primitive()), nodes)
}

/// The same segments: integers are not recorded.
pub(super) fn inner<B: RowOps, C: CheckpointStrategy>(segments: BackendSegments<Autodiff<B, C>>) -> BackendSegments<B> {
    let BackendSegments { ids, offsets, order, host } = segments;
    BackendSegments { ids, offsets, order, host }
}
