//! The operations as an extension of Burn's backends.

use std::sync::Arc;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, backend_extension};

use super::composed;
use super::{Couplings, HarmonicCouplings, HarmonicRecursion};
use crate::ops::BackendSegments;

/// The gradients of a product by its three arguments, where they were asked for.
pub type ProductGradients<B> = (Option<FloatTensor<B>>, Option<FloatTensor<B>>, Option<FloatTensor<B>>);

/// Spherical harmonics and tensor products, as an extension of Burn's backends.
///
/// As in [`RowOps`](crate::ops::RowOps), every method has a default composed of the backend's own operations; flex has kernels of its own,
/// and gradients are written by hand. Methods ending in `_gradient` give the gradients of the method they are named after. Nothing is empty.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Cube: cfg(any(feature = "wgpu", feature = "cuda", feature = "rocm")),
    Fusion: cfg(any(feature = "wgpu", feature = "cuda", feature = "rocm")),
    Autodiff,
)]
pub trait ProductOps: Backend {
    /// The harmonics of the points `[points, 3]`, `[points, columns]`.
    #[fusion(dtype = points, shape = [points[0], recursion.columns()].into())]
    fn harmonics(points: FloatTensor<Self>, recursion: Arc<HarmonicRecursion>) -> FloatTensor<Self> {
        composed::harmonics::<Self>(points, recursion)
    }

    /// The gradient of [`harmonics`](Self::harmonics), `[points, 3]`.
    #[fusion(dtype = points, shape = points)]
    fn harmonics_gradient(
        points: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        recursion: Arc<HarmonicRecursion>,
    ) -> FloatTensor<Self> {
        composed::harmonics_gradient::<Self>(points, gradient, recursion)
    }

    /// `z_u = w_u C x_u y`, row by row, with the weights `[1 or rows, weights]`.
    #[fusion(dtype = first, shape = [first[0], couplings.columns()[2]].into())]
    fn uvu_product(
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        couplings: Arc<Couplings>,
    ) -> FloatTensor<Self> {
        composed::uvu_product::<Self>(first, second, weights, couplings)
    }

    /// The gradients of [`uvu_product`](Self::uvu_product) that are `needed`, of those by the features, the second input and the weights.
    #[allow(clippy::type_complexity)] // The macro must see the type itself.
    #[allow(unused_variables)] // Without a backend there is nothing to call.
    #[fusion(default)]
    fn uvu_product_gradient(
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        couplings: Arc<Couplings>,
        gradient: FloatTensor<Self>,
        needed: [bool; 3],
    ) -> (Option<FloatTensor<Self>>, Option<FloatTensor<Self>>, Option<FloatTensor<Self>>) {
        let by = |argument: usize| {
            let (first, second, weights) = (first.clone(), second.clone(), weights.clone());
            let (couplings, gradient) = (couplings.clone(), gradient.clone());
            needed[argument]
                .then(|| Self::uvu_product_gradient_by(first, second, weights, couplings, gradient, argument))
        };
        (by(0), by(1), by(2))
    }

