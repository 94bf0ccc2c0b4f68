//! Cells that repeat in space.

use nalgebra::DMatrix;

use super::neighbours::LARGEST;
use crate::error::{LayerError, Result};

/// The smallest singular value that the directions of the vectors of a cell may have.
const SINGULAR: f64 = 1e-8;
/// Cells that a position may be away from the origin.
const FARTHEST: f64 = 1e6;
/// More than rounding adds to a number of cells.
const ROUNDING: f64 = 1e-6;

/// A cell that repeats along some of its vectors: a crystal along three, a slab along two, a wire along one.
///
/// The vectors need not be at right angles, nor turned in any way. Points may lie outside the cell.
#[derive(Clone, Debug, PartialEq)]
pub struct PeriodicCell {
    /// Row `a` is the vector that the cell repeats along; zero where it does not.
    vectors: [[f64; 3]; 3],
    /// Row `a` times a position is how many cells it lies along vector `a`; zero where the cell does not repeat.
    duals: [[f64; 3]; 3],
}

impl PeriodicCell {
    /// The cell with these vectors as rows, repeated along those that `periodic` names. The others may be anything, zero too.
    ///
    /// # Errors
    /// [`LayerError::Graph`] for a vector, along which the cell repeats, that is not finite, zero or in the plane of the others.
    pub fn new(vectors: [[f64; 3]; 3], periodic: [bool; 3]) -> Result<Self> {
        let axes: Vec<usize> = (0..3).filter(|&axis| periodic[axis]).collect();
        let mut cell = Self { vectors: [[0.0; 3]; 3], duals: [[0.0; 3]; 3] };
        for &axis in &axes {
            let vector = vectors[axis];
            let length = norm(vector);
            if !length.is_normal() {
                return Err(LayerError::Graph(format!(
                    "vector {axis} of the periodic cell is {vector:?}: it must be finite and not zero, or `periodic[{axis}]` false"
                )));
            }
            cell.vectors[axis] = vector;
        }
        if axes.is_empty() {
            return Ok(cell);
        }
        // Lengths apart, so that a long and a short vector at right angles are as independent as any.
        let directions = DMatrix::from_fn(axes.len(), 3, |row, column| {
            let vector = vectors[axes[row]];
            vector[column] / norm(vector)
        });
        let decomposition = directions.svd(true, true);
        if decomposition.singular_values.min() < SINGULAR {
            return Err(LayerError::Graph(format!(
                "the vectors {axes:?} of the periodic cell are in one plane or line, {vectors:?}: they span no cell"
            )));
        }
        let inverse = decomposition.pseudo_inverse(0.0).expect("both sides of the decomposition were asked for");
        for (column, &axis) in axes.iter().enumerate() {
            cell.duals[axis] = std::array::from_fn(|row| inverse[(row, column)] / norm(vectors[axis]));
        }
        Ok(cell)
    }

    /// Whether it repeats along vector `axis`.
    fn repeats(&self, axis: usize) -> bool {
        self.vectors[axis] != [0.0; 3]
    }

    /// Along how many vectors it repeats.
    pub(super) fn dimensions(&self) -> u32 {
        (0..3).map(|axis| u32::from(self.repeats(axis))).sum()
    }

    /// How many cells along each vector a position lies.
    fn cells(&self, position: [f64; 3]) -> [f64; 3] {
        self.duals.map(|dual| (0..3).map(|column| dual[column] * position[column]).sum())
    }

    /// The way from one cell to another, so many cells further along each vector.
    fn shift(&self, cells: [f64; 3]) -> [f64; 3] {
        std::array::from_fn(|column| (0..3).fold(0.0, |way, axis| way + cells[axis] * self.vectors[axis][column]))
    }
}

/// Nodes brought into the cell, and images of them.
#[derive(Debug)]
pub(super) struct Images<'a> {
    cell: &'a PeriodicCell,
    positions: &'a [[f64; 3]],
    /// Where the images are. The nodes themselves come first.
    points: Vec<[f64; 3]>,
    /// Whose images they are.
    nodes: Vec<usize>,
    /// How many cells they are away from the positions given.
    cells: Vec<[f64; 3]>,
}

impl<'a> Images<'a> {
    /// The nodes alone.
    pub(super) fn inside(positions: &'a [[f64; 3]], cell: &'a PeriodicCell) -> Result<Self> {
        let mut inside = Self { cell, positions, points: Vec::new(), nodes: Vec::new(), cells: Vec::new() };
        for (node, &position) in positions.iter().enumerate() {
            let cells = cell.cells(position).map(|cells| -cells.floor());
            // Not `>`, which NaN would pass.
            if !cells.iter().all(|cells| cells.abs() <= FARTHEST) {
                return Err(LayerError::Graph(format!(
                    "node {node} at {position:?} is more than {FARTHEST:e} cells away from the origin, too far to tell its place \
                     in its cell: bring positions nearer to the periodic cell"
                )));
            }
            inside.push(node, cells);
        }
        Ok(inside)
    }

