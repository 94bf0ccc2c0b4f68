//! Edges between near points, on the host in f64.
//!
//! A k-d tree of the nodes and, in a periodic cell, of their images proposes who is near. What is decided - who is within a cutoff,
//! who is nearer - is decided from `x_i - x_j - shift` as [`Graph::displacements`](super::Graph::displacements) computes it.

use std::cmp::Ordering;
use std::num::NonZero;

use kiddo::{ImmutableKdTree, SquaredEuclidean};

use super::cell::Images;
use super::{EdgeList, PeriodicCell};
use crate::error::{LayerError, Result};

/// The most edges, and the most points in a tree: what an index of 32 bits can number.
pub(super) const LARGEST: usize = i32::MAX as usize;
/// The largest coordinate whose square is far from overflowing.
const FARTHEST: f64 = 1e150;

/// # Neighbours
///
/// Edges come by receiver, then by distance, then by sender, so the same points give the same list. Points may share a place: they
/// are neighbours at distance zero.
impl EdgeList {
    /// Every node receives from all others at most `cutoff` away.
    ///
    /// # Errors
    /// [`LayerError::Graph`] for a position that is not finite, a cutoff that is not positive and finite, or more edges than an
    /// index of 32 bits can number.
    pub fn radius<const D: usize>(positions: &[[f64; D]], cutoff: f64) -> Result<Self> {
        check_positions(positions)?;
        among_nodes(positions, Choice::within(cutoff)?)
    }

    /// Every node receives from the `count` others nearest to it, or from all others where there are fewer. Of those equally
    /// near, the ones with the lowest index are taken.
    ///
    /// # Errors
    /// [`LayerError::Graph`] for a position that is not finite, a count of zero, or more edges than an index of 32 bits can
    /// number.
    pub fn nearest<const D: usize>(positions: &[[f64; D]], count: usize) -> Result<Self> {
        check_positions(positions)?;
        among_nodes(positions, Choice::nearest(count)?)
    }

    /// Every node receives from all nodes and images of nodes at most `cutoff` away in a periodic cell. Images of a node are
    /// neighbours like others, of that node too, and the cutoff may reach across several cells. Positions may lie outside the cell: the
    /// shifts of the edges start at the positions given.
    ///
    /// # Errors
    /// As [`radius`](Self::radius), or for a position more than a million cells away from the origin.
    pub fn radius_periodic(positions: &[[f64; 3]], cutoff: f64, cell: &PeriodicCell) -> Result<Self> {
        check_positions(positions)?;
        let choice = Choice::within(cutoff)?;
        if positions.is_empty() || cell.dimensions() == 0 {
            return among_nodes(positions, choice);
        }
        among_images(&Images::inside(positions, cell)?.within(cutoff)?, choice)
    }

    /// Every node receives from the `count` nodes and images of nodes nearest to it in a periodic cell. Of those equally near,
    /// the ones with the lowest index, then with the lowest shift, are taken.
    ///
    /// # Errors
    /// As [`nearest`](Self::nearest), or for a position more than a million cells away from the origin.
    pub fn nearest_periodic(positions: &[[f64; 3]], count: usize, cell: &PeriodicCell) -> Result<Self> {
        check_positions(positions)?;
        let choice = Choice::nearest(count)?;
        if positions.is_empty() || cell.dimensions() == 0 {
            return among_nodes(positions, choice);
        }
        if count.saturating_mul(positions.len()) > LARGEST {
            return Err(too_many(LARGEST));
        }
        // Among enough images, near or not, the last of the nearest is at least as far away as among all.
        let inside = Images::inside(positions, cell)?;
        let enough = |shells: &usize| (positions.len() * (2 * shells + 1).pow(cell.dimensions())) > count;
        let some = inside.shells((0..).find(enough).expect("shells without end"))?;
        let tree = tree(some.points());
        let bound = some.points()[..positions.len()]
            .iter()
            .map(|point| reach_of_nearest(&tree, point, count))
            .fold(0.0, f64::max);
        among_images(&inside.within(bound + rounding(some.largest()))?, choice)
    }
}

/// Which candidates become neighbours.
#[derive(Clone, Copy)]
enum Choice {
    /// Those at most so far away.
    Within(f64),
    /// So many, the nearest.
    Nearest(usize),
}

impl Choice {
    fn within(cutoff: f64) -> Result<Self> {
        if cutoff.is_finite() && cutoff > 0.0 {
            return Ok(Self::Within(cutoff));
        }
        Err(LayerError::Graph(format!(
            "the cutoff is {cutoff} and must be positive and finite; to join all nodes, use `EdgeList::complete`"
        )))
    }

    fn nearest(count: usize) -> Result<Self> {
        if count == 0 {
            return Err(LayerError::Graph(
                "every node is to receive from its 0 nearest: ask for at least 1, or build an `EdgeList` without edges"
                    .to_string(),
            ));
        }
        Ok(Self::Nearest(count))
    }
}

/// Who may send to a node, and from where.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
struct Candidate {
    squared: f64,
    sender: usize,
    shift: [f64; 3],
}

impl Candidate {
    /// Seen from a receiver at `x` is a sender at `y`.
    fn new<const D: usize>(x: &[f64; D], y: &[f64; D], sender: usize, shift: [f64; 3]) -> Self {
        let along = |axis: usize| x[axis] - y[axis] - shift.get(axis).copied().unwrap_or(0.0);
        Self { squared: (0..D).map(along).map(|difference| difference * difference).sum(), sender, shift }
    }

    /// By distance, then sender, then shift.
    fn order(&self, other: &Self) -> Ordering {
        self.partial_cmp(other).expect("finite positions")
    }
}

