//! Messages of a network on a graph, from the ends of the edges to what arrives at the nodes.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, ExtensionType};
use burn::tensor::Tensor;

use super::Segments;
use super::extension::RowOps;

/// The arguments of [`message_network`].
#[derive(Clone, Debug)]
pub struct MessageNetwork {
    /// `p [nodes, hidden]`
    pub received: Tensor<2>,
    /// `q [nodes, hidden]`
    pub sent: Tensor<2>,
    /// `d [edges, dimensions]`
    pub differences: Tensor<2>,
    /// `w [1, hidden]`
    pub distance: Tensor<2>,
    /// `e [edges, inputs]` and `W_e [inputs, hidden]`
    pub edges: Option<(Tensor<2>, Tensor<2>)>,
    /// `W [hidden, channels]`
    pub weight: Tensor<2>,
    /// `b [channels]`
    pub bias: Tensor<1>,
    /// `w_g [channels, 1]` and `b_g [1]`
    pub gate: Option<(Tensor<2>, Tensor<1>)>,
    /// What makes the weights of differences.
    pub shift: Option<ShiftNetwork>,
    /// Whether the mean of what arrives is taken rather than the sum: of messages, of shifts.
    pub mean: [bool; 2],
}

/// The part of a [`MessageNetwork`] that weighs differences.
#[derive(Clone, Debug)]
pub struct ShiftNetwork {
    /// `W_x [channels, width]`
    pub weight: Tensor<2>,
    /// `b_x [width]`
    pub bias: Tensor<1>,
    /// `w_x [width, 1]`
    pub output: Tensor<2>,
    /// Whether weights are between -1 and 1.
    pub tanh: bool,
    /// The largest coordinate of a shift.
    pub clamp: Option<f64>,
}

/// For every node the sums, or means, of messages `m_ij` and of shifts `x_ij` from the nodes `j` that send to it:
///
/// ```text
/// s_ij = silu(p_i + q_j + |d_ij|^2 w + e_ij W_e)
/// n_ij = silu(s_ij W + b)
/// m_ij = n_ij sigmoid(n_ij w_g + b_g)                   or n_ij
/// x_ij = d_ij tanh(silu(m_ij W_x + b_x) w_x)            or without the tanh; no coordinate beyond the clamp
/// ```
///
/// These are the messages of an EGNN ([`edge_silu`](super::edge_silu) is their first layer). On flex, with edges sorted by receiver, no tensor
/// has a row of channels for every edge: pieces of 128 edges go through all layers in the cache, and do so again for the gradient. Where edges are
/// few, what is between the layers is kept for the gradient.
///
/// # Shapes
/// Those of [`MessageNetwork`]; the outputs are `[nodes, channels]` and `[nodes, dimensions]`.
///
/// # Panics
/// If the shapes do not fit each other and the segments.
pub fn message_network(
    network: MessageNetwork,
    receivers: &Segments,
    senders: &Segments,
) -> (Tensor<2>, Option<Tensor<2>>) {
    network.check(receivers, senders);
    let [_, channels] = network.weight.dims();
    let (nodes, [edges, dimensions]) = (receivers.count(), network.differences.dims());
    if edges * channels * network.weight.dims()[0] == 0 {
        let zeros = |columns| Tensor::zeros([nodes, columns], (&network.received.device(), network.received.dtype()));
        return (zeros(channels), network.shift.is_some().then(|| zeros(dimensions)));
    }
    let shifts = network.shift.is_some();
    let output = <Dispatch as RowOps>::message_network(network.into(), receivers.dispatch(), senders.dispatch(), None);
    let output: Tensor<2> = Tensor::from_dispatch(output);
    if !shifts {
        return (output, None);
    }
    (output.clone().narrow(1, 0, channels), Some(output.narrow(1, channels, dimensions)))
}

impl MessageNetwork {
    fn check(&self, receivers: &Segments, senders: &Segments) {
        let ([hidden, channels], dimensions) = (self.weight.dims(), self.differences.dims()[1]);
        let (nodes, edges) = (receivers.count(), receivers.rows());
        let mut shapes = vec![
            ("senders", vec![senders.count(), senders.rows()], vec![nodes, edges]),
            ("received", self.received.dims().into(), vec![nodes, hidden]),
            ("sent", self.sent.dims().into(), vec![nodes, hidden]),
            ("differences", self.differences.dims().into(), vec![edges, dimensions]),
            ("distance", self.distance.dims().into(), vec![1, hidden]),
            ("bias", self.bias.dims().into(), vec![channels]),
        ];
        if let Some((features, weight)) = &self.edges {
            let inputs = weight.dims()[0];
            shapes.push(("features of edges", features.dims().into(), vec![edges, inputs]));
            shapes.push(("weight of edges", weight.dims().into(), vec![inputs, hidden]));
        }
        if let Some((weight, bias)) = &self.gate {
            shapes.push(("weight of the gate", weight.dims().into(), vec![channels, 1]));
            shapes.push(("bias of the gate", bias.dims().into(), vec![1]));
        }
        if let Some(shift) = &self.shift {
            let width = shift.bias.dims()[0];
            assert!(width > 0, "message_network takes a network of shifts with a width");
            shapes.push(("weight of shifts", shift.weight.dims().into(), vec![channels, width]));
            shapes.push(("output of shifts", shift.output.dims().into(), vec![width, 1]));
        }
        for (name, given, wanted) in shapes {
            assert!(
                given == wanted,
                "message_network of {nodes} nodes and {edges} edges with a weight [{hidden}, {channels}] takes {name} {wanted:?}; it was \
                 given {given:?}"
            );
        }
    }
}

