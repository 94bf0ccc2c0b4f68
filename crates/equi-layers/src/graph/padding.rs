//! Dense tensors with masks.

use std::sync::OnceLock;

use burn::tensor::{Bool, Device, Tensor};
use equi_core::ops::{Segments, gather, segment_sum};

use super::neighbours::LARGEST;
use super::{EdgeList, Graph};
use crate::error::{LayerError, Result};

/// Graphs in dense tensors `[batch, places, ...]`, of which a mask says where there is a node: their [`Graph`], and the way from dense
/// tensors to rows and back.
///
/// Places without a node are not in the graph. So nothing they hold, not a number or infinite, moves or reaches a node, and
/// no gradient flows to them.
///
/// ```
/// # #[cfg(feature = "flex")] {
/// use burn::tensor::{Device, Tensor};
/// use equi_layers::graph::{EgnnConfig, Padding, Points};
///
/// let device = Device::flex();
/// let mask = Tensor::from_data([[true, true, true], [true, true, false]], &device);
/// let (features, positions) = (Tensor::<3>::ones([2, 3, 4], &device), Tensor::<3>::zeros([2, 3, 3], &device));
///
/// let padding = Padding::complete(mask)?;
/// let points = Points::new(padding.pack(features), padding.pack(positions));
/// let (features, positions) = EgnnConfig::new(4, 16).init(&device)?.forward(padding.graph(), points, None);
/// assert_eq!(padding.pad(features).dims(), [2, 3, 16]);
/// assert_eq!(padding.pad(positions).dims(), [2, 3, 3]);
/// # }
/// # Ok::<(), equi_layers::LayerError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Padding {
    graph: Graph,
    /// Where every node is among `batch * places`.
    nodes: Segments,
    /// Where every edge is among `batch * places * places`.
    edges: OnceLock<Segments>,
    batch: usize,
    places: usize,
    device: Device,
}

impl Padding {
    /// Every node sends to every other node of its graph.
    ///
    /// # Shapes
    /// - `mask`: `[batch, places]`, true where there is a node
    ///
    /// # Errors
    /// [`LayerError::Core`] for more nodes, edges or places than an index of 32 bits can number.
    pub fn complete(mask: Tensor<2, Bool>) -> Result<Self> {
        let device = mask.device();
        let mask = Mask::read(mask);
        let edges = mask.sizes().fold(0_usize, |edges, size| edges.saturating_add(size.saturating_mul(size)));
        if edges > LARGEST {
            return Err(equi_core::Error::TooManyRows { rows: edges }.into());
        }
        let graphs = mask.sizes().map(EdgeList::complete).collect::<Result<Vec<_>>>()?;
        Self::build(&mask, &graphs, &device)
    }

    /// Nodes send where `adjacency` is true between two of them.
    ///
    /// # Shapes
    /// - `mask`: `[batch, places]`, true where there is a node
    /// - `adjacency`: `[batch, receiving place, sending place]`
    ///
    /// # Errors
    /// [`LayerError::Graph`] for shapes that do not fit, or a node that sends to itself; [`LayerError::Core`] for more nodes, edges
    /// or places than an index of 32 bits can number.
    pub fn adjacent(mask: Tensor<2, Bool>, adjacency: Tensor<3, Bool>) -> Result<Self> {
        let device = mask.device();
        let (mask, shape) = (Mask::read(mask), adjacency.dims());
        let (batch, places) = (mask.batch, mask.places);
        if shape != [batch, places, places] {
            return Err(LayerError::Graph(format!(
                "the mask is [{batch}, {places}], so the adjacency must be [{batch}, {places}, {places}]; it is {shape:?}"
            )));
        }
        let adjacency = host(adjacency);
        let graphs: Vec<EdgeList> = (0..batch)
            .map(|graph| {
                let nodes: Vec<usize> = mask.nodes(graph).collect();
                let joined = |i: usize, j: usize| adjacency[(graph * places + nodes[i]) * places + nodes[j]];
                if let Some(&place) = nodes.iter().find(|&&place| adjacency[(graph * places + place) * places + place])
                {
                    return Err(LayerError::Graph(format!(
                        "the adjacency of graph {graph} joins place {place} to itself: clear its diagonal"
                    )));
                }
                let pairs = (0..nodes.len()).flat_map(|i| (0..nodes.len()).map(move |j| (i, j)));
                let (receivers, senders) = pairs.filter(|&(i, j)| joined(i, j)).unzip();
                EdgeList::new(nodes.len(), receivers, senders)
            })
            .collect::<Result<_>>()?;
        Self::build(&mask, &graphs, &device)
    }

    /// Edges as given, one list for every graph, with its nodes numbered in the order of their places: the first place with a node is
    /// node 0.
    ///
    /// # Shapes
    /// - `mask`: `[batch, places]`, true where there is a node
    ///
    /// # Errors
    /// [`LayerError::Graph`] if there is not one list for every graph, or it has another number of nodes; [`LayerError::Core`] for
    /// more nodes, edges or places than an index of 32 bits can number.
    pub fn new(mask: Tensor<2, Bool>, graphs: &[EdgeList]) -> Result<Self> {
        let device = mask.device();
        Self::build(&Mask::read(mask), graphs, &device)
    }

