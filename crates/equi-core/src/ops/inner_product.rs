//! The inner product of two tensors: the loss whose gradient by an output is a given cotangent.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, binary};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, TensorMetadata, backend_extension};
use burn::tensor::{Shape, Tensor};

/// `sum x y` over all numbers of two tensors of one shape.
///
/// With a cotangent in the place of `y`, its gradients are the vector-Jacobian product of whatever made `x`. On flex it is one pass over both that writes
/// nothing, and where it is the loss itself the gradient by `x` is `y`, not a copy.
///
/// # Shapes
/// - `x`, `y`: any, the same
/// - output: `[1]`
///
/// # Panics
/// If the shapes differ.
pub fn inner_product<const D: usize>(x: Tensor<D>, y: Tensor<D>) -> Tensor<1> {
    let (given, other) = (x.dims(), y.dims());
    assert_eq!(given, other, "inner_product takes two tensors of one shape");
    if x.shape().num_elements() == 0 {
        return Tensor::zeros([1], (&x.device(), x.dtype()));
    }
    Tensor::from_dispatch(<Dispatch as InnerProductOps>::inner_product(x.into_dispatch(), y.into_dispatch()))
}

/// The inner product, as an extension of Burn's backends. Nothing is empty.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Cube: cfg(any(feature = "wgpu", feature = "cuda", feature = "rocm")),
    Fusion: cfg(any(feature = "wgpu", feature = "cuda", feature = "rocm")),
    Autodiff,
)]
pub trait InnerProductOps: Backend {
    /// `sum x y`, `[1]`.
    #[fusion(default)]
    fn inner_product(x: FloatTensor<Self>, y: FloatTensor<Self>) -> FloatTensor<Self> {
        composed::inner_product::<Self>(x, y)
    }

    /// `g x` with the number `g [1]`, which is the gradient of [`inner_product`](Self::inner_product) by `y`.
    #[fusion(default)]
    fn inner_product_gradient(x: FloatTensor<Self>, gradient: FloatTensor<Self>) -> FloatTensor<Self> {
        composed::inner_product_gradient::<Self>(x, gradient)
    }
}

pub(super) mod composed {
    use super::*;

    pub(in crate::ops) fn inner_product<B: Backend>(x: FloatTensor<B>, y: FloatTensor<B>) -> FloatTensor<B> {
        B::float_sum(B::float_mul(x, y))
    }

    pub(in crate::ops) fn inner_product_gradient<B: Backend>(
        x: FloatTensor<B>,
        gradient: FloatTensor<B>,
    ) -> FloatTensor<B> {
        let ones = Shape::from(vec![1; x.shape().num_dims()]);
        B::float_mul(x, B::float_reshape(gradient, ones))
    }
}

#[cfg(feature = "ndarray")]
impl InnerProductOps for burn::backend::NdArray {}

#[cfg(any(feature = "wgpu", feature = "cuda", feature = "rocm"))]
impl InnerProductOps for burn_cubecl::CubeBackend {}

impl<B: InnerProductOps, C: CheckpointStrategy> InnerProductOps for Autodiff<B, C> {
    fn inner_product(x: FloatTensor<Self>, y: FloatTensor<Self>) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct InnerProduct;

        impl<B: InnerProductOps> Backward<B, 2> for InnerProduct {
            /// What the gradients by either need: the other.
            type State = [Option<FloatTensor<B>>; 2];

            fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
                let [x, y] = ops.state;
                let by = |other: Option<FloatTensor<B>>| {
                    move |gradient| B::inner_product_gradient(other.expect("kept for a tracked parent"), gradient)
                };
                binary::<B, _, _>(ops.parents, ops.node, grads, by(y), by(x));
            }
        }

        let (x_is_tracked, y_is_tracked) = (x.is_tracked(), y.is_tracked());
        let ((x, x_node), (y, y_node)) = (x.into_parts(), y.into_parts());
        match InnerProduct.prepare::<C>([x_node, y_node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let kept = [y_is_tracked.then(|| x.clone()), x_is_tracked.then(|| y.clone())];
                prep.finish(kept, B::inner_product(x, y))
            }
            OpsKind::UnTracked(prep) => prep.finish(B::inner_product(x, y)),
        }
    }
}
