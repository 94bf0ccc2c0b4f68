//! A batch of graphs on a device.

use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorCreationOptions, TensorData};
use equi_core::group::Permutation;
use equi_core::ops::{Segments, edge_differences, gather, segment_sum};

use super::EdgeList;
use super::neighbours::LARGEST;
use crate::error::Result;

/// A batch of graphs: their nodes are numbered through, and no edge leads from one to another.
///
/// Edges are sorted by receiver, so what arrives at a node lies side by side. Features of edges come in the order of the caller's
/// lists, one after the other: bring them into the order of the graph with [`arrange`](Self::arrange).
///
/// What is read off whole graphs, or off nodes, is a sum over segments of rows:
///
/// ```
/// # #[cfg(feature = "flex")] {
/// use burn::tensor::{Device, Tensor};
/// use equi_core::ops::segment_mean;
/// use equi_layers::graph::{EdgeList, Graph};
///
/// let device = Device::flex();
/// let graph = Graph::batch(&[EdgeList::complete(3)?, EdgeList::complete(2)?], &device)?;
/// let features = Tensor::<2>::ones([graph.nodes(), 4], &device);
///
/// let of_graphs = segment_mean(features.clone(), graph.members()); // or segment_sum, segment_max
/// assert_eq!(of_graphs.dims(), [2, 4]);
/// let degrees = graph.receivers().sizes(&features); // how many edges every node receives
/// assert_eq!(degrees.dims(), [5, 1]);
/// # }
/// # Ok::<(), equi_layers::LayerError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Graph {
    receivers: Segments,
    senders: Segments,
    members: Segments,
    /// Where the edges of the graph are in the caller's lists; none where they are in that order.
    arrangement: Option<Arc<Segments>>,
    shifts: Option<Arc<Shifts>>,
}

/// What is added to the position of the sender, edge by edge.
#[derive(Debug)]
struct Shifts {
    host: Vec<f64>,
    /// The same in the default precision of the device, `[edges, 3]`.
    uploaded: Tensor<2>,
}

impl Shifts {
    fn new(shifts: impl Iterator<Item = [f64; 3]>, device: &Device) -> Self {
        let host: Vec<f64> = shifts.flatten().collect();
        let device = device.clone().without_autodiff();
        let dtype = Tensor::<1>::empty([1], &device).dtype();
        Self { uploaded: upload(&host, (&device, dtype)), host }
    }

    /// In the precision and on the device of `like`.
    fn like(&self, like: &Tensor<2>) -> Tensor<2> {
        let (device, dtype) = (like.device(), like.dtype());
        if dtype != self.uploaded.dtype() {
            return upload(&self.host, (&device, dtype));
        }
        if device.is_autodiff() { Tensor::from_inner(self.uploaded.clone()) } else { self.uploaded.clone() }
    }
}

impl Graph {
    /// One graph.
    ///
    /// # Errors
    /// As [`batch`](Self::batch).
    pub fn new(edges: &EdgeList, device: &Device) -> Result<Self> {
        Self::batch([edges], device)
    }

