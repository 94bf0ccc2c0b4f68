//! Is it equivariant? The outputs for samples and for moved samples, compared.

pub mod image;
pub mod motion;
