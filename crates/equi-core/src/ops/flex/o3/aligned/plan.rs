//! What is turned and multiplied, in the precision and for the vectors of a kernel.

use std::ops::Range;

use super::frame::Series;
use crate::ops::flex::o3::planes::{Plane, Planes};
use crate::ops::flex::o3::vector::{Vector, width};
use crate::ops::flex::o3::weights::WeightLanes;
use crate::ops::o3::{AlignedPath, Group, HarmonicCouplings};

pub(in crate::ops::flex::o3) struct Plan<F> {
    pub first: Planes,
    pub out: Planes,
    pub weights: WeightLanes,
    /// Columns of features, and of the output.
    pub columns: [usize; 2],
    pub(super) straight: Vec<Straight<F>>,
    pub(super) series: Series<F>,
    /// The blocks of features that paths begin at, and those of the output that they end at.
    pub(super) firsts: Vec<Turned<F>>,
    pub(super) outs: Vec<Turned<F>>,
    /// Numbers of the turned blocks of features.
    pub turned: usize,
    /// Numbers of the largest turned block of the output.
    pub largest: usize,
    pub(super) couples: Vec<Couple>,
    /// The couples that end at every turned block of the output.
    pub ends: Vec<Range<usize>>,
    pub(super) paths: Vec<Path>,
    /// `f_m` of path after path.
    pub factors: Vec<F>,
    /// Numbers in a vector.
    pub width: usize,
    /// Whether harmonics are those of directions.
    pub directed: bool,
    /// What an edge costs.
    pub operations: usize,
}

/// A path that multiplies by a number.
pub(super) struct Straight<F> {
    pub first: Plane,
    pub out: Plane,
    pub lane: usize,
    pub factor: F,
}

/// A block that is turned.
pub(super) struct Turned<F> {
    pub plane: Plane,
    /// The number of its degree in the series.
    pub degree: usize,
    /// The orders that paths join.
    pub orders: usize,
    /// These and the next, if there is one: rotations take an order to the next ones.
    pub room: usize,
    /// Its numbers among the turned ones.
    pub place: Range<usize>,
    /// What joins order `m` to the next in the generators of rotations.
    pub steps: Vec<F>,
}

/// Paths that join two blocks.
pub(super) struct Couple {
    /// Among the turned blocks of features.
    pub first: usize,
    pub orders: usize,
    pub even: Range<usize>,
    pub odd: Range<usize>,
}

/// A path, and where its factors and weights are.
pub(super) struct Path {
    pub lane: usize,
    pub factors: Range<usize>,
    /// `l2`
    pub degree: usize,
}

impl<F: Vector> Plan<F> {
    pub fn new(couplings: &HarmonicCouplings) -> Self {
        let width = width::<F>();
        let HarmonicCouplings { straight, groups, .. } = couplings;
        let all = couplings.couplings();
        let (first, out) = (Planes::new(&all.first, width), Planes::new(&all.out, width));
        let weights = WeightLanes::new(all, width);
        let straight = straight.iter().map(|straight| {
            let path = &all.paths[straight.path];
            let (first, out) = (first.blocks[path.first], out.blocks[path.out]);
            Straight { first, out, lane: weights.lane(straight.path), factor: F::from_elem(straight.factor) }
        });
        let straight = straight.collect();
        let ends = groups.iter().flat_map(|group| [first.blocks[group.first], out.blocks[group.out]]);
        let mut degrees: Vec<usize> = ends.map(|plane| plane.components / 2).collect();
        degrees.sort_unstable();
        degrees.dedup();
        let firsts = turned(&first, &degrees, groups, |group| group.first);
        let outs = turned(&out, &degrees, groups, |group| group.out);
        let (mut couples, mut paths, mut factors) = (Vec::new(), Vec::new(), Vec::new());
        for group in groups {
            let mut push = |aligned: &[AlignedPath]| {
                let start = paths.len();
                for AlignedPath { path, degree, factors: of_path } in aligned {
                    let place = factors.len()..factors.len() + of_path.len();
                    factors.extend(of_path.iter().map(|factor| F::from_elem(*factor)));
                    paths.push(Path { lane: weights.lane(*path), factors: place, degree: *degree });
                }
                start..paths.len()
            };
            let (even, odd) = (push(&group.even), push(&group.odd));
            let first = firsts.iter().position(|block| block.plane.place == first.blocks[group.first].place);
            couples.push(Couple { first: first.expect("a turned block"), orders: group.orders, even, odd });
        }
        let columns = all.columns();
        // Groups lie in the order of the output.
        let mut end = 0;
        let of_block = |block: &[Group]| {
            end += block.len();
            end - block.len()..end
        };
        Self {
            ends: groups.chunk_by(|a, b| a.out == b.out).map(of_block).collect(),
            turned: firsts.last().map_or(0, |block| block.place.end),
            largest: outs.iter().map(|block| block.place.len()).max().unwrap_or(0),
            width,
            directed: couplings.recursion().normalize,
            operations: couplings.cost(couplings.form()),
            series: Series::new(&degrees, width),
            columns: [columns[0], columns[2]],
            first,
            out,
            weights,
            straight,
            firsts,
            outs,
            couples,
            paths,
            factors,
        }
    }
}

/// What joins component `m` of degree `l` to `m + 1` in the generator of rotations about `x`: `sqrt((l - m) (l + m + 1)) / 2`, for `m = 0` times `sqrt 2`.
fn step(l: usize, m: usize) -> f64 {
    (((l - m) * (l + m + 1)) as f64 / if m == 0 { 2.0 } else { 4.0 }).sqrt()
}

/// The blocks that groups begin or end at, in their order.
fn turned<F: Vector>(
    planes: &Planes,
    degrees: &[usize],
    groups: &[Group],
    of: impl Fn(&Group) -> usize,
) -> Vec<Turned<F>> {
    let mut end = 0;
    let block = |(number, plane): (usize, &Plane)| {
        let here = |group: &&Group| of(group) == number;
        let orders = groups.iter().filter(here).map(|group| group.orders).max()?;
        let l = plane.components / 2;
        let room = (orders + 1).min(l + 1);
        let place = end..end + 2 * room * plane.stride;
        end = place.end;
        Some(Turned {
            plane: *plane,
            degree: degrees.binary_search(&l).ok()?,
            orders,
            room,
            place,
            steps: (0..l).map(|m| F::from_elem(step(l, m))).collect(),
        })
    };
    planes.blocks.iter().enumerate().filter_map(block).collect()
}

#[cfg(test)]
mod tests {
    use super::step;
    use crate::o3::so3_generators;

    #[test]
    fn steps_are_those_of_the_generators() {
        for l in 1..8 {
            let [about_x, _, about_z] = so3_generators(l);
            for m in 0..l {
                let (cosine, sine) = (l + m, l - m);
                assert!((about_x[(cosine + 1, cosine)] - step(l, m)).abs() < 1e-14);
                assert!((about_z[(sine - 1, cosine)] + step(l, m)).abs() < 1e-14);
            }
        }
    }
}