/// Edges among nodes that are where they are.
fn among_nodes<const D: usize>(positions: &[[f64; D]], choice: Choice) -> Result<EdgeList> {
    let largest = positions.iter().flatten().fold(0.0, |largest: f64, x| largest.max(x.abs()));
    let seen = |receiver: usize, sender: usize| {
        let candidate = Candidate::new(&positions[receiver], &positions[sender], sender, [0.0; 3]);
        (sender != receiver).then_some(candidate)
    };
    let choice = match choice {
        Choice::Nearest(count) => Choice::Nearest(count.min(positions.len().saturating_sub(1))),
        within => within,
    };
    let (receivers, found) = neighbours(positions.len(), positions, largest, choice, LARGEST, seen)?;
    EdgeList::new(positions.len(), receivers, found.iter().map(|candidate| candidate.sender).collect())
}

/// Edges among nodes and their images.
fn among_images(images: &Images, choice: Choice) -> Result<EdgeList> {
    let positions = images.positions();
    let seen = |receiver: usize, image: usize| {
        let (sender, shift) = images.seen_from(receiver, image)?;
        Some(Candidate::new(&positions[receiver], &positions[sender], sender, shift))
    };
    let (receivers, found) = neighbours(positions.len(), images.points(), images.largest(), choice, LARGEST, seen)?;
    let senders = found.iter().map(|candidate| candidate.sender).collect();
    EdgeList::with_self_loops(positions.len(), receivers, senders)?
        .with_shifts(found.iter().map(|candidate| candidate.shift).collect())
}

/// The receivers and the senders of all edges to the first `nodes` of these points. `largest` is the largest number that a point
/// was computed from; `seen` is what a point is to a receiver.
fn neighbours<const D: usize>(
    nodes: usize,
    points: &[[f64; D]],
    largest: f64,
    choice: Choice,
    most: usize,
    seen: impl Fn(usize, usize) -> Option<Candidate>,
) -> Result<(Vec<usize>, Vec<Candidate>)> {
    let (mut receivers, mut found, mut near) = (Vec::new(), Vec::new(), Vec::new());
    if points.is_empty() {
        return Ok((receivers, found));
    }
    let tree = tree(points);
    for (receiver, point) in points[..nodes].iter().enumerate() {
        let reach = match choice {
            Choice::Within(cutoff) => cutoff,
            Choice::Nearest(count) => reach_of_nearest(&tree, point, count),
        };
        let radius = reach + rounding(largest);
        near.clear();
        let query = tree.query(point).within::<SquaredEuclidean<f64>>(radius * radius).unsorted();
        query.visit(|point| near.extend(seen(receiver, point.item as usize)));
        match choice {
            Choice::Within(cutoff) => near.retain(|candidate| candidate.squared <= cutoff * cutoff),
            Choice::Nearest(count) if count < near.len() => {
                near.select_nth_unstable_by(count, Candidate::order);
                near.truncate(count);
            }
            Choice::Nearest(_) => {}
        }
        near.sort_unstable_by(Candidate::order);
        if found.len() + near.len() > most {
            return Err(too_many(most));
        }
        receivers.extend(std::iter::repeat_n(receiver, near.len()));
        found.append(&mut near);
    }
    Ok((receivers, found))
}

/// A tree of soft buckets: any number of points may share a coordinate, or a place.
fn tree<const D: usize>(points: &[[f64; D]]) -> ImmutableKdTree<f64, D> {
    ImmutableKdTree::new_from_slice(points).expect("fewer points than an index of 32 bits can number")
}

/// How far the last of the `count` points nearest to a point of the tree is away, itself apart; the farthest of all where there are
/// fewer.
fn reach_of_nearest<const D: usize>(tree: &ImmutableKdTree<f64, D>, point: &[f64; D], count: usize) -> f64 {
    let count = NonZero::new(count + 1).expect("one more than a count");
    let nearest = tree.query(point).nearest_n::<SquaredEuclidean<f64>>(count).execute();
    nearest.last().map_or(0.0, |last| last.distance.sqrt())
}

/// More than the distance of two points is off that were computed from numbers up to `largest`.
fn rounding(largest: f64) -> f64 {
    64.0 * f64::EPSILON * largest
}

fn check_positions<const D: usize>(positions: &[[f64; D]]) -> Result<()> {
    const { assert!(D > 0, "points have coordinates") };
    if positions.len() > LARGEST {
        return Err(equi_core::Error::TooManyRows { rows: positions.len() }.into());
    }
    // Not `>`, which NaN would pass.
    match positions.iter().position(|position| !position.iter().all(|x| x.abs() <= FARTHEST)) {
        Some(node) => Err(LayerError::Graph(format!(
            "node {node} is at {:?}: coordinates must be finite and below {FARTHEST:e}; find where this position was computed",
            positions[node]
        ))),
        None => Ok(()),
    }
}

fn too_many(most: usize) -> LayerError {
    LayerError::Graph(format!(
        "the points have more than {most} edges, more than an index can number: lower the cutoff or the count of neighbours"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_edges_than_an_index_can_number_are_an_error() {
        let points: Vec<[f64; 1]> = (0..10).map(|x| [f64::from(x)]).collect();
        let pairs = |choice, most| {
            let seen = |i: usize, j: usize| (i != j).then(|| Candidate::new(&points[i], &points[j], j, [0.0; 3]));
            neighbours(10, &points, 9.0, choice, most, seen).map(|(receivers, _)| receivers.len())
        };
        assert_eq!(pairs(Choice::Within(1.0), 18), Ok(18));
        assert_eq!(pairs(Choice::Within(1.0), 17), Err(too_many(17)));
        assert_eq!(pairs(Choice::Nearest(3), 30), Ok(30));
        assert_eq!(pairs(Choice::Nearest(3), 29), Err(too_many(29)));
    }
}
