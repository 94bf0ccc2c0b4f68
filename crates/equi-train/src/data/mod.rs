//! Data sets: real files, read with every fault named, and tasks made from them by documented seeded procedures.

mod error;
mod images;
mod npz;

pub mod files;
pub mod idx;
pub mod mnist;
pub mod nbody;
pub mod points;
pub mod rotated;
pub mod spatial;

pub use error::DataError;
pub use images::Images;
pub(crate) use images::luminance;
