//! How samples are shown to a network, and how its answers are read: see [`View`](super::View).

pub mod image;
pub mod motion;

/// Poses of a test sample over which an augmented network is averaged.
pub const AVERAGED: usize = 8;
