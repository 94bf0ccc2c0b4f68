//! The operations as an extension of Burn's backends.

use std::sync::Arc;

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, ExtensionType, backend_extension};

use super::composed;
use super::kept::Kept;
use super::message_network::{BackendMessages, OptionalTensors};
use super::perceptron::BackendPerceptron;
use super::segments::Rows;

/// [`Segments`](super::Segments) as a backend sees them: on its device, and on the host.
#[derive(Clone, Debug, ExtensionType)]
#[extension_type(fusion: cfg(any(feature = "wgpu", feature = "cuda", feature = "rocm")))]
pub struct BackendSegments<B: Backend> {
    /// The segment of every row, `[rows]`.
    pub ids: IntTensor<B>,
    /// Where the rows of every segment begin in `order`, and where the last ends, `[segments + 1]`.
    pub offsets: IntTensor<B>,
    /// The rows, segment by segment, `[rows]`.
    pub order: IntTensor<B>,
    /// The same on the host.
    pub host: Arc<Rows>,
}

/// The gradients of [`RowOps::combine_edges`] by its first four arguments, where they were asked for.
pub type EdgeGradients<B> =
    (Option<FloatTensor<B>>, Option<FloatTensor<B>>, Option<FloatTensor<B>>, Option<FloatTensor<B>>);

/// The gradients of [`RowOps::radial_network`] by its first argument, where it was asked for, and by those that follow.
pub type NetworkGradients<B> = (
    Option<FloatTensor<B>>,
    FloatTensor<B>,
    FloatTensor<B>,
    FloatTensor<B>,
    FloatTensor<B>,
    FloatTensor<B>,
    FloatTensor<B>,
    FloatTensor<B>,
    FloatTensor<B>,
);

/// What the networks on graphs spend their time in, as an extension of Burn's backends.
///
/// Every method has a default composed of the backend's own operations, so a backend needs no more than an empty `impl`. Flex has
/// kernels of its own (`flex/`), and so have GPUs (`cube/`), whether operations are fused or not; gradients are written by hand for all backends (`autodiff.rs`). Methods ending in `_gradient` give
/// the gradients of the method they are named after.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Cube: cfg(any(feature = "wgpu", feature = "cuda", feature = "rocm")),
    Fusion: cfg(any(feature = "wgpu", feature = "cuda", feature = "rocm")),
    Autodiff,
)]
pub trait RowOps: Backend {
    /// `x sigmoid(x)`.
    #[fusion(default)]
    fn swish(x: FloatTensor<Self>) -> FloatTensor<Self> {
        composed::swish::<Self>(x)
    }

    /// The gradient of [`swish`](Self::swish): `g s (1 + x (1 - s))` with `s = sigmoid(x)`.
    #[fusion(default)]
    fn swish_gradient(x: FloatTensor<Self>, gradient: FloatTensor<Self>) -> FloatTensor<Self> {
        composed::swish_gradient::<Self>(x, gradient)
    }

    /// `x P(x)` with the normal distribution `P`, GELU.
    #[fusion(default)]
    fn gaussian_unit(x: FloatTensor<Self>) -> FloatTensor<Self> {
        composed::gaussian_unit::<Self>(x)
    }

    /// The gradient of [`gaussian_unit`](Self::gaussian_unit): `g (P(x) + x P'(x))`.
    #[fusion(default)]
    fn gaussian_unit_gradient(x: FloatTensor<Self>, gradient: FloatTensor<Self>) -> FloatTensor<Self> {
        composed::gaussian_unit_gradient::<Self>(x, gradient)
    }

    /// `swish(x + b)` for `x [rows, channels]`, `b [channels]`.
    #[fusion(default)]
    fn bias_swish(x: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
        composed::bias_swish::<Self>(x, bias)
    }

    /// The gradients of [`bias_swish`](Self::bias_swish) by `x` and by `b`.
    #[fusion(default)]
    fn bias_swish_gradient(
        x: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        composed::bias_swish_gradient::<Self>(x, bias, gradient)
    }

    /// `x sigmoid(x w + b)` for `x [rows, channels]`, `w [channels, 1]`, `b [1]`. There is a row and a channel at least.
    #[fusion(default)]
    fn gate(x: FloatTensor<Self>, weight: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
        composed::gate::<Self>(x, weight, bias)
    }

