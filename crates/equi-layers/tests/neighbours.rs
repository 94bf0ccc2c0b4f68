//! Neighbours of points, against all pairs with all images.

use std::cmp::Ordering;

use equi_layers::LayerError;
use equi_layers::graph::{EdgeList, PeriodicCell};
use nalgebra::DMatrix;
use proptest::collection::vec;
use proptest::prelude::*;

/// `|x_i - x_j - shift|^2`, sender and shift.
type Neighbour = (f64, usize, [f64; 3]);

fn squared<const D: usize>(x: &[f64; D], y: &[f64; D], shift: [f64; 3]) -> f64 {
    (0..D).map(|axis| (x[axis] - y[axis] - shift.get(axis).unwrap_or(&0.0)).powi(2)).sum()
}

fn order(a: &Neighbour, b: &Neighbour) -> Ordering {
    a.partial_cmp(b).unwrap()
}

/// The edges of a list with their lengths, by receiver.
fn by_receiver<const D: usize>(positions: &[[f64; D]], edges: &EdgeList) -> Vec<Vec<Neighbour>> {
    assert_eq!(edges.nodes(), positions.len());
    assert!(edges.receivers().is_sorted());
    let mut found = vec![Vec::new(); positions.len()];
    for (edge, (&i, &j)) in edges.receivers().iter().zip(edges.senders()).enumerate() {
        let shift = edges.shifts().map_or([0.0; 3], |shifts| shifts[edge]);
        found[i].push((squared(&positions[i], &positions[j], shift), j, shift));
    }
    found
}

/// For every node all others, and all images in `shifts`, sorted.
fn all_pairs<const D: usize>(positions: &[[f64; D]], shifts: &[[f64; 3]]) -> Vec<Vec<Neighbour>> {
    let of = |i: usize| {
        let others = (0..positions.len()).flat_map(|j| shifts.iter().map(move |&shift| (j, shift)));
        let others = others.filter(|&(j, shift)| j != i || shift != [0.0; 3]);
        let mut all: Vec<_> =
            others.map(|(j, shift)| (squared(&positions[i], &positions[j], shift), j, shift)).collect();
        all.sort_by(order);
        all
    };
    (0..positions.len()).map(of).collect()
}

fn within(all: Vec<Vec<Neighbour>>, cutoff: f64) -> Vec<Vec<Neighbour>> {
    all.into_iter().map(|of| of.into_iter().filter(|near| near.0 <= cutoff * cutoff).collect()).collect()
}

fn nearest(all: Vec<Vec<Neighbour>>, count: usize) -> Vec<Vec<Neighbour>> {
    all.into_iter().map(|of| of.into_iter().take(count).collect()).collect()
}

/// Points anywhere, or on a coarse grid where many are equally far apart or in the same place.
fn points<const D: usize>(most: usize, side: f64) -> impl Strategy<Value = Vec<[f64; D]>> {
    let anywhere = vec(vec(-side..side, D), 0..=most);
    let on_grid = vec(vec((-2..=2_i32).prop_map(move |x| f64::from(x) * side / 2.0), D), 0..=most);
    prop_oneof![anywhere, on_grid].prop_map(|points| points.into_iter().map(|p| p.try_into().unwrap()).collect())
}

/// Cells of any shape that are not too flat, periodic along any vectors; also cells with right angles and edges that grids share.
fn cells() -> impl Strategy<Value = ([[f64; 3]; 3], [bool; 3])> {
    let skew = vec(-2.5..2.5, 9).prop_map(|x| [[x[0], x[1], x[2]], [x[3], x[4], x[5]], [x[6], x[7], x[8]]]);
    let right = (1..=3_i32, 1..=3_i32, 1..=3_i32)
        .prop_map(|(a, b, c)| [[f64::from(a), 0.0, 0.0], [0.0, f64::from(b), 0.0], [0.0, 0.0, f64::from(c)]]);
    (prop_oneof![skew, right], any::<[bool; 3]>())
        .prop_filter("a flat cell", |&(cell, periodic)| stretch(cell, periodic) > 0.5)
}

