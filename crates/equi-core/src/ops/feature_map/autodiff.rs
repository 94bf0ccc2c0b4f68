//! Gradients, written by hand.

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::tensor::FloatTensor;

use super::{FeatureMapOps, PoolWindow};

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
}
