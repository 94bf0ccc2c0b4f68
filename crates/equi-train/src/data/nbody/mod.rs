//! `nbody`: charged particles in space, the task of equivariant graph networks.
//!
//! The system and the task are those of Satorras et al., *E(n) Equivariant Graph Neural Networks*, ICML 2021, after Kipf
//! et al., *Neural Relational Inference*, ICML 2018, and Fuchs et al., *SE(3)-Transformers*, NeurIPS 2020:
//!
//! ```text
//! F_i = k sum_j q_i q_j (x_i - x_j) / |x_i - x_j|^3,   each component cut to +-0.1 / dt
//! v_i <- v_i + dt F_i,   x_i <- x_i + dt v_i,           dt = 0.001
//! ```
//!
//! [`ChargedParticles`] draws initial states and integrates them; [`NBody`] is the task: [`Motion`]s, which show a network a
//! state and ask for a later one. Simulation `index` of `seed` is a function of these two numbers alone, whatever the number of
//! threads.

mod motions;
mod pose;
mod system;

pub use motions::{Motion, MotionBatch, NBody};
pub use system::{ChargedParticles, Particles};
