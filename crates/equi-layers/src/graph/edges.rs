//! Who sends to whom, on the host.

use super::neighbours::LARGEST;
use crate::error::{LayerError, Result};

/// The directed edges of one graph: node `senders[e]` sends to node `receivers[e]`.
///
/// The order of the edges is the order of the features that belong to them. Two edges may join the same nodes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EdgeList {
    nodes: usize,
    receivers: Vec<usize>,
    senders: Vec<usize>,
    /// What is added to the position of the sender, for every edge; none if nothing is.
    shifts: Option<Vec<[f64; 3]>>,
}

impl EdgeList {
    /// Edges between `nodes` nodes, from `senders[e]` to `receivers[e]`.
    ///
    /// # Errors
    /// [`LayerError::Graph`] for lists of different lengths, an edge to a node that does not exist, or an edge from a node to
    /// itself (see [`with_self_loops`](Self::with_self_loops)).
    pub fn new(nodes: usize, receivers: Vec<usize>, senders: Vec<usize>) -> Result<Self> {
        if let Some(edge) = receivers.iter().zip(&senders).position(|(receiver, sender)| receiver == sender) {
            return Err(LayerError::Graph(format!(
                "edge {edge} joins node {} to itself; leave it out, or build the list `with_self_loops`",
                receivers[edge]
            )));
        }
        Self::with_self_loops(nodes, receivers, senders)
    }

    /// The same, where a node may send to itself.
    ///
    /// # Errors
    /// [`LayerError::Graph`] for lists of different lengths or an edge to a node that does not exist.
    pub fn with_self_loops(nodes: usize, receivers: Vec<usize>, senders: Vec<usize>) -> Result<Self> {
        if receivers.len() != senders.len() {
            return Err(LayerError::Graph(format!(
                "{} receivers and {} senders: every edge needs one of each",
                receivers.len(),
                senders.len()
            )));
        }
        for (role, ends) in [("receiver", &receivers), ("sender", &senders)] {
            if let Some((edge, node)) = ends.iter().enumerate().find(|&(_, &node)| node >= nodes) {
                return Err(LayerError::Graph(format!(
                    "the {role} of edge {edge} is node {node}, but there are {nodes} nodes, numbered from 0"
                )));
            }
        }
        Ok(Self { nodes, receivers, senders, shifts: None })
    }

    /// Every node sends to every other; edges by receiver, then sender.
    ///
    /// # Errors
    /// [`LayerError::Graph`] if that is more edges than an index of 32 bits can number.
    pub fn complete(nodes: usize) -> Result<Self> {
        let count = nodes.saturating_mul(nodes.saturating_sub(1));
        if count > LARGEST {
            return Err(LayerError::Graph(format!(
                "all pairs of {nodes} nodes are more edges than an index of 32 bits can number; join near nodes only, with \
                 `EdgeList::radius` or `EdgeList::nearest`"
            )));
        }
        let (mut receivers, mut senders) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for receiver in 0..nodes {
            receivers.extend(std::iter::repeat_n(receiver, nodes - 1));
            senders.extend((0..receiver).chain(receiver + 1..nodes));
        }
        Ok(Self { nodes, receivers, senders, shifts: None })
    }

    /// The same, where `shifts[e]` is added to the position of the sender of edge `e`: the way to the image of it that is meant,
    /// in a periodic cell.
    ///
    /// # Errors
    /// [`LayerError::Graph`] unless there is one finite shift for every edge.
    pub fn with_shifts(mut self, shifts: Vec<[f64; 3]>) -> Result<Self> {
        if shifts.len() != self.len() {
            return Err(LayerError::Graph(format!(
                "{} edges and {} shifts: every edge needs one",
                self.len(),
                shifts.len()
            )));
        }
        if let Some(edge) = shifts.iter().position(|shift| !shift.iter().all(|x| x.is_finite())) {
            return Err(LayerError::Graph(format!(
                "the shift of edge {edge} is {:?} and must be finite",
                shifts[edge]
            )));
        }
        self.shifts = Some(shifts);
        Ok(self)
    }

    /// Number of nodes.
    pub fn nodes(&self) -> usize {
        self.nodes
    }

    /// Number of edges.
    pub fn len(&self) -> usize {
        self.receivers.len()
    }

    /// Whether there are no edges.
    pub fn is_empty(&self) -> bool {
        self.receivers.is_empty()
    }

    /// The node that receives, for every edge.
    pub fn receivers(&self) -> &[usize] {
        &self.receivers
    }

    /// The node that sends, for every edge.
    pub fn senders(&self) -> &[usize] {
        &self.senders
    }

    /// What is added to the position of the sender, for every edge, where a periodic cell was crossed.
    pub fn shifts(&self) -> Option<&[[f64; 3]]> {
        self.shifts.as_deref()
    }
}
