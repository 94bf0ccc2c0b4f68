//! The comparison study: the same data, the same budget, different ways to know a symmetry.

pub mod probe;
pub mod results;
pub mod stats;
