//! The operations on flex, in single and double precision.

mod activation;
mod adam;
mod edges;
mod feature_map;
mod float;
mod gate;
mod heads;
mod inner_product;
mod layers;
mod memory;
mod message_network;
mod microkernel;
mod norm_gelu;
mod o3;
mod perceptron;
mod pieces;
pub(super) mod pool;
mod radial_network;
mod radial_product;
mod segments;
mod simd;
mod steerable_conv;
mod strided;
mod team;

use burn::backend::Flex;
use burn::backend::ops::ActivationOps;
use burn::backend::tensor::FloatTensor;
use burn::tensor::DType;

use super::composed;
use super::extension::{BackendSegments, EdgeGradients, NetworkGradients, RowOps};
use super::kept::Kept;
use super::message_network::{BackendMessages, OptionalTensors};
use super::perceptron::BackendPerceptron;

/// Calls a kernel in the precision of a tensor, or something else where there is none.
macro_rules! in_precision {
    ($tensor:expr, $module:ident::$kernel:ident($($argument:expr),*), $otherwise:expr) => {
        match $tensor.dtype() {
            DType::F32 => $module::$kernel::<f32>($($argument),*),
            DType::F64 => $module::$kernel::<f64>($($argument),*),
            _ => $otherwise,
        }
    };
}

use in_precision;

impl RowOps for Flex {
    fn swish(x: FloatTensor<Self>) -> FloatTensor<Self> {
        in_precision!(x, activation::swish(x), composed::swish::<Self>(x))
    }

    fn swish_gradient(x: FloatTensor<Self>, gradient: FloatTensor<Self>) -> FloatTensor<Self> {
        in_precision!(x, activation::swish_gradient(x, gradient), composed::swish_gradient::<Self>(x, gradient))
    }

    fn gaussian_unit(x: FloatTensor<Self>) -> FloatTensor<Self> {
        <Self as ActivationOps<Self>>::gelu(x)
    }

    fn gaussian_unit_gradient(x: FloatTensor<Self>, gradient: FloatTensor<Self>) -> FloatTensor<Self> {
        <Self as ActivationOps<Self>>::gelu_backward(x, gradient)
    }

    fn bias_swish(x: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
        in_precision!(x, activation::bias_swish(x, bias), composed::bias_swish::<Self>(x, bias))
    }

    fn bias_swish_gradient(
        x: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        in_precision!(
            x,
            activation::bias_swish_gradient(x, bias, gradient),
            composed::bias_swish_gradient::<Self>(x, bias, gradient)
        )
    }

    fn gate(x: FloatTensor<Self>, weight: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
        in_precision!(x, gate::gate(x, weight, bias), composed::gate::<Self>(x, weight, bias))
    }

    fn gate_gradient(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        in_precision!(
            x,
            gate::gate_gradient(x, weight, bias, gradient),
            composed::gate_gradient::<Self>(x, weight, bias, gradient)
        )
    }

    fn gather_rows(values: FloatTensor<Self>, segments: BackendSegments<Self>) -> FloatTensor<Self> {
        in_precision!(values, segments::gather(values, &segments.host), composed::gather_rows::<Self>(values, segments))
    }

    fn edge_differences(
        values: FloatTensor<Self>,
        receivers: BackendSegments<Self>,
        senders: BackendSegments<Self>,
    ) -> FloatTensor<Self> {
        in_precision!(
            values,
            segments::differences(values, [&receivers.host, &senders.host]),
            composed::edge_differences::<Self>(values, receivers, senders)
        )
    }

    fn sum_rows(values: FloatTensor<Self>, segments: BackendSegments<Self>) -> FloatTensor<Self> {
        in_precision!(values, segments::sum(values, &segments.host), composed::sum_rows::<Self>(values, segments))
    }

    fn head_products(
        segment_values: FloatTensor<Self>,
        values: FloatTensor<Self>,
        segments: BackendSegments<Self>,
        heads: usize,
    ) -> FloatTensor<Self> {
        in_precision!(
            values,
            heads::head_products(segment_values, values, &segments.host, heads),
            composed::head_products::<Self>(segment_values, values, segments, heads)
        )
    }

    fn head_sums(
        values: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        segments: BackendSegments<Self>,
    ) -> FloatTensor<Self> {
        in_precision!(
            values,
            heads::head_sums(values, weights, &segments.host),
            composed::head_sums::<Self>(values, weights, segments)
        )
    }

    fn head_spread(
        segment_values: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        segments: BackendSegments<Self>,
    ) -> FloatTensor<Self> {
        in_precision!(
            segment_values,
            heads::head_spread(segment_values, weights, &segments.host),
            composed::head_spread::<Self>(segment_values, weights, segments)
        )
    }

    fn combine_edges(
        received: FloatTensor<Self>,
        sent: FloatTensor<Self>,
        edges: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        receivers: BackendSegments<Self>,
        senders: BackendSegments<Self>,
    ) -> FloatTensor<Self> {
        in_precision!(
            received,
            edges::combine(&edges::Arguments::new(received, sent, edges, weight), &receivers.host, &senders.host),
            composed::combine_edges::<Self>(received, sent, edges, weight, receivers, senders)
        )
    }

