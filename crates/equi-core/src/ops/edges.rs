//! What edges are made of: differences of their ends, and the first layer of a message.

use burn::backend::Dispatch;
use burn::tensor::Tensor;

use super::Segments;
use super::extension::RowOps;

/// `x_i - x_j` for every edge from the sender `j` to the receiver `i`, in one pass.
///
/// # Shapes
/// - `values` (`x`): `[nodes, channels]`
/// - output: `[edges, channels]`
///
/// # Panics
/// If receivers and senders are not of as many nodes and edges, or there is another number of rows than nodes.
pub fn edge_differences(values: Tensor<2>, receivers: &Segments, senders: &Segments) -> Tensor<2> {
    let (nodes, edges) = (receivers.count(), receivers.rows());
    let given = [senders.count(), senders.rows(), values.dims()[0]];
    assert!(
        given == [nodes, edges, nodes],
        "edge_differences with receivers of {nodes} nodes and {edges} edges was given senders of {} nodes and {} edges, and {} rows",
        given[0],
        given[1],
        given[2]
    );
    Tensor::from_dispatch(<Dispatch as RowOps>::edge_differences(
        values.into_dispatch(),
        receivers.dispatch(),
        senders.dispatch(),
    ))
}

/// `silu(p_i + q_j + e_ij W)` for every edge from `j` to `i`, in one pass: the first layer of a network that is shown the features of both
/// ends of an edge, multiplied with their part of its weights once for every node, and those of the edge.
///
/// # Shapes
/// - `received` (`p`), `sent` (`q`): `[nodes, channels]`
/// - `edges` (`e`): `[edges, inputs]`
/// - `weight` (`W`): `[inputs, channels]`
/// - output: `[edges, channels]`
///
/// # Panics
/// If the shapes do not fit each other and the segments.
pub fn edge_silu(
    received: Tensor<2>,
    sent: Tensor<2>,
    edges: Tensor<2>,
    weight: Tensor<2>,
    receivers: &Segments,
    senders: &Segments,
) -> Tensor<2> {
    let [inputs, channels] = weight.dims();
    let (nodes, count) = (receivers.count(), receivers.rows());
    let given = [received.dims(), sent.dims(), edges.dims(), [senders.count(), senders.rows()]];
    let wanted = [[nodes, channels], [nodes, channels], [count, inputs], [nodes, count]];
    assert!(
        given == wanted,
        "edge_silu takes received, sent, edges and senders of {wanted:?} with receivers of {nodes} nodes and {count} edges, and \
         a weight [{inputs}, {channels}]; it was given {given:?}"
    );
    if count * inputs * channels == 0 {
        let empty = Tensor::zeros([count, channels], (&received.device(), received.dtype()));
        return if count * channels == 0 { empty } else { bare_edge_silu(received, sent, receivers, senders) };
    }
    Tensor::from_dispatch(<Dispatch as RowOps>::combine_edges(
        received.into_dispatch(),
        sent.into_dispatch(),
        edges.into_dispatch(),
        weight.into_dispatch(),
        receivers.dispatch(),
        senders.dispatch(),
    ))
}

/// Without inputs from the edge.
fn bare_edge_silu(received: Tensor<2>, sent: Tensor<2>, receivers: &Segments, senders: &Segments) -> Tensor<2> {
    super::silu(super::gather(received, receivers) + super::gather(sent, senders))
}
