//! Measuring equivariance of maps of nodes in space: `f(g . x)` against `g . f(x)` for rotations, reflections, translations and
//! permutations of the nodes, each apart, since maps may claim less than all.
//!
//! Every graph of a batch is moved by an isometry of its own, and its nodes change places among themselves, so graphs that
//! mix are found too. All of it is exact but for rounding. Rounding grows with the distance from the origin: coordinates of
//! size `|t|` are known to `eps |t|`, and so are the differences that an equivariant map takes of them. Errors of positions are
//! therefore given relative to the spread of the points and not to their distance from the origin, which would hide this, and
//! translations go as far as [`Trials::distance`] says.
//!
//! [`layers`] says which layer of a network breaks the symmetry, [`local`] how a map behaves under small turns.

mod layers;
mod local;
mod map;
mod report;

pub use layers::{NamedPointLayer, PointLayerReport, PointLayerReports, layers};
pub use local::{PointLocalError, local};
pub use map::{Motion, PointFeature, PointFn, PointMap, Rows, probe};
pub use report::{MotionError, PointReport, Trials, gradients, outputs};

/// Asserts that outputs **and input gradients** of a [`PointMap`] are equivariant to all motions it claims.
///
/// `assert_point_equivariant!(map, tolerance)` draws random inputs; `assert_point_equivariant!(map, tolerance, inputs)` takes a
/// `Vec` of them. The tolerance bounds the relative L2 error of every output and every input gradient, positions relative to their
/// spread.
///
/// # Panics
/// If an error exceeds the tolerance, with the whole report, or the map claims nothing.
#[macro_export]
macro_rules! assert_point_equivariant {
    ($map:expr, $tolerance:expr) => {{
        let map = &$map;
        $crate::assert_point_equivariant!(map, $tolerance, $crate::check::points::probe(map, 0))
    }};
    ($map:expr, $tolerance:expr, $inputs:expr) => {{
        let (map, inputs, trials) = (&$map, $inputs, $crate::check::points::Trials::default());
        $crate::check::points::outputs(map, &inputs, &trials).assert_within("outputs", $tolerance);
        $crate::check::points::gradients(map, &inputs, &trials).assert_within("input gradients", $tolerance);
    }};
}

#[cfg(all(test, feature = "flex"))]
mod tests;
