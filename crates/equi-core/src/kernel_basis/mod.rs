//! Bases of equivariant convolution kernels, `K(g x) = rho_out(g) K(x) rho_in(g)^-1`, sampled on the pixel grid.
//!
//! The angular part solves the constraint for each pair of irreps by the Wigner-Eckart theorem; Gaussian rings give the
//! radial part; each ring keeps the frequencies that its pixels can carry. Conventions, order and normalisation follow
//! escnn 1.0, so that weights can be exchanged.
//!
//! Cesa, Lang, Weiler: A Program to Build E(N)-Equivariant Steerable CNNs, ICLR 2022.

mod angular;
mod profile;
mod sampled;

pub use profile::{Cutoff, KernelGrid};
pub use sampled::{BasisElement, KernelBasis};
