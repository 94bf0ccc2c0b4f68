//! The gradient, written by hand.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend};

use super::{ConvSteps, ConvSymmetry, SteerableConvOps};

impl<B: SteerableConvOps, C: CheckpointStrategy> SteerableConvOps for Autodiff<B, C> {
    fn steerable_conv2d(
        input: FloatTensor<Self>,
        filter: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        steps: ConvSteps,
        symmetry: ConvSymmetry,
    ) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct SteerableConv2d;

        impl<B: SteerableConvOps> Backward<B, 3> for SteerableConv2d {
            type State = ([FloatTensor<B>; 2], ConvSteps, ConvSymmetry);

            fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
                let gradient = grads.consume::<B>(&ops.node);
                let ([input, filter], steps, symmetry) = ops.state;
                let [by_input, by_filter, by_bias] = ops.parents;
                if let Some(bias) = by_bias {
                    grads.register::<B>(bias.id, B::sum_of_channels(gradient.clone()));
                }
                let needed = [by_input.is_some(), by_filter.is_some()];
                if needed == [false, false] {
                    return;
                }
                let (input, filter) = B::steerable_conv2d_gradient(input, filter, gradient, steps, symmetry, needed);
                for (parent, by_parent) in [(by_input, input), (by_filter, filter)] {
                    if let (Some(parent), Some(by_parent)) = (parent, by_parent) {
                        grads.register::<B>(parent.id, by_parent);
                    }
                }
            }
        }

        let nodes = [input.node(), filter.node(), bias.node()];
        let [input, filter, bias] = [input, filter, bias].map(|tensor| tensor.into_primitive());
        match SteerableConv2d.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let state = ([input.clone(), filter.clone()], steps, symmetry.clone());
                prep.finish(state, B::steerable_conv2d(input, filter, bias, steps, symmetry))
            }
            OpsKind::UnTracked(prep) => prep.finish(B::steerable_conv2d(input, filter, bias, steps, symmetry)),
        }
    }

    fn sum_of_channels(gradient: FloatTensor<Self>) -> FloatTensor<Self> {
        // Only gradients are summed like this, and there is no gradient of a gradient.
        Self::from_inner(B::sum_of_channels(Self::inner(gradient)))
    }
}
