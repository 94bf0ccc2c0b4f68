//! Graphs of points, and the networks on them.
//!
//! An [`EdgeList`] says on the host who sends to whom: all to all, all within a radius or the nearest, in a [`PeriodicCell`] too.
//! A [`Graph`] is a batch of them on a device, edges sorted by receiver; [`Padding`] makes it from dense tensors with a mask.
//! [`Egnn`] is the equivariant network; [`RawGnn`], [`RadialField`] and [`LinearMotion`] are what it is compared with.

pub(crate) mod activated;
mod batch;
mod cell;
mod edges;
mod egnn;
mod linear_motion;
mod neighbours;
mod padding;
mod points;
mod radial_field;
mod raw_gnn;

pub use batch::Graph;
pub use cell::PeriodicCell;
pub use edges::EdgeList;
pub use egnn::{Aggregation, Egnn, EgnnConfig, EgnnLayer, Normalization, ScalarMlp};
pub use linear_motion::LinearMotion;
pub use padding::Padding;
pub use points::Points;
pub use radial_field::{RadialField, RadialFieldConfig, RadialFieldLayer};
pub use raw_gnn::{RawGnn, RawGnnConfig, RawGnnLayer};