    /// The nodes with those of their images that may be within `radius` of a node.
    pub(super) fn within(&self, radius: f64) -> Result<Self> {
        let inside: Vec<[f64; 3]> = self.points.iter().map(|&point| self.cell.cells(point)).collect();
        let extreme =
            |axis: usize, pick: fn(f64, f64) -> f64| inside.iter().map(|cells| cells[axis]).reduce(pick).unwrap_or(0.0);
        // A ball reaches over its radius divided by the distance of opposite faces, which is one over the length of the dual.
        let reach: [f64; 3] = std::array::from_fn(|axis| norm(self.cell.duals[axis]) * radius + ROUNDING);
        let lowest: [f64; 3] = std::array::from_fn(|axis| extreme(axis, f64::min) - reach[axis]);
        let highest: [f64; 3] = std::array::from_fn(|axis| extreme(axis, f64::max) + reach[axis]);
        self.extended(|node, axis| {
            let place = inside[node][axis];
            ((lowest[axis] - place).ceil(), (highest[axis] - place).floor())
        })
    }

    /// The nodes with their images in `shells` layers of cells around.
    pub(super) fn shells(&self, shells: usize) -> Result<Self> {
        self.extended(|_, _| (-(shells as f64), shells as f64))
    }

    /// The nodes with images in a range of cells along each vector.
    fn extended(&self, range: impl Fn(usize, usize) -> (f64, f64)) -> Result<Self> {
        let range = |node, axis| if self.cell.repeats(axis) { range(node, axis) } else { (0.0, 0.0) };
        let size = |node| (0..3).map(|axis| range(node, axis)).map(|(low, high)| high - low + 1.0).product::<f64>();
        let count: f64 = (0..self.positions.len()).map(size).sum();
        if count > LARGEST as f64 {
            return Err(LayerError::Graph(format!(
                "{count:.1e} images of the {} nodes are near enough to the periodic cell, more than an index of 32 bits can number: \
                 lower the cutoff",
                self.positions.len()
            )));
        }
        let mut extended =
            Self { points: self.points.clone(), nodes: self.nodes.clone(), cells: self.cells.clone(), ..*self };
        let along = |node, axis| {
            let (low, high) = range(node, axis);
            low as i64..=high as i64
        };
        for node in 0..self.positions.len() {
            for a in along(node, 0) {
                for b in along(node, 1) {
                    for c in along(node, 2) {
                        if (a, b, c) != (0, 0, 0) {
                            let inside = self.cells[node];
                            extended.push(node, [inside[0] + a as f64, inside[1] + b as f64, inside[2] + c as f64]);
                        }
                    }
                }
            }
        }
        Ok(extended)
    }

    fn push(&mut self, node: usize, cells: [f64; 3]) {
        let (position, shift) = (self.positions[node], self.cell.shift(cells));
        self.points.push(std::array::from_fn(|axis| position[axis] + shift[axis]));
        self.nodes.push(node);
        self.cells.push(cells);
    }

    /// Where the nodes were given.
    pub(super) fn positions(&self) -> &[[f64; 3]] {
        self.positions
    }

    /// Where they all are, the nodes first.
    pub(super) fn points(&self) -> &[[f64; 3]] {
        &self.points
    }

    /// What image `image` is to the node `receiver`: whose it is, and what is added to the position of that node. None for
    /// the receiver itself.
    pub(super) fn seen_from(&self, receiver: usize, image: usize) -> Option<(usize, [f64; 3])> {
        let cells = std::array::from_fn(|axis| self.cells[image][axis] - self.cells[receiver][axis]);
        let itself = self.nodes[image] == receiver && cells == [0.0; 3];
        (!itself).then(|| (self.nodes[image], self.cell.shift(cells)))
    }

    /// The largest number that a position of an image was computed from.
    pub(super) fn largest(&self) -> f64 {
        let steps = |cells: [f64; 3]| (0..3).map(|axis| cells[axis].abs() * norm(self.cell.vectors[axis])).sum::<f64>();
        let sizes = self.nodes.iter().zip(&self.cells).map(|(&node, &cells)| norm(self.positions[node]) + steps(cells));
        sizes.fold(0.0, f64::max)
    }
}

fn norm(vector: [f64; 3]) -> f64 {
    vector.iter().map(|x| x * x).sum::<f64>().sqrt()
}
