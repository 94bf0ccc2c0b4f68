//! Graphs of points, and the networks on them.
//!
//! An [`EdgeList`] says on the host who sends to whom; a [`Graph`] is a batch of them on a device, edges sorted by receiver.
//! [`Egnn`] is the equivariant network;

mod batch;
mod edges;
mod egnn;
mod linear_motion;
mod points;
mod radial_field;
mod raw_gnn;
mod weights;

pub use batch::Graph;
pub use edges::EdgeList;
pub use egnn::{Aggregation, Egnn, EgnnConfig, EgnnLayer, Normalization, ScalarMlp};
pub use linear_motion::LinearMotion;
pub use points::Points;
pub use radial_field::{RadialField, RadialFieldConfig, RadialFieldLayer};
pub use raw_gnn::{RawGnn, RawGnnConfig, RawGnnLayer};
