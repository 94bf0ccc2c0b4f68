//! Gradients, written by hand.

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::tensor::FloatTensor;

use super::{BatchNorm, FeatureMapOps, PoolWindow, composed};

impl<B: FeatureMapOps, C: CheckpointStrategy> FeatureMapOps for Autodiff<B, C> {
    fn elu(x: FloatTensor<Self>, alpha: f64) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct Elu;

        impl<B: FeatureMapOps> Backward<B, 1> for Elu {
            type State = (FloatTensor<B>, f64);

            fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
                let (x, alpha) = ops.state;
                unary::<B, _>(ops.parents, ops.node, grads, |gradient| B::elu_gradient(x, alpha, gradient));
            }
        }

        let (x, node) = x.into_parts();
        match Elu.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((x.clone(), alpha), B::elu(x, alpha)),
            OpsKind::UnTracked(prep) => prep.finish(B::elu(x, alpha)),
        }
    }

    fn maximum_over_windows(x: FloatTensor<Self>, window: PoolWindow) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct MaximumOverWindows;

        impl<B: FeatureMapOps> Backward<B, 1> for MaximumOverWindows {
            type State = (FloatTensor<B>, PoolWindow);

            fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
                let (x, window) = ops.state;
                unary::<B, _>(ops.parents, ops.node, grads, |gradient| {
                    B::maximum_over_windows_gradient(x, window, gradient)
                });
            }
        }

        let (x, node) = x.into_parts();
        match MaximumOverWindows.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((x.clone(), window), B::maximum_over_windows(x, window)),
            OpsKind::UnTracked(prep) => prep.finish(B::maximum_over_windows(x, window)),
        }
    }

    fn channel_moments(x: FloatTensor<Self>) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct ChannelMoments;

        impl<B: FeatureMapOps> Backward<B, 1> for ChannelMoments {
            type State = [FloatTensor<B>; 2];

            fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
                let [x, moments] = ops.state;
                unary::<B, _>(ops.parents, ops.node, grads, |gradient| {
                    B::channel_moments_gradient(x, moments, gradient)
                });
            }
        }

        let (x, node) = x.into_parts();
        let moments = B::channel_moments(x.clone());
        match ChannelMoments.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish([x, moments.clone()], moments),
            OpsKind::UnTracked(prep) => prep.finish(moments),
        }
    }

    fn channel_affine(
        x: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct ChannelAffine;

        impl<B: FeatureMapOps> Backward<B, 4> for ChannelAffine {
            type State = [FloatTensor<B>; 3];

            fn backward(self, ops: Ops<Self::State, 4>, grads: &mut Gradients, _: &mut Checkpointer) {
                let gradient = grads.consume::<B>(&ops.node);
                let [x, mean, scale] = ops.state;
                let (by_x, by_both) = B::channel_affine_gradient(x, mean, scale.clone(), gradient);
                let (by_scale, by_shift) =
                    (composed::row_of::<B>(by_both.clone(), 0), composed::row_of::<B>(by_both, 1));
                // A mean is taken away before the scale.
                let by_mean = B::float_neg(B::float_mul(by_shift.clone(), scale));
                for (parent, by_parent) in ops.parents.into_iter().zip([by_x, by_mean, by_scale, by_shift]) {
                    if let Some(parent) = parent {
                        grads.register::<B>(parent.id, by_parent);
                    }
                }
            }
        }

        let nodes = [x.node(), mean.node(), scale.node(), shift.node()];
        let [x, mean, scale, shift] = [x, mean, scale, shift].map(|tensor| tensor.into_primitive());
        match ChannelAffine.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let state = [x.clone(), mean.clone(), scale.clone()];
                prep.finish(state, B::channel_affine(x, mean, scale, shift))
            }
            OpsKind::UnTracked(prep) => prep.finish(B::channel_affine(x, mean, scale, shift)),
        }
    }

    fn normalise_blocks(
        x: FloatTensor<Self>,
        moments: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        norm: BatchNorm,
    ) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct Normalised;

        impl<B: FeatureMapOps> Backward<B, 3> for Normalised {
            type State = ([FloatTensor<B>; 4], BatchNorm);

            fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
                let gradient = grads.consume::<B>(&ops.node);
                let ([x, moments, gamma, beta], norm) = ops.state;
                let (by_x, by_both) = B::normalise_blocks_gradient(x, moments, gamma, beta, norm, gradient);
                let [by_gamma, by_beta] = [0, 1].map(|row| composed::row_of::<B>(by_both.clone(), row));
                for (parent, by_parent) in ops.parents.into_iter().zip([by_x, by_gamma, by_beta]) {
                    if let Some(parent) = parent {
                        grads.register::<B>(parent.id, by_parent);
                    }
                }
            }
        }

        // The moments are those of `x`: they have no gradient of their own.
        let nodes = [x.node(), gamma.node(), beta.node()];
        let [x, moments, gamma, beta] = [x, moments, gamma, beta].map(|tensor| tensor.into_primitive());
        match Normalised.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let state = [x.clone(), moments.clone(), gamma.clone(), beta.clone()];
                prep.finish((state, norm.clone()), B::normalise_blocks(x, moments, gamma, beta, norm))
            }
            OpsKind::UnTracked(prep) => prep.finish(B::normalise_blocks(x, moments, gamma, beta, norm)),
        }
    }
}
