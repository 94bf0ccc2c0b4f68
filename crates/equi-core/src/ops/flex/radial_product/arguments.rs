//! What a radial product is given.

use std::ops::Range;

use super::super::float::Float;
use crate::ops::segments::Rows;

/// The arguments, named as in the formula.
pub(super) struct Arguments<'a, F> {
    pub x: &'a [F],
    pub a: &'a [F],
    pub b: &'a [F],
    pub w: &'a [F],
    pub p: usize,
    pub i: usize,
    pub h: usize,
    pub q: usize,
    /// `F o`
    pub columns: usize,
    pub o: usize,
    pub rows: &'a Rows,
}

impl<'a, F: Float> Arguments<'a, F> {
    /// Of `[x, a, b, w]`, where `features` are the last two dimensions of `x`, `hidden` and `angular` those of `a` and `b`.
    ///
    /// # Panics
    /// If the shapes do not fit the segments.
    pub(super) fn new(
        [x, a, b, w]: [&'a [F]; 4],
        [p, i]: [usize; 2],
        h: usize,
        [q, inner]: [usize; 2],
        rows: &'a Rows,
    ) -> Self {
        let kernels = inner / p;
        let columns = w.len() / (i * h);
        assert!(
            x.len() == rows.count() * p * i
                && a.len() == rows.rows() * h
                && b.len() == rows.rows() * q * p * kernels
                && w.len() == i * h * columns,
            "the shapes fit the segments"
        );
        Self { x, a, b, w, p, i, h, q, columns, o: columns / kernels, rows }
    }

    /// Numbers of the angular kernels along one component that goes out: `p F`.
    pub(super) fn inner(&self) -> usize {
        self.p * self.columns / self.o
    }

    pub(super) fn edges(&self, nodes: &Range<usize>) -> &'a [usize] {
        &self.rows.order[self.rows.offsets[nodes.start]..self.rows.offsets[nodes.end]]
    }

    pub(super) fn sent(&self, node: usize) -> Range<usize> {
        self.rows.offsets[node]..self.rows.offsets[node + 1]
    }

    /// Nodes in groups whose edges carry at most `edges`, or are those of one node.
    pub(super) fn groups(&self, nodes: usize, edges: usize) -> Vec<Range<usize>> {
        let mut groups: Vec<Range<usize>> = Vec::new();
        for node in 0..self.rows.count() {
            match groups.last_mut() {
                Some(group)
                    if group.len() < nodes && self.rows.offsets[node + 1] - self.rows.offsets[group.start] <= edges =>
                {
                    group.end = node + 1;
                }
                _ => groups.push(node..node + 1),
            }
        }
        groups.retain(|group| !self.edges(group).is_empty());
        groups
    }
}
