//! Who attends to whom.

use std::collections::{BTreeMap, VecDeque};

use super::SE3TransformerConfig;
use crate::error::{LayerError, Result};
use crate::graph::EdgeList;

/// The neighbours of the nodes of one graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Neighbourhood {
    /// An edge from every neighbour, by the node that receives.
    pub edges: EdgeList,
    /// How many bonds every edge spans; 0 where that is more than `num_adj_degrees`, or there are none.
    pub hops: Vec<usize>,
}

impl SE3TransformerConfig {
    /// The neighbours that the options choose: bonded nodes if they are attended to, at most `max_sparse_neighbors`, and the nearest others
    /// within `valid_radius`, at most `num_neighbors`. Of nodes equally far the first in the list are taken, the one choice here that depends on the
    /// order of the nodes.
    ///
    /// `bonds` lead from a node to those it is bonded to; `allowed`, row by row for the node that receives, says who may be a neighbour without
    /// a bond.
    ///
    /// # Shapes
    /// - `allowed`: `[nodes * nodes]`
    ///
    /// # Errors
    /// [`LayerError::Graph`] for positions that are not finite, bonds or permissions for another number of nodes, and bonds that are
    /// missing though the options use them.
    pub fn neighbours(
        &self,
        positions: &[[f64; 3]],
        bonds: Option<&EdgeList>,
        allowed: Option<&[bool]>,
    ) -> Result<Neighbourhood> {
        let nodes = positions.len();
        if let Some(node) = positions.iter().position(|position| !position.iter().all(|x| x.is_finite())) {
            return Err(LayerError::Graph(format!(
                "the position of node {node} is {:?}: positions must be finite",
                positions[node]
            )));
        }
        if let Some(bonds) = bonds.filter(|bonds| bonds.nodes() != nodes) {
            return Err(LayerError::Graph(format!("bonds between {} nodes were given for {nodes}", bonds.nodes())));
        }
        if let Some(allowed) = allowed.filter(|allowed| allowed.len() != nodes * nodes) {
            let (given, wanted) = (allowed.len(), nodes * nodes);
            return Err(LayerError::Graph(format!(
                "{nodes} nodes make {wanted} pairs, but {given} were allowed or not"
            )));
        }
        let uses_bonds = self.attend_sparse_neighbors || self.adj_dim > 0;
        let reached = match bonds {
            Some(bonds) if uses_bonds => reached(bonds, self.num_adj_degrees.unwrap_or(1)),
            None if uses_bonds => {
                return Err(LayerError::Graph(
                    "these options use bonds (attend_sparse_neighbors or adj_dim): give the adjacency".to_string(),
                ));
            }
            _ => vec![BTreeMap::new(); nodes],
        };
        let (mut receivers, mut senders, mut hops) = (Vec::new(), Vec::new(), Vec::new());
        for (i, reached) in reached.iter().enumerate() {
            let square =
                |j: usize| -> f64 { (0..3).map(|axis| (positions[i][axis] - positions[j][axis]).powi(2)).sum() };
            let seen = |j: usize| j != i && !(self.causal && j > i);
            let mut chosen: Vec<usize> = Vec::new();
            if self.attend_sparse_neighbors {
                let mut bonded: Vec<_> =
                    reached.iter().filter(|&(&j, _)| seen(j)).map(|(&j, &hops)| (hops, square(j), j)).collect();
                bonded.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
                bonded.truncate(self.max_sparse_neighbors.unwrap_or(usize::MAX));
                chosen.extend(bonded.into_iter().map(|(_, _, j)| j));
            }
            if self.num_neighbors != Some(0) {
                let free = |j: usize| allowed.is_none_or(|allowed| allowed[i * nodes + j]) && !chosen.contains(&j);
                let mut near: Vec<_> = (0..nodes)
                    .filter(|&j| seen(j) && free(j))
                    .map(|j| (square(j), j))
                    .filter(|(square, _)| square.sqrt() <= self.valid_radius)
                    .collect();
                let count = self.num_neighbors.unwrap_or(usize::MAX);
                if count < near.len() {
                    near.select_nth_unstable_by(count, |a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
                    near.truncate(count);
                }
                chosen.extend(near.into_iter().map(|(_, j)| j));
            }
            chosen.sort_unstable();
            hops.extend(chosen.iter().map(|j| reached.get(j).copied().unwrap_or(0)));
            receivers.extend(std::iter::repeat_n(i, chosen.len()));
            senders.extend(chosen);
        }
        Ok(Neighbourhood { edges: EdgeList::new(nodes, receivers, senders)?, hops })
    }
}

/// For every node those it reaches by at most `furthest` bonds, and by how many.
fn reached(bonds: &EdgeList, furthest: usize) -> Vec<BTreeMap<usize, usize>> {
    let mut bonded = vec![Vec::new(); bonds.nodes()];
    for (&i, &j) in bonds.receivers().iter().zip(bonds.senders()) {
        bonded[i].push(j);
    }
    let from = |start: usize| {
        let mut reached = BTreeMap::new();
        let mut queue = VecDeque::from([(start, 0)]);
        while let Some((node, hops)) = queue.pop_front() {
            if hops == furthest {
                continue;
            }
            for &next in &bonded[node] {
                if next != start && !reached.contains_key(&next) {
                    reached.insert(next, hops + 1);
                    queue.push_back((next, hops + 1));
                }
            }
        }
        reached
    };
    (0..bonds.nodes()).map(from).collect()
}