/// [`MessageNetwork`] as a backend sees it.
#[derive(Clone, Debug, ExtensionType)]
pub struct BackendMessages<B: Backend> {
    /// `p`, `q`, `d`, `w`, `W` and `b`.
    pub received: FloatTensor<B>,
    #[allow(missing_docs)]
    pub sent: FloatTensor<B>,
    #[allow(missing_docs)]
    pub differences: FloatTensor<B>,
    #[allow(missing_docs)]
    pub distance: FloatTensor<B>,
    #[allow(missing_docs)]
    pub weight: FloatTensor<B>,
    #[allow(missing_docs)]
    pub bias: FloatTensor<B>,
    /// `e` and `W_e`.
    #[extension_type]
    pub edges: OptionalTensors<B>,
    /// `w_g` and `b_g`.
    #[extension_type]
    pub gate: OptionalTensors<B>,
    /// `W_x`, `b_x` and `w_x`.
    #[extension_type]
    pub shift: OptionalTensors<B>,
    /// Whether weights of differences are between -1 and 1.
    pub tanh: bool,
    /// The largest coordinate of a shift.
    pub clamp: Option<f64>,
    /// Whether the mean is taken rather than the sum: of messages, of shifts.
    pub mean: [bool; 2],
}

/// Tensors that belong together, or none.
#[derive(Clone, Debug, ExtensionType)]
pub enum OptionalTensors<B: Backend> {
    /// None.
    None,
    /// One.
    One(FloatTensor<B>),
    /// Two.
    Two(FloatTensor<B>, FloatTensor<B>),
    /// Three.
    Three(FloatTensor<B>, FloatTensor<B>, FloatTensor<B>),
}

/// The places of the arguments in [`BackendMessages::tensors`].
pub(super) const ARGUMENTS: usize = 13;

impl<B: Backend> BackendMessages<B> {
    /// `p`, `q`, `d`, `w`, `W`, `b`, then `e`, `W_e`, then `w_g`, `b_g`, then `W_x`, `b_x`, `w_x`.
    pub(super) fn tensors(&self) -> [Option<&FloatTensor<B>>; ARGUMENTS] {
        let Self { received, sent, differences, distance, weight, bias, edges, gate, shift, .. } = self;
        let ([e, e_weight, _], [g, g_bias, _]) = (edges.tensors(), gate.tensors());
        let [x, x_bias, x_output] = shift.tensors();
        let [p, q, d, w, weight, bias] = [received, sent, differences, distance, weight, bias].map(Some);
        [p, q, d, w, weight, bias, e, e_weight, g, g_bias, x, x_bias, x_output]
    }

    /// The same on another backend.
    pub(super) fn map<C: Backend>(self, mut to: impl FnMut(FloatTensor<B>) -> FloatTensor<C>) -> BackendMessages<C> {
        BackendMessages {
            received: to(self.received),
            sent: to(self.sent),
            differences: to(self.differences),
            distance: to(self.distance),
            weight: to(self.weight),
            bias: to(self.bias),
            edges: self.edges.map(&mut to),
            gate: self.gate.map(&mut to),
            shift: self.shift.map(&mut to),
            tanh: self.tanh,
            clamp: self.clamp,
            mean: self.mean,
        }
    }
}

impl<B: Backend> OptionalTensors<B> {
    /// As many as there are, in front.
    pub(super) fn tensors(&self) -> [Option<&FloatTensor<B>>; 3] {
        match self {
            Self::None => [None; 3],
            Self::One(a) => [Some(a), None, None],
            Self::Two(a, b) => [Some(a), Some(b), None],
            Self::Three(a, b, c) => [Some(a), Some(b), Some(c)],
        }
    }

    /// The same on another backend.
    pub(super) fn map<C: Backend>(self, to: &mut impl FnMut(FloatTensor<B>) -> FloatTensor<C>) -> OptionalTensors<C> {
        match self {
            Self::None => OptionalTensors::None,
            Self::One(a) => OptionalTensors::One(to(a)),
            Self::Two(a, b) => OptionalTensors::Two(to(a), to(b)),
            Self::Three(a, b, c) => OptionalTensors::Three(to(a), to(b), to(c)),
        }
    }
}

impl From<MessageNetwork> for BackendMessages<Dispatch> {
    fn from(network: MessageNetwork) -> Self {
        let (tanh, clamp) = network.shift.as_ref().map_or((false, None), |shift| (shift.tanh, shift.clamp));
        Self {
            received: network.received.into_dispatch(),
            sent: network.sent.into_dispatch(),
            differences: network.differences.into_dispatch(),
            distance: network.distance.into_dispatch(),
            weight: network.weight.into_dispatch(),
            bias: network.bias.into_dispatch(),
            edges: match network.edges {
                Some((features, weight)) if weight.dims()[0] > 0 => {
                    OptionalTensors::Two(features.into_dispatch(), weight.into_dispatch())
                }
                _ => OptionalTensors::None,
            },
            gate: match network.gate {
                Some((weight, bias)) => OptionalTensors::Two(weight.into_dispatch(), bias.into_dispatch()),
                None => OptionalTensors::None,
            },
            shift: match network.shift {
                Some(ShiftNetwork { weight, bias, output, .. }) => {
                    OptionalTensors::Three(weight.into_dispatch(), bias.into_dispatch(), output.into_dispatch())
                }
                None => OptionalTensors::None,
            },
            tanh,
            clamp,
            mean: network.mean,
        }
    }
}
