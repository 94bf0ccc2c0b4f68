//! Measuring equivariance: `f(g . x)` against `g . f(x)`, for our layers and for any other map of feature fields.
//!
//! Quarter turns and flips permute the pixels, so for them an equivariant map is exact to floating point and anything
//! larger is a fault. Other elements resample the input and the output; what resampling alone does to the input is
//! reported beside them as the floor. Maps of nodes in space are checked by [`points`].

mod layers;
mod local;
mod map;
mod measure;
pub mod points;
mod report;

pub use layers::{LayerReport, LayerReports, NamedLayer, layers};
pub use local::{LocalError, local};
pub use map::{FieldFn, FieldMap, chain, probe};
pub use report::{ElementError, EquivarianceReport, fibres, gradients, outputs};

/// Asserts that outputs **and input gradients** of a [`FieldMap`] are equivariant to the grid symmetries of a group.
///
/// `assert_equivariant!(map, group, tolerance)` draws a random input; `assert_equivariant!(map, group, tolerance, input)`
/// takes one. The gradients run with autodiff, as in training: batch norms then update their running statistics, so give a
/// trained network as `network.clone().freeze()`. The tolerance bounds the relative L2 error `|f(g . x) - g . f(x)| / |f(x)|`.
///
/// # Panics
/// If an error exceeds the tolerance, with the whole report, or the group has no grid symmetry to assert (C3; see [`fibres`]).
#[macro_export]
macro_rules! assert_equivariant {
    ($map:expr, $group:expr, $tolerance:expr) => {{
        let map = &$map;
        $crate::assert_equivariant!(map, $group, $tolerance, $crate::check::probe(map, [2, 9, 9], 0))
    }};
    ($map:expr, $group:expr, $tolerance:expr, $input:expr) => {{
        let (map, input) = (&$map, $input);
        $crate::check::outputs(map, $group, input.clone()).assert_exact("outputs", $tolerance);
        $crate::check::gradients(map, $group, input).assert_exact("input gradients", $tolerance);
    }};
}