    /// The gradients of [`gate`](Self::gate) by `x`, `w` and `b`.
    #[fusion(default)]
    fn gate_gradient(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        composed::gate_gradient::<Self>(x, weight, bias, gradient)
    }

    /// `y_r = x_(segment of r)` for `x [segments, channels]`.
    #[fusion(dtype = values, shape = [segments.host.rows(), values[1]].into())]
    fn gather_rows(values: FloatTensor<Self>, #[extension_type] segments: BackendSegments<Self>) -> FloatTensor<Self> {
        composed::gather_rows::<Self>(values, segments)
    }

    /// `x_i - x_j` for every edge from `j` to `i`, for `x [nodes, channels]`.
    #[fusion(dtype = values, shape = [receivers.host.rows(), values[1]].into())]
    fn edge_differences(
        values: FloatTensor<Self>,
        #[extension_type] receivers: BackendSegments<Self>,
        #[extension_type] senders: BackendSegments<Self>,
    ) -> FloatTensor<Self> {
        composed::edge_differences::<Self>(values, receivers, senders)
    }

    /// `y_s = sum over rows r of s of x_r` for `x [rows, channels]`.
    #[fusion(dtype = values, shape = [segments.host.count(), values[1]].into())]
    fn sum_rows(values: FloatTensor<Self>, #[extension_type] segments: BackendSegments<Self>) -> FloatTensor<Self> {
        composed::sum_rows::<Self>(values, segments)
    }

    /// `l_r[h] = sum over m, c of q_s[m, h, c] k_r[m, h, c]` with the segment `s` of every row `r`: `q [segments, components, heads channels]`,
    /// `k [rows, components, heads channels]`. Nothing is empty.
    #[fusion(dtype = values, shape = [values[0], *heads].into())]
    fn head_products(
        segment_values: FloatTensor<Self>,
        values: FloatTensor<Self>,
        #[extension_type] segments: BackendSegments<Self>,
        heads: usize,
    ) -> FloatTensor<Self> {
        composed::head_products::<Self>(segment_values, values, segments, heads)
    }

    /// `y_s[m, h, c] = sum over rows r of s of w_r[h] v_r[m, h, c]`: `v [rows, components, heads channels]`, `w [rows, heads]`. Nothing is empty.
    #[fusion(dtype = values, shape = [segments.host.count(), values[1], values[2]].into())]
    fn head_sums(
        values: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        #[extension_type] segments: BackendSegments<Self>,
    ) -> FloatTensor<Self> {
        composed::head_sums::<Self>(values, weights, segments)
    }

    /// `y_r[m, h, c] = w_r[h] q_s[m, h, c]` with the segment `s` of every row `r`: what the gradients of [`head_products`](Self::head_products) by `k`
    /// and of [`head_sums`](Self::head_sums) by `v` are. It has no gradient itself.
    #[fusion(dtype = segment_values, shape = [segments.host.rows(), segment_values[1], segment_values[2]].into())]
    fn head_spread(
        segment_values: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        #[extension_type] segments: BackendSegments<Self>,
    ) -> FloatTensor<Self> {
        composed::head_spread::<Self>(segment_values, weights, segments)
    }

    /// `swish(p_i + q_j + e W)` for every edge from `j` to `i`: `p, q [nodes, channels]`, `e [edges, inputs]`,
    /// `W [inputs, channels]`. There is an edge, a channel and an input at least.
    #[fusion(dtype = received, shape = [receivers.host.rows(), received[1]].into())]
    fn combine_edges(
        received: FloatTensor<Self>,
        sent: FloatTensor<Self>,
        edges: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        #[extension_type] receivers: BackendSegments<Self>,
        #[extension_type] senders: BackendSegments<Self>,
    ) -> FloatTensor<Self> {
        composed::combine_edges::<Self>(received, sent, edges, weight, receivers, senders)
    }

    /// The gradient of [`combine_edges`](Self::combine_edges) by `p_i + q_j + e W`, `[edges, channels]`: of it the gradients by its arguments are made.
    #[fusion(dtype = received, shape = gradient)]
    fn combine_edges_slope(
        received: FloatTensor<Self>,
        sent: FloatTensor<Self>,
        edges: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        #[extension_type] receivers: BackendSegments<Self>,
        #[extension_type] senders: BackendSegments<Self>,
        gradient: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        composed::combine_edges_slope::<Self>(received, sent, edges, weight, receivers, senders, gradient)
    }