/// The least length that a step of one cell, along any of the periodic vectors together, may have: the smallest singular value.
fn stretch(cell: [[f64; 3]; 3], periodic: [bool; 3]) -> f64 {
    let rows: Vec<[f64; 3]> = (0..3).filter(|&axis| periodic[axis]).map(|axis| cell[axis]).collect();
    if rows.is_empty() {
        return f64::INFINITY;
    }
    DMatrix::from_fn(rows.len(), 3, |row, column| rows[row][column]).singular_values().min()
}

/// All shifts between nodes that can be `distance` apart.
fn shifts(positions: &[[f64; 3]], cell: [[f64; 3]; 3], periodic: [bool; 3], distance: f64) -> Vec<[f64; 3]> {
    let spread =
        positions.iter().flat_map(|x| positions.iter().map(|y| squared(x, y, [0.0; 3]).sqrt())).fold(0.0, f64::max);
    let most = ((distance + spread) / stretch(cell, periodic)).ceil() as i32 + 1;
    let along = |axis: usize| if periodic[axis] { -most..=most } else { 0..=0 };
    let mut shifts = Vec::new();
    for a in along(0) {
        for b in along(1) {
            for c in along(2) {
                let cells = [a, b, c].map(f64::from);
                shifts.push(std::array::from_fn(|column| {
                    (0..3).filter(|&axis| periodic[axis]).fold(0.0, |way, axis| way + cells[axis] * cell[axis][column])
                }));
            }
        }
    }
    shifts
}

proptest! {
    #[test]
    fn neighbours_in_space_are_those_of_all_pairs(points in points::<3>(40, 2.0), cutoff in 0.01..5.0, count in 1..50_usize) {
        check(&points, cutoff, count)?;
    }

    #[test]
    fn neighbours_in_the_plane_are_those_of_all_pairs(points in points::<2>(60, 2.0), cutoff in 0.01..5.0, count in 1..70_usize) {
        check(&points, cutoff, count)?;
    }

    #[test]
    fn neighbours_on_the_grid_s_own_distances_are_those_of_all_pairs(points in points::<3>(40, 2.0), cutoff in 1..4_u8) {
        check(&points, f64::from(cutoff), usize::from(cutoff))?;
    }

    #[test]
    fn periodic_neighbours_are_those_of_all_images(
        points in points::<3>(6, 3.0), (vectors, periodic) in cells(), cutoff in prop_oneof![0.1..3.0, Just(1.0), Just(3.0)],
    ) {
        let cell = PeriodicCell::new(vectors, periodic).unwrap();
        let edges = EdgeList::radius_periodic(&points, cutoff, &cell).unwrap();
        let all = all_pairs(&points, &shifts(&points, vectors, periodic, cutoff));
        prop_assert_eq!(by_receiver(&points, &edges), within(all, cutoff));
    }

    #[test]
    fn nearest_periodic_neighbours_are_those_of_all_images(
        points in points::<3>(5, 3.0), (vectors, periodic) in cells(), count in 1..20_usize,
    ) {
        let cell = PeriodicCell::new(vectors, periodic).unwrap();
        let edges = EdgeList::nearest_periodic(&points, count, &cell).unwrap();
        // Among enough images the last of the nearest is at least as far away as among all.
        let enough = stretch(vectors, periodic).min(10.0) * count as f64 / 2.0;
        let some = all_pairs(&points, &shifts(&points, vectors, periodic, enough));
        let bound = nearest(some, count).iter().filter_map(|of| of.last()).fold(0.0, |bound: f64, last| bound.max(last.0.sqrt()));
        let all = all_pairs(&points, &shifts(&points, vectors, periodic, bound));
        prop_assert_eq!(by_receiver(&points, &edges), nearest(all, count));
    }

    #[test]
    fn whole_cells_change_nothing_but_shifts(
        points in points::<3>(6, 3.0), (vectors, periodic) in cells(), moves in vec(vec(-9..=9_i32, 3), 6), cutoff in 0.1..3.0,
    ) {
        let cell = PeriodicCell::new(vectors, periodic).unwrap();
        let moved: Vec<[f64; 3]> = points.iter().zip(&moves).map(|(point, cells)| std::array::from_fn(|column| {
            let ways = (0..3).filter(|&axis| periodic[axis]).map(|axis| f64::from(cells[axis]) * vectors[axis][column]);
            point[column] + ways.sum::<f64>()
        })).collect();
        let lengths = |points: &[[f64; 3]]| {
            let edges = EdgeList::radius_periodic(points, cutoff, &cell).unwrap();
            by_receiver(points, &edges).iter().map(|of| of.iter().map(|near| near.0).collect::<Vec<_>>()).collect::<Vec<_>>()
        };
        for (before, after) in lengths(&points).iter().zip(&lengths(&moved)) {
            // Rounding may decide otherwise for those on the very border.
            let inner = |lengths: &[f64]| lengths.iter().filter(|&&length| length < cutoff * cutoff - 1e-9).count();
            prop_assert_eq!(inner(before), inner(after));
            prop_assert!(before.iter().zip(after).all(|(a, b)| (a - b).abs() < 1e-9));
        }
    }
}