    fn combine_edges_gradient(
        received: FloatTensor<Self>,
        sent: FloatTensor<Self>,
        edges: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        receivers: BackendSegments<Self>,
        senders: BackendSegments<Self>,
        gradient: FloatTensor<Self>,
        needed: [bool; 4],
    ) -> EdgeGradients<Self> {
        in_precision!(
            received,
            edges::combine_gradient(
                &edges::Arguments::new(received, sent, edges, weight),
                &receivers.host,
                &senders.host,
                gradient,
                needed
            ),
            composed::combine_edges_gradient::<Self>(
                received, sent, edges, weight, receivers, senders, gradient, needed
            )
        )
    }

    fn adam_step(
        parameter: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        moment_1: FloatTensor<Self>,
        moment_2: FloatTensor<Self>,
        factors: [f64; 6],
        rate: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        in_precision!(
            parameter,
            adam::adam_step([parameter, gradient, moment_1, moment_2], factors, rate),
            composed::adam_step::<Self>(parameter, gradient, moment_1, moment_2, factors, rate)
        )
    }

    fn linear_rows(x: FloatTensor<Self>, weight: FloatTensor<Self>, bias: OptionalTensors<Self>) -> FloatTensor<Self> {
        in_precision!(x, perceptron::linear(x, weight, bias), composed::linear_rows::<Self>(x, weight, bias))
    }

    fn linear_rows_gradient(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        needed: [bool; 3],
    ) -> Vec<Option<FloatTensor<Self>>> {
        in_precision!(
            x,
            perceptron::linear_gradient(x, weight, gradient, needed),
            composed::linear_rows_gradient::<Self>(x, weight, gradient, needed)
        )
    }

    fn perceptron(network: BackendPerceptron<Self>) -> FloatTensor<Self> {
        in_precision!(network.x, perceptron::perceptron(network), composed::perceptron::<Self>(network))
    }

    fn perceptron_gradient(
        network: BackendPerceptron<Self>,
        gradient: FloatTensor<Self>,
        needed: [bool; 9],
    ) -> Vec<Option<FloatTensor<Self>>> {
        in_precision!(
            network.x,
            perceptron::perceptron_gradient(network, gradient, needed),
            composed::perceptron_gradient::<Self>(network, gradient, needed)
        )
    }

    fn message_network(
        messages: BackendMessages<Self>,
        receivers: BackendSegments<Self>,
        senders: BackendSegments<Self>,
        keep: Option<Kept>,
    ) -> FloatTensor<Self> {
        if !receivers.host.sorted {
            return composed::message_network::<Self>(messages, receivers, senders);
        }
        in_precision!(
            messages.received,
            message_network::network(messages, &receivers.host, &senders.host, keep),
            composed::message_network::<Self>(messages, receivers, senders)
        )
    }

    fn message_network_gradient(
        messages: BackendMessages<Self>,
        receivers: BackendSegments<Self>,
        senders: BackendSegments<Self>,
        gradient: FloatTensor<Self>,
        kept: Kept,
        needed: [bool; 13],
    ) -> Vec<Option<FloatTensor<Self>>> {
        if !receivers.host.sorted {
            return composed::message_network_gradient::<Self>(messages, receivers, senders, gradient, needed);
        }
        in_precision!(
            messages.received,
            message_network::gradient(messages, &receivers.host, &senders.host, gradient, kept, needed),
            composed::message_network_gradient::<Self>(messages, receivers, senders, gradient, needed)
        )
    }

    fn radial_product(
        features: FloatTensor<Self>,
        hidden: FloatTensor<Self>,
        angular: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        senders: BackendSegments<Self>,
    ) -> FloatTensor<Self> {
        in_precision!(
            features,
            radial_product::product([features, hidden, angular, weight], &senders.host),
            composed::radial_product::<Self>(features, hidden, angular, weight, senders)
        )
    }

    fn radial_product_gradient(
        features: FloatTensor<Self>,
        hidden: FloatTensor<Self>,
        angular: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        senders: BackendSegments<Self>,
        gradient: FloatTensor<Self>,
        needed: [bool; 4],
    ) -> EdgeGradients<Self> {
        in_precision!(
            features,
            radial_product::gradient([features, hidden, angular, weight], &senders.host, gradient, needed),
            composed::radial_product_gradient::<Self>(features, hidden, angular, weight, senders, gradient, needed)
        )
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
        let layers = [[weight, bias, scale, shift], [next_weight, next_bias, next_scale, next_shift]];
        in_precision!(
            x,
            radial_network::radial_network(x, layers, epsilon),
            composed::radial_network::<Self>(x, layers, epsilon)
        )
    }

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
    ) -> NetworkGradients<Self> {
        let layers = [[weight, bias, scale, shift], [next_weight, next_bias, next_scale, next_shift]];
        let (by_x, [[a, b, c, d], [e, f, g, h]]) = in_precision!(
            x,
            radial_network::gradient(x, layers, epsilon, gradient, by_x),
            composed::radial_network_gradient::<Self>(x, layers, epsilon, gradient, by_x)
        );
        (by_x, a, b, c, d, e, f, g, h)
    }

    fn norm_gelu(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self> {
        in_precision!(
            x,
            norm_gelu::norm_gelu([x, scale, shift], epsilon),
            composed::norm_gelu::<Self>(x, scale, shift, epsilon)
        )
    }

    fn norm_gelu_gradient(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        epsilon: f64,
        gradient: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        in_precision!(
            x,
            norm_gelu::gradient([x, scale, shift], epsilon, gradient),
            composed::norm_gelu_gradient::<Self>(x, scale, shift, epsilon, gradient)
        )
    }
}