    fn build(mask: &Mask, graphs: &[EdgeList], device: &Device) -> Result<Self> {
        let (batch, places) = (mask.batch, mask.places);
        if graphs.len() != batch {
            return Err(LayerError::Graph(format!(
                "the mask is of {batch} graphs, and there are {} edge lists",
                graphs.len()
            )));
        }
        for (graph, (size, edges)) in mask.sizes().zip(graphs).enumerate() {
            if size != edges.nodes() {
                return Err(LayerError::Graph(format!(
                    "the mask of graph {graph} has {size} nodes, and its edges are between {}: leave places without a node out of the \
                     edge list",
                    edges.nodes()
                )));
            }
        }
        let nodes = (0..batch).flat_map(|graph| mask.nodes(graph).map(move |place| graph * places + place)).collect();
        let nodes = Segments::new(nodes, batch * places, device)?;
        Ok(Self {
            graph: Graph::batch(graphs, device)?,
            nodes,
            edges: OnceLock::new(),
            batch,
            places,
            device: device.clone(),
        })
    }

    /// The graphs, of the nodes alone.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The rows of the nodes.
    ///
    /// # Shapes
    /// - `dense`: `[batch, places, channels]`
    /// - output: `[nodes, channels]`
    ///
    /// # Panics
    /// If batch or places are not those of the mask.
    pub fn pack(&self, dense: Tensor<3>) -> Tensor<2> {
        let [batch, places, channels] = dense.dims();
        assert_eq!([batch, places], [self.batch, self.places], "dense tensors and their mask agree on [batch, places]");
        if dense.shape().num_elements() == 0 {
            return Tensor::zeros([self.graph.nodes(), channels], (&dense.device(), dense.dtype()));
        }
        gather(dense.reshape([batch * places, channels]), &self.nodes)
    }

    /// The rows of the nodes back in their places, zeros elsewhere.
    ///
    /// # Shapes
    /// - `rows`: `[nodes, channels]`
    /// - output: `[batch, places, channels]`
    ///
    /// # Panics
    /// If there are not as many rows as nodes.
    pub fn pad(&self, rows: Tensor<2>) -> Tensor<3> {
        let [nodes, channels] = rows.dims();
        let shape = [self.batch, self.places, channels];
        if nodes == 0 || channels == 0 {
            // The sum of nothing is zero, and what made it can still be differentiated.
            return Tensor::zeros(shape, (&rows.device(), rows.dtype())) + rows.sum().reshape([1, 1, 1]);
        }
        segment_sum(rows, &self.nodes).reshape(shape)
    }

    /// The rows of the edges, in the order of the graph.
    ///
    /// # Shapes
    /// - `dense`: `[batch, receiving place, sending place, channels]`
    /// - output: `[edges, channels]`
    ///
    /// # Panics
    /// If batch or places are not those of the mask.
    pub fn pack_edges(&self, dense: Tensor<4>) -> Tensor<2> {
        let [batch, receiving, sending, channels] = dense.dims();
        let (given, expected) = ([batch, receiving, sending], [self.batch, self.places, self.places]);
        assert_eq!(given, expected, "dense features of edges and their mask agree on [batch, places, places]");
        if dense.shape().num_elements() == 0 {
            return Tensor::zeros([self.graph.edges(), channels], (&dense.device(), dense.dtype()));
        }
        gather(dense.reshape([batch * receiving * sending, channels]), self.edges())
    }

    /// Built when it is first asked for: it is as large as the dense features are.
    fn edges(&self) -> &Segments {
        self.edges.get_or_init(|| {
            let nodes = self.nodes.host_ids();
            let ends = self.graph.receivers().host_ids().iter().zip(self.graph.senders().host_ids());
            let ids = ends.map(|(&receiver, &sender)| nodes[receiver] * self.places + nodes[sender] % self.places);
            Segments::new(ids.collect(), self.batch * self.places * self.places, &self.device)
                .expect("a dense tensor on the device has no more entries than an index can number")
        })
    }
}

/// A mask on the host.
struct Mask {
    real: Vec<bool>,
    batch: usize,
    places: usize,
}

impl Mask {
    fn read(mask: Tensor<2, Bool>) -> Self {
        let [batch, places] = mask.dims();
        Self { real: host(mask), batch, places }
    }

    /// The places of `graph` with a node.
    fn nodes(&self, graph: usize) -> impl Iterator<Item = usize> + '_ {
        (0..self.places).filter(move |place| self.real[graph * self.places + place])
    }

    /// How many nodes every graph has.
    fn sizes(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.batch).map(|graph| self.nodes(graph).count())
    }
}

fn host<const D: usize>(tensor: Tensor<D, Bool>) -> Vec<bool> {
    tensor.into_data().iter::<bool>().collect()
}
