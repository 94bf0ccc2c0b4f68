//! Weights of paths that fill whole vectors.

use std::mem::MaybeUninit;

use crate::ops::flex::float::Float;
use crate::ops::o3::Couplings;

/// Where the weights of every path are when each is filled up to whole vectors.
pub(super) struct WeightLanes {
    paths: Vec<Path>,
    /// Weights of an edge.
    pub columns: usize,
    /// The same, filled up.
    pub size: usize,
    /// Whether nothing is filled up.
    whole: bool,
}

struct Path {
    copies: usize,
    /// The first, as they come.
    column: usize,
    /// The first, filled up.
    lane: usize,
}

impl WeightLanes {
    pub fn new(couplings: &Couplings, width: usize) -> Self {
        let (mut size, mut whole) = (0, true);
        let mut paths = Vec::with_capacity(couplings.paths.len());
        for path in &couplings.paths {
            let copies = couplings.first[path.first].copies;
            paths.push(Path { copies, column: path.weights, lane: size });
            size += copies.next_multiple_of(width);
            whole &= copies.is_multiple_of(width);
        }
        Self { paths, columns: couplings.weights(), size, whole }
    }

    /// The first of a path's, filled up.
    #[inline(always)]
    pub fn lane(&self, path: usize) -> usize {
        self.paths[path].lane
    }

    /// How many numbers [`spread`](Self::spread) needs.
    pub fn scratch(&self) -> usize {
        if self.whole { 0 } else { self.size }
    }

    /// The weights of an edge, filled up. What fills them up is left as it is in `scratch`.
    #[inline(always)]
    pub fn spread<'a, F: Float>(&self, row: &'a [F], scratch: &'a mut [F]) -> &'a [F] {
        if self.whole {
            return row;
        }
        for path in &self.paths {
            scratch[path.lane..][..path.copies].copy_from_slice(&row[path.column..][..path.copies]);
        }
        scratch
    }

    /// The way back.
    #[inline(always)]
    pub fn collect<F: Float>(&self, lanes: &[F], row: &mut [MaybeUninit<F>]) {
        for path in &self.paths {
            row[path.column..][..path.copies].write_copy_of_slice(&lanes[path.lane..][..path.copies]);
        }
    }
}
