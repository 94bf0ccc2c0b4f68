//! What isometries of space and permutations of points do to samples, and to what is predicted for them.

use equi_core::action::space::PointField;
use equi_core::check::points::PointFeature;
use equi_core::group::{Isometry, Permutation};
use nalgebra::{Matrix3, SymmetricEigen, Vector3};

use super::nbody::{Motion, Particles};

/// A moment below this fraction of its scale is zero: it has no sign to go by.
const NOTHING: f64 = 1e-9;

/// What isometries and permutations of points act on.
pub trait Spatial: Clone {
    /// The same elsewhere in space.
    fn moved(&self, g: &Isometry) -> Self;

    /// The same with its points in another order: point `i` is now point `g.image(i)`.
    ///
    /// # Panics
    ///
    /// If the permutation is one of more points than there are.
    fn permuted(&self, g: &Permutation) -> Self;
}

/// What is predicted for a sample: a number, or something for every point.
pub trait Answer: Spatial {
    /// Its numbers, `[rows, width]`.
    fn numbers(&self) -> &[f64];

    /// The same, to be written.
    fn numbers_mut(&mut self) -> &mut [f64];

    /// What a row of it is.
    fn feature(&self) -> PointFeature;

    /// Numbers of a row.
    fn width(&self) -> usize {
        let PointFeature { field, channels, .. } = self.feature();
        field.size() * channels
    }
}

/// Points in space, with what is to be predicted.
pub trait Sample: Spatial {
    /// What is predicted.
    type Answer: Answer;

    /// What is right.
    fn answer(&self) -> &Self::Answer;

    /// Where its points are.
    fn positions(&self) -> &[[f64; 3]];

    /// Their velocities, if they have any.
    fn velocities(&self) -> Option<&[[f64; 3]]>;

    /// The same sample with its points elsewhere, and what is predicted as it was.
    fn with_points(&self, positions: Vec<[f64; 3]>, velocities: Option<Vec<[f64; 3]>>) -> Self;

    /// How many points there are.
    fn points(&self) -> usize {
        self.positions().len()
    }

    /// The mean of its positions.
    fn centre(&self) -> [f64; 3] {
        centre(self.positions())
    }

    /// The same turned about its centre.
    fn about_centre(&self, rotation: Isometry) -> Self {
        let there = Isometry::translation(self.centre()).expect("positions are finite");
        Spatial::moved(self, &(there * rotation * there.inverse()))
    }

    /// The isometry that brings the sample into a standard pose, the same for all that it is moved to.
    fn standard_pose(&self) -> Isometry;
}

impl Spatial for Motion {
    fn moved(&self, g: &Isometry) -> Self {
        self.moved(g)
    }

    fn permuted(&self, g: &Permutation) -> Self {
        self.permuted(g)
    }
}

impl Sample for Motion {
    type Answer = Vec<[f64; 3]>;

    fn answer(&self) -> &Self::Answer {
        &self.end
    }

    fn positions(&self) -> &[[f64; 3]] {
        &self.start.positions
    }

    fn velocities(&self) -> Option<&[[f64; 3]]> {
        Some(&self.start.velocities)
    }

    fn with_points(&self, positions: Vec<[f64; 3]>, velocities: Option<Vec<[f64; 3]>>) -> Self {
        let velocities = velocities.expect("motions have velocities");
        let start = Particles { positions, velocities, charges: self.start.charges.clone() };
        Self { start, end: self.end.clone() }
    }

    fn standard_pose(&self) -> Isometry {
        self.start.standard_pose()
    }
}

/// Positions.
impl Spatial for Vec<[f64; 3]> {
    fn moved(&self, g: &Isometry) -> Self {
        self.iter().map(|&x| g.act(x)).collect()
    }

    fn permuted(&self, g: &Permutation) -> Self {
        reordered(self, g)
    }
}

impl Answer for Vec<[f64; 3]> {
    fn numbers(&self) -> &[f64] {
        self.as_flattened()
    }

    fn numbers_mut(&mut self) -> &mut [f64] {
        self.as_flattened_mut()
    }

    fn feature(&self) -> PointFeature {
        PointFeature::per_node(PointField::Position, 1)
    }
}

/// The mean of positions.
pub fn centre(positions: &[[f64; 3]]) -> [f64; 3] {
    let count = positions.len().max(1) as f64;
    std::array::from_fn(|k| positions.iter().map(|x| x[k]).sum::<f64>() / count)
}

/// Rows in another order: row `i` is now row `g.image(i)`.
pub(super) fn reordered<T: Clone>(rows: &[T], g: &Permutation) -> Vec<T> {
    g.inverse().images().iter().map(|&i| rows[i].clone()).collect()
}

/// Vectors turned: translations leave them as they are.
pub(super) fn turned(vectors: &[[f64; 3]], g: &Isometry) -> Vec<[f64; 3]> {
    let rows = g.matrix();
    vectors.iter().map(|v| rows.map(|row| row[0] * v[0] + row[1] * v[1] + row[2] * v[2])).collect()
}

/// The frame of the principal components of points with velocities, which may be none: see
/// [`Particles::standard_pose`](super::nbody::Particles::standard_pose).
pub(super) fn standard_pose(positions: &[[f64; 3]], velocities: &[[f64; 3]]) -> Isometry {
    let count = positions.len().max(1) as f64;
    let centre = positions.iter().map(|&x| Vector3::from(x)).sum::<Vector3<f64>>() / count;
    let centred: Vec<Vector3<f64>> = positions.iter().map(|&x| Vector3::from(x) - centre).collect();
    let moment: Matrix3<f64> = centred.iter().map(|x| x * x.transpose()).sum();
    if !moment.iter().all(|entry| entry.is_finite()) {
        return Isometry::IDENTITY;
    }
    let SymmetricEigen { eigenvectors, eigenvalues } = SymmetricEigen::new(moment);
    let mut order = [0, 1, 2];
    order.sort_by(|&i, &j| eigenvalues[j].total_cmp(&eigenvalues[i]));
    let axes = order.map(|axis| {
        let axis: Vector3<f64> = eigenvectors.column(axis).into();
        axis * sign(&axis, &centred, velocities)
    });
    let rows = Matrix3::from_rows(&axes.map(|axis| axis.transpose()));
    let offset = -rows * centre;
    Isometry::new(axes.map(Into::into), offset.into()).expect("eigenvectors are orthonormal, and positions finite")
}

/// Which way an axis points.
fn sign(axis: &Vector3<f64>, centred: &[Vector3<f64>], velocities: &[[f64; 3]]) -> f64 {
    let cubes: f64 = centred.iter().map(|x| x.dot(axis).powi(3)).sum();
    let size = centred.iter().map(|x| x.norm_squared()).sum::<f64>().powf(1.5);
    if cubes.abs() > NOTHING * size {
        return cubes.signum();
    }
    let moving: f64 = velocities.iter().map(|&v| Vector3::from(v).dot(axis)).sum();
    if moving < 0.0 { -1.0 } else { 1.0 }
}