    /// The gradients of [`combine_edges`](Self::combine_edges) that are `needed`, of those by `p`, `q`, `e` and `W`.
    #[allow(clippy::too_many_arguments, clippy::type_complexity)] // The macro must see the type itself.
    #[allow(unused_variables)] // Without a backend there is nothing to call.
    #[fusion(default)]
    fn combine_edges_gradient(
        received: FloatTensor<Self>,
        sent: FloatTensor<Self>,
        edges: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        #[extension_type] receivers: BackendSegments<Self>,
        #[extension_type] senders: BackendSegments<Self>,
        gradient: FloatTensor<Self>,
        needed: [bool; 4],
    ) -> (Option<FloatTensor<Self>>, Option<FloatTensor<Self>>, Option<FloatTensor<Self>>, Option<FloatTensor<Self>>)
    {
        composed::combine_edges_gradient::<Self>(received, sent, edges, weight, receivers, senders, gradient, needed)
    }

    /// A step of Adam: the parameter and its moments after it, all of one shape. The factors are `b1`, `1 - b1`, `b2`, `1 - b2`,
    /// `sqrt(1 - b2^t) / (1 - b1^t)` and `epsilon sqrt(1 - b2^t)`.
    #[fusion(default)]
    fn adam_step(
        parameter: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        moment_1: FloatTensor<Self>,
        moment_2: FloatTensor<Self>,
        factors: [f64; 6],
        rate: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        composed::adam_step::<Self>(parameter, gradient, moment_1, moment_2, factors, rate)
    }

    /// `x W + b` for `x [rows, inputs]`, `W [inputs, outputs]` and perhaps `b [outputs]`. Nothing is empty.
    #[fusion(default)]
    fn linear_rows(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        #[extension_type] bias: OptionalTensors<Self>,
    ) -> FloatTensor<Self> {
        composed::linear_rows::<Self>(x, weight, bias)
    }

    /// The gradients of [`linear_rows`](Self::linear_rows) that are `needed`, of those by `x`, `W` and `b`.
    #[fusion(default)]
    fn linear_rows_gradient(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        needed: [bool; 3],
    ) -> Vec<Option<FloatTensor<Self>>> {
        composed::linear_rows_gradient::<Self>(x, weight, gradient, needed)
    }

    /// `silu(sum_k x_k W_k + b) V + c`, plus `x_0` where asked for. Nothing is empty.
    #[fusion(default)]
    fn perceptron(#[extension_type] network: BackendPerceptron<Self>) -> FloatTensor<Self> {
        composed::perceptron::<Self>(network)
    }

    /// The gradients of [`perceptron`](Self::perceptron) that are `needed`, of those by `x_0`, `W_0`, `x_1`, `W_1`, `x_2`, `W_2`, `b`, `V` and `c`.
    #[fusion(default)]
    fn perceptron_gradient(
        #[extension_type] network: BackendPerceptron<Self>,
        gradient: FloatTensor<Self>,
        needed: [bool; 9],
    ) -> Vec<Option<FloatTensor<Self>>> {
        composed::perceptron_gradient::<Self>(network, gradient, needed)
    }

    /// Sums or means of messages and shifts, `[nodes, channels]` or `[nodes, channels + dimensions]`: see
    /// [`message_network`](super::message_network()). There is an edge and a channel at least, everywhere. A backend may leave in `keep` what its
    /// gradient would like to have.
    #[allow(unused_variables)] // Nothing is left there by default.
    #[fusion(default)]
    fn message_network(
        #[extension_type] messages: BackendMessages<Self>,
        #[extension_type] receivers: BackendSegments<Self>,
        #[extension_type] senders: BackendSegments<Self>,
        keep: Option<Kept>,
    ) -> FloatTensor<Self> {
        composed::message_network::<Self>(messages, receivers, senders)
    }

