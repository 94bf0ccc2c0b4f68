//! The errors a user of the mathematics can cause.

use thiserror::Error;

/// What went wrong, and what to do about it.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum Error {
    /// A group of order zero was asked for.
    #[error("a rotation group needs at least one rotation: C_0 and D_0 do not exist; use C_1 for the trivial group")]
    EmptyGroup,
    /// A name that is not one of a planar group.
    #[error("there is no group `{0}`; known: C1, C2, ... (rotations), D1, D2, ... (rotations and flips), SO(2), O(2)")]
    UnknownGroup(String),
    /// An irreducible representation that the group does not have.
    #[error("{group} has no irreducible representation {irrep}; it has {available}")]
    NoSuchIrrep {
        /// Display of the group.
        group: String,
        /// What was asked for.
        irrep: String,
        /// What there is.
        available: String,
    },
    /// A subgroup that the group does not contain.
    #[error("{subgroup} is not a subgroup of {group}; {cure}")]
    NotASubgroup {
        /// Display of the group.
        group: String,
        /// Display of the subgroup.
        subgroup: String,
        /// What would be one.
        cure: &'static str,
    },
    /// A construction that sums over the group was asked for on an infinite group.
    #[error(
        "{what} of {group} is infinite-dimensional; use a band-limited one, `Representation::spectral(group, L)`, or a \
         finite subgroup"
    )]
    InfiniteGroup {
        /// Display of the group.
        group: String,
        /// What was asked for.
        what: &'static str,
    },
    /// A feature map without fields.
    #[error("a feature map needs at least one field")]
    NoFields,
    /// Two things that must transform under the same group do not.
    #[error("{left} and {right} belong to different groups; restrict one of them first")]
    GroupMismatch {
        /// Display of the first.
        left: String,
        /// Display of the second.
        right: String,
    },
    /// Two maps in a row whose field types do not meet.
    #[error("map {place} gives {given}, but the next one takes {taken}; build both from the same field type")]
    Chain {
        /// Position of the first of the two, from 0.
        place: usize,
        /// Its output type.
        given: String,
        /// The input type of the second.
        taken: String,
    },
    /// The space of equivariant kernels contains only zero.
    #[error(
        "no kernel of size {kernel_size} maps {input} to {output} equivariantly (its basis is empty): raise the kernel \
         size or the frequency cut-off, or choose fields that share a harmonic"
    )]
    EmptyBasis {
        /// Display of the input.
        input: String,
        /// Display of the output.
        output: String,
        /// Side of the kernel in pixels.
        kernel_size: usize,
    },
    /// A row that belongs to no segment there is.
    #[error("row {row} belongs to segment {id}, but there are {count} segments, numbered from 0")]
    SegmentOutOfRange {
        /// The row.
        row: usize,
        /// Its segment.
        id: usize,
        /// How many there are.
        count: usize,
    },
    /// More rows than an index of a device can number.
    #[error("{rows} rows are more than an index of 32 bits can number ({}); split the batch", i32::MAX)]
    TooManyRows {
        /// How many there are.
        rows: usize,
    },
    /// A matrix that does not keep lengths.
    #[error(
        "this matrix is not orthogonal: R^T R is off the identity by {deviation:.1e}; give a rotation or reflection, for example by \
         `Isometry::rotation` or `Isometry::from_quaternion`"
    )]
    NotOrthogonal {
        /// The largest entry of `R^T R - 1`.
        deviation: f64,
    },
    /// A direction asked of a zero vector.
    #[error("{what} must not be zero: it has no direction")]
    NoDirection {
        /// What was zero.
        what: &'static str,
    },
    /// A number that is infinite or not a number.
    #[error("{what} must be finite; it contains {value}")]
    NotFinite {
        /// What was not finite.
        what: &'static str,
        /// The offending value.
        value: f64,
    },
    /// Images that are not a permutation.
    #[error("node {node} of {nodes} cannot go to place {image}: places are numbered from 0, and each takes one node")]
    NotAPermutation {
        /// The node.
        node: usize,
        /// Where it was sent.
        image: usize,
        /// How many there are.
        nodes: usize,
    },
    /// Text that is not irreps of O(3).
    #[error("these are not irreps of O(3), such as `4x0e+2x1o`:\n  {text}\n  {:at$}^ expected {expected}", "")]
    IrrepsSyntax {
        /// What was given.
        text: String,
        /// Where it stops making sense, in characters from 0.
        at: usize,
        /// What could have been there.
        expected: String,
    },
    /// Degrees that no product of irreps joins.
    #[error("the product of irreps of degrees {l1} and {l2} has degrees from {} to {}, not {l3}", l1.abs_diff(*l2), l1.saturating_add(*l2))]
    NotATriangle {
        /// Degree of the first factor.
        l1: usize,
        /// Degree of the second factor.
        l2: usize,
        /// Degree of the product.
        l3: usize,
    },
    /// Degrees whose coefficients are not computed.
    #[error(
        "Clebsch-Gordan coefficients are exact up to degrees that sum to {highest}; {l1}, {l2} and {l3} are beyond"
    )]
    DegreesTooHigh {
        /// Degree of the first factor.
        l1: usize,
        /// Degree of the second factor.
        l2: usize,
        /// Degree of the product.
        l3: usize,
        /// The largest sum of degrees there is.
        highest: usize,
    },
    /// A path of a tensor product that multiplies what cannot be multiplied so.
    #[error(
        "path {path} of the product: there is no such block, its blocks have no copies or others than the mode gives, or the product of its \
         irreps does not contain the output"
    )]
    NotCoupled {
        /// Its number.
        path: usize,
    },
    /// A product whose second input is not those harmonics.
    #[error(
        "the second input of these couplings is not the harmonics of degrees {degrees:?}: it must have one copy of each, in this order, and the \
         couplings must be those of `uvu`"
    )]
    NotHarmonics {
        /// Of the harmonics.
        degrees: Vec<usize>,
    },
    /// Index symmetries of a tensor that make no sense.
    #[error("index symmetries `{formula}`: {message}; write them like `ij=ji` or `ijk=jki=-jik`")]
    InvalidFormula {
        /// What was given.
        formula: String,
        /// What is wrong with it.
        message: String,
    },
    /// A grid on the sphere that cannot tell its harmonics apart.
    #[error("a grid on the sphere with {points} {lines} cannot tell degrees up to {lmax} apart: use at least {needed}")]
    GridTooCoarse {
        /// The highest degree.
        lmax: usize,
        /// Latitudes or longitudes.
        lines: &'static str,
        /// How many there are.
        points: usize,
        /// How many there must be.
        needed: usize,
    },
    /// Options of radial functions that make no sense.
    #[error("{0}")]
    InvalidRadial(String),
    /// Kernel options that make no sense.
    #[error("{0}")]
    InvalidKernel(String),
}

/// Result with [`enum@Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
