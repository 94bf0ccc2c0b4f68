//! How group elements act on tensors: `act(g, x)` for pixels, fields and points alike.

pub mod field;
pub mod image;
pub mod points;
pub mod space;
