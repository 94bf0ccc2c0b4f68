//! Gradients, written by hand.

use std::sync::Arc;

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::tensor::FloatTensor;

use super::extension::ProductOps;
use super::{Couplings, HarmonicCouplings, HarmonicRecursion};
use crate::ops::autodiff::{inner, parts};
use crate::ops::{BackendSegments, RowOps};

/// A product of three arguments: its gradients go to those that are asked for.
macro_rules! product {
    ($name:ident, $state:ty, |$arguments:ident, $rest:ident, $gradient:ident, $needed:ident| $backward:expr) => {
        #[derive(Debug)]
        struct $name;

        impl<B: ProductOps> Backward<B, 3> for $name {
            type State = ([FloatTensor<B>; 3], $state);

            fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
                let $gradient = grads.consume::<B>(&ops.node);
                let ($arguments, $rest) = ops.state;
                let $needed = ops.parents.each_ref().map(Option::is_some);
                let (by_first, by_second, by_weights) = $backward;
                for (parent, by_parent) in ops.parents.into_iter().zip([by_first, by_second, by_weights]) {
                    if let (Some(parent), Some(by_parent)) = (parent, by_parent) {
                        grads.register::<B>(parent.id, by_parent);
                    }
                }
            }
        }
    };
}

impl<B: ProductOps + RowOps, C: CheckpointStrategy> ProductOps for Autodiff<B, C> {
    fn harmonics(points: FloatTensor<Self>, recursion: Arc<HarmonicRecursion>) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct Harmonics;

        impl<B: ProductOps> Backward<B, 1> for Harmonics {
            type State = (FloatTensor<B>, Arc<HarmonicRecursion>);

            fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
                let (points, recursion) = ops.state;
                unary::<B, _>(ops.parents, ops.node, grads, |gradient| {
                    B::harmonics_gradient(points, gradient, recursion)
                });
            }
        }

        let (points, node) = points.into_parts();
        match Harmonics.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((points.clone(), recursion.clone()), B::harmonics(points, recursion)),
            OpsKind::UnTracked(prep) => prep.finish(B::harmonics(points, recursion)),
        }
    }

    fn uvu_product(
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        couplings: Arc<Couplings>,
    ) -> FloatTensor<Self> {
        product!(UvuProduct, Arc<Couplings>, |arguments, couplings, gradient, needed| {
            let [first, second, weights] = arguments;
            B::uvu_product_gradient(first, second, weights, couplings, gradient, needed)
        });

        let (tensors, nodes) = parts::<B, C, _>([first, second, weights]);
        let [first, second, weights] = tensors.clone();
        let product = B::uvu_product(first, second, weights, couplings.clone());
        match UvuProduct.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((tensors, couplings), product),
            OpsKind::UnTracked(prep) => prep.finish(product),
        }
    }

    fn uvu_messages(
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        couplings: Arc<Couplings>,
        senders: BackendSegments<Self>,
        receivers: BackendSegments<Self>,
    ) -> FloatTensor<Self> {
        product!(UvuMessages, (Arc<Couplings>, [BackendSegments<B>; 2]), |arguments, rest, gradient, needed| {
            let ([first, second, weights], (couplings, [senders, receivers])) = (arguments, rest);
            B::uvu_messages_gradient(first, second, weights, couplings, senders, receivers, gradient, needed)
        });

        let (senders, receivers) = (inner::<B, C>(senders), inner::<B, C>(receivers));
        let (tensors, nodes) = parts::<B, C, _>([first, second, weights]);
        let [first, second, weights] = tensors.clone();
        let messages = B::uvu_messages(first, second, weights, couplings.clone(), senders.clone(), receivers.clone());
        match UvuMessages.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((tensors, (couplings, [senders, receivers])), messages),
            OpsKind::UnTracked(prep) => prep.finish(messages),
        }
    }

    fn harmonic_messages(
        features: FloatTensor<Self>,
        vectors: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        couplings: Arc<HarmonicCouplings>,
        senders: BackendSegments<Self>,
        receivers: BackendSegments<Self>,
    ) -> FloatTensor<Self> {
        product!(
            HarmonicMessages,
            (Arc<HarmonicCouplings>, [BackendSegments<B>; 2]),
            |arguments, rest, gradient, needed| {
                let ([features, vectors, weights], (couplings, [senders, receivers])) = (arguments, rest);
                B::harmonic_messages_gradient(
                    features, vectors, weights, couplings, senders, receivers, gradient, needed,
                )
            }
        );

        let (senders, receivers) = (inner::<B, C>(senders), inner::<B, C>(receivers));
        let (tensors, nodes) = parts::<B, C, _>([features, vectors, weights]);
        let [features, vectors, weights] = tensors.clone();
        let (from, to) = (senders.clone(), receivers.clone());
        let messages = B::harmonic_messages(features, vectors, weights, couplings.clone(), from, to);
        match HarmonicMessages.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((tensors, (couplings, [senders, receivers])), messages),
            OpsKind::UnTracked(prep) => prep.finish(messages),
        }
    }

    fn uvw_product(
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        couplings: Arc<Couplings>,
    ) -> FloatTensor<Self> {
        product!(UvwProduct, Arc<Couplings>, |arguments, couplings, gradient, needed| {
            let [first, second, weights] = arguments;
            B::uvw_product_gradient(first, second, weights, couplings, gradient, needed)
        });

        let (tensors, nodes) = parts::<B, C, _>([first, second, weights]);
        let [first, second, weights] = tensors.clone();
        let product = B::uvw_product(first, second, weights, couplings.clone());
        match UvwProduct.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((tensors, couplings), product),
            OpsKind::UnTracked(prep) => prep.finish(product),
        }
    }
}