    /// The gradients of [`message_network`](Self::message_network) that are `needed`, in the order of its formula: by `p`, `q`, `d`, `w`,
    /// `W`, `b`, `e`, `W_e`, `w_g`, `b_g`, `W_x`, `b_x` and `w_x`.
    #[allow(unused_variables)]
    #[fusion(default)]
    fn message_network_gradient(
        #[extension_type] messages: BackendMessages<Self>,
        #[extension_type] receivers: BackendSegments<Self>,
        #[extension_type] senders: BackendSegments<Self>,
        gradient: FloatTensor<Self>,
        kept: Kept,
        needed: [bool; 13],
    ) -> Vec<Option<FloatTensor<Self>>> {
        composed::message_network_gradient::<Self>(messages, receivers, senders, gradient, needed)
    }

    /// `y_e = sum over h of a_e[h] B_e (W_h x_j)` for every edge `e` that `j` sends: `x [nodes, p, i]`, `a [edges, h]`,
    /// `B [edges, q, p F]`, `W [i, h F o]`. Nothing is empty.
    #[fusion(default)]
    fn radial_product(
        features: FloatTensor<Self>,
        hidden: FloatTensor<Self>,
        angular: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        #[extension_type] senders: BackendSegments<Self>,
    ) -> FloatTensor<Self> {
        composed::radial_product::<Self>(features, hidden, angular, weight, senders)
    }

    /// The gradients of [`radial_product`](Self::radial_product) that are `needed`, of those by `x`, `a`, `B` and `W`.
    #[allow(clippy::too_many_arguments, clippy::type_complexity)] // The macro must see the type itself.
    #[allow(unused_variables)] // Without a backend there is nothing to call.
    #[fusion(default)]
    fn radial_product_gradient(
        features: FloatTensor<Self>,
        hidden: FloatTensor<Self>,
        angular: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        #[extension_type] senders: BackendSegments<Self>,
        gradient: FloatTensor<Self>,
        needed: [bool; 4],
    ) -> (Option<FloatTensor<Self>>, Option<FloatTensor<Self>>, Option<FloatTensor<Self>>, Option<FloatTensor<Self>>)
    {
        composed::radial_product_gradient::<Self>(features, hidden, angular, weight, senders, gradient, needed)
    }

    /// Two layers `norm_gelu(x W + b)`, then a column of ones: `x [rows, inputs]`, `W [inputs, channels]`, `b`, `scale`, `shift [channels]`, and the
    /// same for the second layer. There is a row, an input and a channel at least.
    #[allow(clippy::too_many_arguments)]
    #[fusion(default)]
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
        let layers = [[weight, bias, scale, shift], [next_weight, next_bias, next_scale, next_shift]];
        composed::radial_network::<Self>(x, layers, epsilon)
    }

    /// The gradients of [`radial_network`](Self::radial_network) by `x`, if `by_x`, and by the parameters in their order.
    #[allow(clippy::too_many_arguments, clippy::type_complexity)] // The macro must see the type itself.
    #[fusion(default)]
    fn radial_network_gradient(
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
        gradient: FloatTensor<Self>,
        by_x: bool,
    ) -> (
        Option<FloatTensor<Self>>,
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
    ) {
        let layers = [[weight, bias, scale, shift], [next_weight, next_bias, next_scale, next_shift]];
        let (by_x, [[a, b, c, d], [e, f, g, h]]) =
            composed::radial_network_gradient::<Self>(x, layers, epsilon, gradient, by_x);
        (by_x, a, b, c, d, e, f, g, h)
    }

    /// `gelu(n)` with `n = (x - mean) / sqrt(variance + epsilon) * scale + shift` over the channels of a row, for `x [rows, channels]`,
    /// `scale, shift [channels]`. There is a row and a channel at least.
    #[fusion(default)]
    fn norm_gelu(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self> {
        composed::norm_gelu::<Self>(x, scale, shift, epsilon)
    }

    /// The gradients of [`norm_gelu`](Self::norm_gelu) by `x`, `scale` and `shift`.
    #[fusion(default)]
    fn norm_gelu_gradient(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        epsilon: f64,
        gradient: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        composed::norm_gelu_gradient::<Self>(x, scale, shift, epsilon, gradient)
    }
}

#[cfg(feature = "ndarray")]
#[allow(deprecated)] // Burn recommends flex; users ask for ndarray nevertheless.
impl RowOps for burn::backend::NdArray {}
