//! How the symmetries of the pixel grid act on the channels and on the points of a kernel: by signed permutations.

use crate::field::FieldType;
use crate::group::{Element, Group};

/// What a signed permutation makes of a channel: where it goes, and whether its sign changes.
pub(crate) type Signed = (usize, bool);

/// The finite group of grid symmetries `H` that the layer's group contains: quarter turns, half turns and flips.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GridGroup {
    /// Matrices on offsets (rows down, columns to the right), the identity first; rotations in order, then flips followed by them.
    matrices: Vec<[[i32; 2]; 2]>,
    transform: Transform,
}

/// The groups by their Fourier transforms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transform {
    /// The identity alone.
    Trivial,
    /// Half turns, or a flip.
    Two,
    /// Half turns and flips, the Klein four-group.
    Klein,
    /// Quarter turns, `C4`.
    Cyclic,
    /// Quarter turns and flips, `D4`.
    Dihedral,
}

impl GridGroup {
    pub(crate) fn new(group: Group) -> Self {
        let elements = group.grid_symmetries();
        let transform = match (elements.len(), group.has_flips()) {
            (1, _) => Transform::Trivial,
            (2, _) => Transform::Two,
            (4, true) => Transform::Klein,
            (4, false) => Transform::Cyclic,
            _ => Transform::Dihedral,
        };
        Self { matrices: elements.iter().map(on_offsets).collect(), transform }
    }

    pub(crate) fn transform(&self) -> Transform {
        self.transform
    }

    pub(crate) fn order(&self) -> usize {
        self.matrices.len()
    }

    /// The product: first `b`, then `a`.
    pub(crate) fn product(&self, a: usize, b: usize) -> usize {
        let (x, y) = (&self.matrices[a], &self.matrices[b]);
        let entry = |i: usize, j: usize| x[i][0] * y[0][j] + x[i][1] * y[1][j];
        let matrix = [[entry(0, 0), entry(0, 1)], [entry(1, 0), entry(1, 1)]];
        self.matrices.iter().position(|m| *m == matrix).expect("a group is closed")
    }

    /// Where an element takes a point of a kernel of `size * size` points.
    pub(crate) fn point(&self, element: usize, point: usize, size: usize) -> usize {
        let [[a, b], [c, d]] = self.matrices[element];
        // In half steps from the centre, so that even kernels have one, too.
        let middle = size as i32 - 1;
        let (row, column) = (2 * (point / size) as i32 - middle, 2 * (point % size) as i32 - middle);
        let index = |twice: i32| ((twice + middle) / 2) as usize;
        index(a * row + b * column) * size + index(c * row + d * column)
    }
}

/// The matrix on (row, column) offsets: with the axes `x = column` and `y = -row`.
fn on_offsets(element: &Element) -> [[i32; 2]; 2] {
    let [[xx, xy], [yx, yy]] = element.matrix();
    [[yy, -yx], [-xy, xx]].map(|row| row.map(|entry| entry.round() as i32))
}

/// How every element of the grid group acts on the channels; `None` if it mixes some of them.
pub(crate) fn channel_actions(field_type: &FieldType) -> Option<Vec<Vec<Signed>>> {
    let action = |element: &Element| {
        let mut channels = Vec::with_capacity(field_type.size());
        for (start, field) in field_type.offsets() {
            let matrix = field.at(element);
            for column in matrix.column_iter() {
                let (target, entry) = column.iter().enumerate().find(|(_, entry)| entry.abs() > 0.5)?;
                let alone = (entry.abs() - 1.0).abs() < 1e-9 && (column.norm_squared() - 1.0).abs() < 1e-9;
                channels.push(alone.then_some((start + target, *entry < 0.0))?);
            }
        }
        Some(channels)
    };
    field_type.group().grid_symmetries().iter().map(action).collect()
}
