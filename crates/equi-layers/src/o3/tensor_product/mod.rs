//! Products of features of O(3).
//!
//! ```text
//! z_k = sum_ij C_ijk x_i y_j            with C the Wigner 3j tensor of irreps 1 x 2 -> 3
//! ```
//!
//! `C` is unchanged by rotations of all three irreps together, so `z` transforms as its irrep does; parities multiply. A product is a list
//! of paths, each from a block of either input to one of the output, and their [`ConnectionMode`] says how copies meet and where weights
//! are. Normalisation and the order of weights are those of e3nn's `o3.TensorProduct`.

mod config;
mod contraction;
mod fused;
mod instruction;
mod layer;
mod path;

pub use config::TensorProductConfig;
pub use instruction::{ConnectionMode, Instruction};
pub use layer::TensorProduct;
pub use path::Path;