fn check<const D: usize>(points: &[[f64; D]], cutoff: f64, count: usize) -> Result<(), TestCaseError> {
    let all = || all_pairs(points, &[[0.0; 3]]);
    let (near, few) = (EdgeList::radius(points, cutoff).unwrap(), EdgeList::nearest(points, count).unwrap());
    prop_assert_eq!(by_receiver(points, &near), within(all(), cutoff));
    prop_assert_eq!(by_receiver(points, &few), nearest(all(), count));
    prop_assert_eq!(near.shifts(), None);
    Ok(())
}

fn degrees(edges: &EdgeList) -> Vec<usize> {
    let mut degrees = vec![0; edges.nodes()];
    edges.receivers().iter().for_each(|&node| degrees[node] += 1);
    degrees
}

fn grid(side: usize) -> Vec<[f64; 3]> {
    let number = 0..side.pow(3);
    number.map(|n| [n % side, n / side % side, n / side / side].map(|x| x as f64)).collect()
}

#[test]
fn a_face_centred_crystal_has_twelve_neighbours_then_six() {
    // One atom in the primitive cell; the first shell is at 1/sqrt 2 of the edge of the cube, the second at 1, the third at sqrt 3/2.
    let cell = PeriodicCell::new([[0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]], [true; 3]).unwrap();
    for (cutoff, neighbours) in [(0.70, 0), (0.72, 12), (1.01, 18), (1.23, 42), (1.42, 54)] {
        let edges = EdgeList::radius_periodic(&[[7.1, -3.0, 0.4]], cutoff, &cell).unwrap();
        assert_eq!(edges.len(), neighbours, "within {cutoff}");
        assert!(edges.senders().iter().all(|&sender| sender == 0));
    }
    let edges = EdgeList::nearest_periodic(&[[7.1, -3.0, 0.4]], 12, &cell).unwrap();
    let longest = edges.shifts().unwrap().iter().map(|s| s.iter().map(|x| x * x).sum::<f64>()).fold(0.0, f64::max);
    assert_eq!((edges.len(), longest), (12, 0.5));
}

#[test]
fn a_sheet_and_a_wire_repeat_in_their_directions_only() {
    let (unit, none) = ([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]], [[0.0; 3]; 3]);
    let neighbours = |vectors, periodic| {
        let cell = PeriodicCell::new(vectors, periodic).unwrap();
        EdgeList::radius_periodic(&[[0.3, 0.4, 90.0]], 1.0, &cell).unwrap().len()
    };
    assert_eq!(neighbours(unit, [true, true, false]), 4);
    assert_eq!(neighbours(unit, [false, true, false]), 2);
    assert_eq!(neighbours(none, [false; 3]), 0);
}

