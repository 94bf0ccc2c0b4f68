//! Data sets: real files, read with every fault named, and tasks made from them by documented seeded procedures.

mod error;
mod images;

pub mod files;
pub mod idx;
pub mod mnist;
pub mod nbody;
pub mod rotated;

pub use error::DataError;
pub use images::Images;
