//! A batch of graphs on a device.

use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use equi_core::ops::{Segments, gather};

use super::EdgeList;
use crate::error::Result;

/// A batch of graphs: their nodes are numbered through, and no edge leads from one to another.
///
/// Edges are sorted by receiver, so what arrives at a node lies side by side. Features of edges come in the order of the caller's
/// lists, one after the other: bring them into the order of the graph with [`arrange`](Self::arrange).
#[derive(Clone, Debug)]
pub struct Graph {
    receivers: Segments,
    senders: Segments,
    members: Segments,
    /// Where the edges of the graph are in the caller's lists; none where they are in that order.
    arrangement: Option<Arc<Segments>>,
    /// What is added to the position of the sender, edge by edge.
    shifts: Option<Arc<[[f64; 3]]>>,
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
        let (mut nodes, mut count, mut periodic) = (0, 0, false);
        let (mut members, mut ends, mut shifts) = (Vec::new(), Vec::new(), Vec::new());
        for (place, graph) in graphs.into_iter().enumerate() {
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
        let mut order: Vec<usize> = (0..ends.len()).collect();
        let sorted = ends.is_sorted_by_key(|&(receiver, _)| receiver);
        if !sorted {
            order.sort_by_key(|&edge| ends[edge].0);
        }
        let receivers = Segments::new(order.iter().map(|&edge| ends[edge].0).collect(), nodes, device)?;
        let senders = Segments::new(order.iter().map(|&edge| ends[edge].1).collect(), nodes, device)?;
        let shifts = periodic.then(|| order.iter().map(|&edge| shifts[edge]).collect());
        let arrangement = if sorted { None } else { Some(Arc::new(Segments::new(order, ends.len(), device)?)) };
        Ok(Self { receivers, senders, members: Segments::new(members, count, device)?, arrangement, shifts })
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
        let difference = gather(positions.clone(), &self.receivers) - gather(positions, &self.senders);
        match &self.shifts {
            Some(shifts) => {
                let dimensions = difference.dims()[1];
                assert_eq!(dimensions, 3, "a periodic cell is in 3 dimensions, these positions are in {dimensions}");
                let flat: Vec<f64> = shifts.iter().flatten().copied().collect();
                let data = TensorData::new(flat, [shifts.len(), 3]).convert_dtype(difference.dtype());
                let shifts = Tensor::from_data(data, (&difference.device(), difference.dtype()));
                difference - shifts
            }
            None => difference,
        }
    }
}