#[test]
fn a_cell_smaller_than_the_cutoff_is_crossed_many_times() {
    let cell = PeriodicCell::new([[0.1, 0.0, 0.0], [0.0, 50.0, 0.0], [0.0, 0.0, 50.0]], [true; 3]).unwrap();
    // 1.05 and not 1, which rounding might miss: 10 images on each side.
    let edges = EdgeList::radius_periodic(&[[0.0; 3], [0.05, 0.0, 0.0]], 1.05 - 1e-9, &cell).unwrap();
    assert_eq!(degrees(&edges), [20 + 20, 20 + 20]);
}

#[test]
fn a_crystal_on_a_grid_has_six_neighbours_everywhere() {
    let (points, side) = (grid(8), 8.0);
    let cell = PeriodicCell::new([[side, 0.0, 0.0], [0.0, side, 0.0], [0.0, 0.0, side]], [true; 3]).unwrap();
    for edges in [EdgeList::radius_periodic(&points, 1.0, &cell), EdgeList::nearest_periodic(&points, 6, &cell)] {
        assert_eq!(degrees(&edges.unwrap()), vec![6; 512]);
    }
}

// k-d trees of buckets cannot part points that agree on an axis: kiddo 5 panicked on more than 32 of them.
#[test]
fn thousands_of_points_may_share_a_place_or_a_coordinate() {
    let place = vec![[1.0, -2.0, 3.0]; 10_000];
    let edges = EdgeList::nearest(&place, 3).unwrap();
    assert_eq!(degrees(&edges), vec![3; 10_000]);
    assert_eq!(edges.senders()[..6], [1, 2, 3, 0, 2, 3]);
    assert_eq!(EdgeList::radius(&place[..1000], 1e-3).unwrap(), EdgeList::complete(1000).unwrap());

    let line: Vec<[f64; 3]> = (0..10_000).map(|x| [5.0, 5.0, f64::from(x)]).collect();
    assert_eq!(EdgeList::radius(&line, 1.0).unwrap().len(), 2 * 9_999);
    assert_eq!(EdgeList::radius(&grid(20), 1.0).unwrap().len(), 2 * 3 * 20 * 20 * 19);
    assert_eq!(degrees(&EdgeList::nearest(&grid(20), 7).unwrap()), vec![7; 8000]);
}

#[test]
fn few_points_have_few_neighbours() {
    assert_eq!(EdgeList::radius::<3>(&[], 1.0).unwrap(), EdgeList::default());
    assert_eq!(EdgeList::nearest::<3>(&[], 1).unwrap(), EdgeList::default());
    assert_eq!(EdgeList::nearest(&[[0.0; 3]], 1).unwrap(), EdgeList::complete(1).unwrap());
    assert_eq!(EdgeList::nearest(&[[0.0], [1.0], [2.5]], usize::MAX).unwrap().senders(), [1, 2, 0, 2, 1, 0]);
    let cell = PeriodicCell::new([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 3.0]], [true; 3]).unwrap();
    assert_eq!(EdgeList::radius_periodic(&[], 1.0, &cell).unwrap().len(), 0);
    assert_eq!(EdgeList::nearest_periodic(&[], 1, &cell).unwrap().len(), 0);
    assert_eq!(EdgeList::nearest_periodic(&[[0.0; 3]], 4, &cell).unwrap().len(), 4);
}

/// Asserts that the error is of the graph and says these words.
fn assert_says<T: std::fmt::Debug>(result: Result<T, LayerError>, words: &[&str]) {
    let error = result.unwrap_err();
    assert!(matches!(error, LayerError::Graph(_)), "{error:?}");
    for word in words {
        assert!(error.to_string().contains(word), "`{error}` does not say `{word}`");
    }
}

