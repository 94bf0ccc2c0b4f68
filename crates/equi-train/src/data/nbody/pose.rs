//! A standard pose: the frame of the principal components.

use equi_core::group::Isometry;

use super::Particles;
use crate::data::spatial::standard_pose;

impl Particles {
    /// The isometry that brings the particles into standard pose: centred, with the axes along the principal components of the
    /// positions, the longest first.
    ///
    /// An axis `a` points to where `sum_i (x_i . a)^3` is positive, for centred positions; where this is zero, to where
    /// `sum_i v_i . a` is. So a system and its copy elsewhere, turned or mirrored, have the same pose, up to the order of the
    /// particles. It does not depend on the charges.
    ///
    /// The pose is not continuous, and for some systems it is not defined:
    ///
    /// * where two variances are equal, as for the corners of a regular polygon or solid, any turn of their axes would do;
    ///   near such a system a small change turns the pose by a large angle;
    /// * where both sums are zero, as for an axis about which positions and velocities are symmetric, the sign of the axis is
    ///   arbitrary; where the first sum passes through zero, the pose is mirrored from one moment to the next;
    /// * particles in a line, in one place, or a single particle leave axes to chance, unless the velocities decide.
    ///
    /// Positions that are not finite are left as they are.
    pub fn standard_pose(&self) -> Isometry {
        standard_pose(&self.positions, &self.velocities)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::nbody::NBody;
    use crate::seed::{Purpose, stream};

    #[test]
    fn moved_systems_have_the_same_pose() {
        for (index, motion) in NBody::new(3).test(20).unwrap().iter().enumerate() {
            let mut rng = stream(0, Purpose::Probe, index as u64);
            let g = Isometry::random_translation(2.0, &mut rng) * Isometry::random_orthogonal(&mut rng);
            let standing = motion.moved(&motion.start.standard_pose());
            let moved = motion.moved(&g);
            let other = moved.moved(&moved.start.standard_pose());
            for (a, b) in [
                (&standing.start.positions, &other.start.positions),
                (&standing.start.velocities, &other.start.velocities),
                (&standing.end, &other.end),
            ] {
                // Eigenvectors are known to rounding over the gap between the variances.
                assert!(a.as_flattened().iter().zip(b.as_flattened()).all(|(a, b)| (a - b).abs() < 1e-9));
            }
        }
    }

    #[test]
    fn the_pose_is_centred_with_the_longest_axis_first() {
        let motion = NBody::new(3).test(1).unwrap().remove(0);
        let standing = motion.moved(&motion.start.standard_pose()).start.positions;
        let sum = |f: &dyn Fn(&[f64; 3]) -> f64| standing.iter().map(f).sum::<f64>();
        for i in 0..3 {
            assert!(sum(&|x| x[i]).abs() < 1e-12);
            assert!((0..i).all(|j| sum(&|x| x[i] * x[j]).abs() < 1e-12));
            assert!(sum(&|x| x[i].powi(3)) > 0.0);
        }
        assert!(sum(&|x| x[0] * x[0]) > sum(&|x| x[1] * x[1]) && sum(&|x| x[1] * x[1]) > sum(&|x| x[2] * x[2]));
    }

    #[test]
    fn degenerate_systems_have_some_pose() {
        let system = |positions: Vec<[f64; 3]>, velocity: [f64; 3]| Particles {
            charges: vec![1.0; positions.len()],
            velocities: vec![velocity; positions.len()],
            positions,
        };
        let square = vec![[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]];
        let line = vec![[1.0, 1.0, 1.0], [2.0, 2.0, 2.0], [3.0, 3.0, 3.0]];
        for positions in [square.clone(), line, vec![[1.0, 2.0, 3.0]; 3], vec![[4.0, 5.0, 6.0]], vec![]] {
            let pose = system(positions.clone(), [0.1, 0.2, 0.3]).standard_pose();
            let mean: f64 = positions.iter().map(|&x| pose.act(x)[0]).sum();
            assert!(mean.abs() < 1e-12, "{pose}");
        }
        let broken = system(vec![[f64::NAN, 0.0, 0.0]], [0.0; 3]).standard_pose();
        assert_eq!(broken, Isometry::IDENTITY);
        // Positions in a plane say nothing about its normal; the velocities do.
        let up = system(square.clone(), [0.0, 0.0, 1.0]).standard_pose();
        let down = system(square, [0.0, 0.0, -1.0]).standard_pose();
        assert!((up.matrix()[2][2] - 1.0).abs() < 1e-12 && (down.matrix()[2][2] + 1.0).abs() < 1e-12);
    }
}
