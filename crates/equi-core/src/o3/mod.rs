//! Representations of O(3) and the functions that transform under them.
//!
//! ```text
//! Y_l(R x) = D_l(R) Y_l(x)            (D_1 x D_2) C_123 = C_123 D_3
//! ```
//!
//! [`Irreps`] names representations, [`SphericalHarmonics`] takes vectors to them, [`wigner_3j`] multiplies them and
//! [`Irreps::matrix`] moves them. [`RadialBasis`] and [`Cutoff`] are the functions of a distance that go with harmonics of a
//! direction.
//!
//! Conventions are those of e3nn: the polar axis is y, so that the components of `1o` are x, y, z and `D_1(R) = R`; component
//! `m` of degree `l`, from `-l` to `l`, goes with `sin |m| phi` for negative and `cos m phi` for other `m`, where `phi` is
//! counted from z towards x. Features are `[rows, irreps.dim()]`: block after block, in a block copy after copy, in a copy
//! component after component.

mod angles;
mod harmonics;
mod irrep;
mod irreps;
mod parse;
mod radial;
mod reduced;
mod s2_grid;
mod wigner_3j;
mod wigner_d;

pub use angles::{angles_to_point, point_to_angles};
pub use harmonics::{Normalization, SphericalHarmonics};
pub(crate) use harmonics::{SHORTEST, highest_order};
pub use irrep::{Irrep, MulIrrep, Parity};
pub use irreps::{Irreps, SortedIrreps};
pub use radial::{Cutoff, RadialBasis, RadialFunction, soft_unit_step};
pub use reduced::ReducedTensorProducts;
pub use s2_grid::{S2Grid, S2GridConfig};
pub use wigner_3j::{Wigner3j, wigner_3j};
pub use wigner_d::{so3_generators, wigner_d};