#[test]
fn points_that_are_nowhere_are_named() {
    let cell = PeriodicCell::new([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], [true; 3]).unwrap();
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e200] {
        let points = [[0.0; 3], [0.0, bad, 0.0]];
        assert_says(EdgeList::radius(&points, 1.0), &["node 1", "finite"]);
        assert_says(EdgeList::nearest(&points, 1), &["node 1", "finite"]);
        assert_says(EdgeList::radius_periodic(&points, 1.0, &cell), &["node 1", "finite"]);
        assert_says(EdgeList::nearest_periodic(&points, 1, &cell), &["node 1", "finite"]);
    }
    assert_says(EdgeList::radius_periodic(&[[0.0; 3], [1e9, 0.0, 0.0]], 1.0, &cell), &["node 1", "cells away"]);
}

#[test]
fn cutoffs_and_counts_that_choose_nobody_are_refused() {
    let points = [[0.0; 3], [1.0; 3]];
    let cell = PeriodicCell::new([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], [true; 3]).unwrap();
    for cutoff in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_says(EdgeList::radius(&points, cutoff), &["cutoff", "positive and finite"]);
        assert_says(EdgeList::radius_periodic(&points, cutoff, &cell), &["cutoff", "positive and finite"]);
    }
    assert_says(EdgeList::nearest(&points, 0), &["at least 1"]);
    assert_says(EdgeList::nearest_periodic(&points, 0, &cell), &["at least 1"]);
}

#[test]
fn neighbours_beyond_an_index_are_refused_before_memory_is_spent() {
    let cell = PeriodicCell::new([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], [true; 3]).unwrap();
    assert_says(EdgeList::radius_periodic(&[[0.0; 3]], 1e4, &cell), &["images", "lower the cutoff"]);
    assert_says(EdgeList::radius_periodic(&[[0.0; 3]], 1e300, &cell), &["images", "lower the cutoff"]);
    assert_says(EdgeList::nearest_periodic(&[[0.0; 3]; 2], usize::MAX, &cell), &["edges", "lower"]);
}

#[test]
fn cells_without_volume_are_refused() {
    let (x, y) = ([1.0, 0.0, 0.0], [0.0, 1.0, 0.0]);
    assert_says(PeriodicCell::new([x, y, [0.0; 3]], [true; 3]), &["vector 2", "periodic[2]"]);
    assert_says(PeriodicCell::new([x, [f64::NAN, 1.0, 0.0], y], [true; 3]), &["vector 1", "finite"]);
    assert_says(PeriodicCell::new([x, y, [1.0, 1.0, 0.0]], [true; 3]), &["[0, 1, 2]", "span"]);
    assert_says(PeriodicCell::new([x, y, [1e6, 1e6, 1e-4]], [true; 3]), &["[0, 1, 2]", "span"]);
    assert_says(PeriodicCell::new([x, [-3.0, 0.0, 0.0], y], [true, true, false]), &["[0, 1]", "span"]);
    // Long and short is not flat.
    PeriodicCell::new([[1e-3, 0.0, 0.0], [0.0, 1e3, 0.0], [0.0, 0.0, 1e6]], [true; 3]).unwrap();
}

#[test]
fn shifts_are_one_for_every_edge() {
    let edges = || EdgeList::with_self_loops(2, vec![0, 1], vec![0, 0]).unwrap();
    assert_says(edges().with_shifts(vec![[0.0; 3]]), &["2 edges and 1 shifts"]);
    assert_says(edges().with_shifts(vec![[0.0; 3], [f64::NAN, 0.0, 0.0]]), &["edge 1", "finite"]);
    let shifts = [[1.0, 0.0, 0.0], [0.0; 3]];
    assert_eq!(edges().with_shifts(shifts.to_vec()).unwrap().shifts(), Some(&shifts[..]));
}