    /// The gradient of [`uvu_product`](Self::uvu_product) by one argument: the features, the second input or the weights.
    #[fusion(dtype = first, shape = {
        match argument {
            0 => first.clone(),
            1 => second.clone(),
            _ => weights.clone(),
        }
    })]
    fn uvu_product_gradient_by(
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        couplings: Arc<Couplings>,
        gradient: FloatTensor<Self>,
        argument: usize,
    ) -> FloatTensor<Self> {
        let needed = [0, 1, 2].map(|place| place == argument);
        composed::only(composed::uvu_product_gradient::<Self>(first, second, weights, couplings, gradient, needed))
    }

    /// `z_i = sum over edges e from j to i of w_e C x_j y_e`: features `[nodes, columns]`, the rest by edges.
    #[fusion(dtype = first, shape = [receivers.host.count(), couplings.columns()[2]].into())]
    fn uvu_messages(
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        couplings: Arc<Couplings>,
        #[extension_type] senders: BackendSegments<Self>,
        #[extension_type] receivers: BackendSegments<Self>,
    ) -> FloatTensor<Self> {
        composed::uvu_messages::<Self>(first, second, weights, couplings, senders, receivers)
    }

    /// The gradients of [`uvu_messages`](Self::uvu_messages) that are `needed`.
    #[allow(clippy::too_many_arguments, clippy::type_complexity)] // The macro must see the type itself.
    #[allow(unused_variables)] // Without a backend there is nothing to call.
    #[fusion(default)]
    fn uvu_messages_gradient(
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        couplings: Arc<Couplings>,
        #[extension_type] senders: BackendSegments<Self>,
        #[extension_type] receivers: BackendSegments<Self>,
        gradient: FloatTensor<Self>,
        needed: [bool; 3],
    ) -> (Option<FloatTensor<Self>>, Option<FloatTensor<Self>>, Option<FloatTensor<Self>>) {
        let by = |argument: usize| {
            let (first, second, weights) = (first.clone(), second.clone(), weights.clone());
            let (couplings, gradient) = (couplings.clone(), gradient.clone());
            let (from, to) = (senders.clone(), receivers.clone());
            needed[argument].then(|| {
                Self::uvu_messages_gradient_by(first, second, weights, couplings, from, to, gradient, argument)
            })
        };
        (by(0), by(1), by(2))
    }

    /// The gradient of [`uvu_messages`](Self::uvu_messages) by one argument: the features, the second input or the weights.
    #[allow(clippy::too_many_arguments)]
    #[fusion(dtype = first, shape = {
        match argument {
            0 => first.clone(),
            1 => second.clone(),
            _ => weights.clone(),
        }
    })]
    fn uvu_messages_gradient_by(
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        couplings: Arc<Couplings>,
        #[extension_type] senders: BackendSegments<Self>,
        #[extension_type] receivers: BackendSegments<Self>,
        gradient: FloatTensor<Self>,
        argument: usize,
    ) -> FloatTensor<Self> {
        let needed = [0, 1, 2].map(|place| place == argument);
        composed::only(composed::uvu_messages_gradient::<Self>(
            first, second, weights, couplings, senders, receivers, gradient, needed,
        ))
    }

    /// [`uvu_messages`](Self::uvu_messages) with the harmonics of the vectors `[edges, 3]` as the second input.
    #[fusion(default)]
    fn harmonic_messages(
        features: FloatTensor<Self>,
        vectors: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        couplings: Arc<HarmonicCouplings>,
        #[extension_type] senders: BackendSegments<Self>,
        #[extension_type] receivers: BackendSegments<Self>,
    ) -> FloatTensor<Self> {
        composed::direct_messages::<Self>(features, vectors, weights, &couplings, senders, receivers)
    }

    /// The gradients of [`harmonic_messages`](Self::harmonic_messages) that are `needed`, of those by the features, the vectors and the weights.
    #[allow(clippy::too_many_arguments, clippy::type_complexity)] // The macro must see the type itself.
    #[allow(unused_variables)] // Without a backend there is nothing to call.
    #[fusion(default)]
    fn harmonic_messages_gradient(
        features: FloatTensor<Self>,
        vectors: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        couplings: Arc<HarmonicCouplings>,
        #[extension_type] senders: BackendSegments<Self>,
        #[extension_type] receivers: BackendSegments<Self>,
        gradient: FloatTensor<Self>,
        needed: [bool; 3],
    ) -> (Option<FloatTensor<Self>>, Option<FloatTensor<Self>>, Option<FloatTensor<Self>>) {
        composed::direct_messages_gradient::<Self>(
            features, vectors, weights, &couplings, senders, receivers, gradient, needed,
        )
    }

    /// `z_w = sum over u, v of W_uvw C x_u y_v`, row by row, with the weights `[1, weights]`.
    #[fusion(default)]
    fn uvw_product(
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        couplings: Arc<Couplings>,
    ) -> FloatTensor<Self> {
        composed::uvw_product::<Self>(first, second, weights, couplings)
    }

    /// The gradients of [`uvw_product`](Self::uvw_product) that are `needed`.
    #[allow(clippy::type_complexity)] // The macro must see the type itself.
    #[allow(unused_variables)] // Without a backend there is nothing to call.
    #[fusion(default)]
    fn uvw_product_gradient(
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        couplings: Arc<Couplings>,
        gradient: FloatTensor<Self>,
        needed: [bool; 3],
    ) -> (Option<FloatTensor<Self>>, Option<FloatTensor<Self>>, Option<FloatTensor<Self>>) {
        composed::uvw_product_gradient::<Self>(first, second, weights, couplings, gradient, needed)
    }
}

#[cfg(feature = "ndarray")]
#[allow(deprecated)] // Burn recommends flex; users ask for ndarray nevertheless.
impl ProductOps for burn::backend::NdArray {}