    /// Several graphs, one after the other. Graphs without nodes or edges are possible.
    ///
    /// # Errors
    /// [`LayerError::Core`](crate::LayerError::Core) if the batch has more nodes or edges than an index of 32 bits can number.
    pub fn batch<'a>(graphs: impl IntoIterator<Item = &'a EdgeList>, device: &Device) -> Result<Self> {
        let (mut nodes, mut count, mut periodic) = (0_usize, 0, false);
        let (mut members, mut ends, mut shifts) = (Vec::new(), Vec::new(), Vec::new());
        for (place, graph) in graphs.into_iter().enumerate() {
            let rows = nodes.saturating_add(graph.nodes()).max(ends.len().saturating_add(graph.len()));
            if rows > LARGEST {
                return Err(equi_core::Error::TooManyRows { rows }.into());
            }
            members.extend(std::iter::repeat_n(place, graph.nodes()));
            ends.extend(graph.receivers().iter().zip(graph.senders()).map(|(i, j)| (i + nodes, j + nodes)));
            match graph.shifts() {
                Some(given) => {
                    periodic = true;
                    shifts.extend_from_slice(given);
                }
                None => shifts.extend(std::iter::repeat_n([0.0; 3], graph.len())),
            }
            nodes += graph.nodes();
            count = place + 1;
        }
        Self::of(ends, periodic.then_some(shifts), members, count, device)
    }

    /// From the receiver and the sender of every edge, the shifts of all, and the graph of every node, in order.
    fn of(
        ends: Vec<(usize, usize)>,
        shifts: Option<Vec<[f64; 3]>>,
        members: Vec<usize>,
        count: usize,
        device: &Device,
    ) -> Result<Self> {
        let nodes = members.len();
        let mut order: Vec<usize> = (0..ends.len()).collect();
        let sorted = ends.is_sorted_by_key(|&(receiver, _)| receiver);
        if !sorted {
            order.sort_by_key(|&edge| ends[edge].0);
        }
        let receivers = Segments::new(order.iter().map(|&edge| ends[edge].0).collect(), nodes, device)?;
        let senders = Segments::new(order.iter().map(|&edge| ends[edge].1).collect(), nodes, device)?;
        let shifts = shifts.map(|shifts| Arc::new(Shifts::new(order.iter().map(|&edge| shifts[edge]), device)));
        let arrangement = if sorted { None } else { Some(Arc::new(Segments::new(order, ends.len(), device)?)) };
        Ok(Self { receivers, senders, members: Segments::new(members, count, device)?, arrangement, shifts })
    }

    /// The same edges between nodes in another order: node `i` is in row `order.image(i)`.
    ///
    /// Features of the edges, in the order of this graph, come into that of the new one by its [`arrange`](Self::arrange).
    ///
    /// # Panics
    /// If there are not as many nodes, or a node leaves its graph.
    pub fn permuted(&self, order: &Permutation) -> Self {
        let members = self.members.host_ids();
        assert_eq!(
            order.nodes(),
            members.len(),
            "a permutation of {} nodes, a graph of {}",
            order.nodes(),
            members.len()
        );
        let stays = |node: usize| members[order.image(node)] == members[node];
        assert!((0..members.len()).all(stays), "a permutation of a batch leaves every node in its graph");
        let ends = self.receivers.host_ids().iter().zip(self.senders.host_ids());
        let ends = ends.map(|(&i, &j)| (order.image(i), order.image(j))).collect();
        let shifts =
            self.shifts.as_ref().map(|shifts| shifts.host.chunks_exact(3).map(|s| [s[0], s[1], s[2]]).collect());
        let device = self.members.ids().device();
        Self::of(ends, shifts, members.to_vec(), self.graphs(), &device).expect("as many rows as there were")
    }

    /// Number of nodes.
    pub fn nodes(&self) -> usize {
        self.members.rows()
    }

    /// Number of edges.
    pub fn edges(&self) -> usize {
        self.receivers.rows()
    }

    /// Number of graphs.
    pub fn graphs(&self) -> usize {
        self.members.count()
    }

    /// The edges by the node that receives. Sorted.
    pub fn receivers(&self) -> &Segments {
        &self.receivers
    }

    /// The edges by the node that sends.
    pub fn senders(&self) -> &Segments {
        &self.senders
    }

    /// The nodes by the graph they belong to. Sorted.
    pub fn members(&self) -> &Segments {
        &self.members
    }

    /// Brings features of edges from the order of the caller's lists into the order of the graph.
    ///
    /// # Shapes
    /// - `features`, output: `[edges, channels]`
    ///
    /// # Panics
    /// If there are not as many rows as edges.
    pub fn arrange(&self, features: Tensor<2>) -> Tensor<2> {
        let given = features.dims()[0];
        assert_eq!(given, self.edges(), "a graph of {} edges was given features of {given}", self.edges());
        match &self.arrangement {
            Some(arrangement) => gather(features, arrangement),
            None => features,
        }
    }

    /// Brings features of edges from the order of the graph back into the order of the caller's lists.
    ///
    /// # Shapes
    /// - `features`, output: `[edges, channels]`
    ///
    /// # Panics
    /// If there are not as many rows as edges.
    pub fn restore(&self, features: Tensor<2>) -> Tensor<2> {
        let given = features.dims()[0];
        assert_eq!(given, self.edges(), "a graph of {} edges was given features of {given}", self.edges());
        match &self.arrangement {
            Some(arrangement) => segment_sum(features, arrangement),
            None => features,
        }
    }

    /// The rows of every graph by themselves.
    ///
    /// # Shapes
    /// - `rows`: `[nodes, channels]`
    /// - output: one `[nodes of the graph, channels]` for every graph
    ///
    /// # Panics
    /// If there are not as many rows as nodes.
    pub fn split(&self, rows: Tensor<2>) -> Vec<Tensor<2>> {
        let [given, channels] = rows.dims();
        assert_eq!(given, self.nodes(), "graphs of {} nodes together were given {given} rows", self.nodes());
        let sizes = (0..self.graphs()).map(|graph| self.members.rows_of(graph).len());
        let parts = sizes.scan(0, |start, size| {
            *start += size;
            Some(match size {
                0 => Tensor::zeros([0, channels], (&rows.device(), rows.dtype())),
                _ => rows.clone().narrow(0, *start - size, size),
            })
        });
        parts.collect()
    }

    /// `x_i - x_j` from the sender `j` to the receiver `i` of every edge, across the borders of a periodic cell where the edge
    /// crosses one.
    ///
    /// # Shapes
    /// - `positions`: `[nodes, dimensions]`
    /// - output: `[edges, dimensions]`
    ///
    /// # Panics
    /// If there are not as many rows as nodes, or periodic positions are not in three dimensions.
    pub fn displacements(&self, positions: Tensor<2>) -> Tensor<2> {
        let difference = edge_differences(positions, &self.receivers, &self.senders);
        match &self.shifts {
            Some(shifts) => {
                let dimensions = difference.dims()[1];
                assert_eq!(dimensions, 3, "a periodic cell is in 3 dimensions, these positions are in {dimensions}");
                let shifts = shifts.like(&difference);
                difference - shifts
            }
            None => difference,
        }
    }
}

fn upload(shifts: &[f64], options: impl Into<TensorCreationOptions>) -> Tensor<2> {
    let options = options.into();
    let data = TensorData::new(shifts.to_vec(), [shifts.len() / 3, 3]);
    Tensor::from_data(data.convert_dtype(options.dtype.expect("a precision")), options)
}
