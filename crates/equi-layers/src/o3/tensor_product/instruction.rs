//! Which blocks meet, and how their copies do.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

use crate::error::{LayerError, Result};

/// How the copies `u` of the first input, `v` of the second and `w` of the output meet: e3nn's modes, and their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ConnectionMode {
    /// `z_w = sum_uv W_uvw x_u y_v`: all with all. Always has weights.
    Uvw,
    /// `z_u = sum_v W_uv x_u y_v`.
    Uvu,
    /// `z_v = sum_u W_uv x_u y_v`.
    Uvv,
    /// `z_w = sum_u W_uw x_u y_u`; without weights the sum over `u`.
    Uuw,
    /// `z_u = W_u x_u y_u`: one with one.
    Uuu,
    /// `z_uv = W_uv x_u y_v`: a copy for every pair.
    Uvuv,
    /// `z_uv = W_uv x_u y_v` for `u < v`, written `uvu<v`.
    UvuLtV,
    /// `z_w = sum_{u < v} W_uvw x_u y_v`, written `u<vw`. Always has weights.
    ULtVw,
}

impl ConnectionMode {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::Uvw, Self::Uvu, Self::Uvv, Self::Uuw, Self::Uuu, Self::Uvuv, Self::UvuLtV, Self::ULtVw];

    /// Its name in e3nn.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Uvw => "uvw",
            Self::Uvu => "uvu",
            Self::Uvv => "uvv",
            Self::Uuw => "uuw",
            Self::Uuu => "uuu",
            Self::Uvuv => "uvuv",
            Self::UvuLtV => "uvu<v",
            Self::ULtVw => "u<vw",
        }
    }

    /// The shape of its weights for these numbers of copies.
    pub(super) fn weight_shape(self, mul1: usize, mul2: usize, mul_out: usize) -> Vec<usize> {
        let pairs = mul1 * mul1.saturating_sub(1) / 2;
        match self {
            Self::Uvw => vec![mul1, mul2, mul_out],
            Self::Uvu | Self::Uvv | Self::Uvuv => vec![mul1, mul2],
            Self::Uuw => vec![mul1, mul_out],
            Self::Uuu => vec![mul1],
            Self::UvuLtV => vec![pairs],
            Self::ULtVw => vec![pairs, mul_out],
        }
    }

    /// How many terms a copy of the output is the sum of.
    pub(super) fn terms(self, mul1: usize, mul2: usize) -> usize {
        match self {
            Self::Uvw => mul1 * mul2,
            Self::Uvu => mul2,
            Self::Uvv | Self::Uuw => mul1,
            Self::Uuu | Self::Uvuv | Self::UvuLtV => 1,
            Self::ULtVw => mul1 * mul2.saturating_sub(1) / 2,
        }
    }

    /// Whether the copies of both inputs are numbered alike.
    pub(super) const fn needs_equal_inputs(self) -> bool {
        matches!(self, Self::Uuw | Self::Uuu | Self::UvuLtV | Self::ULtVw)
    }

    /// How many copies it gives, and how that is said; `None` if any number.
    pub(super) fn copies_out(self, mul1: usize, mul2: usize, has_weight: bool) -> Option<(usize, &'static str)> {
        match self {
            Self::Uvu | Self::Uuu => Some((mul1, "that of the first input")),
            Self::Uvv => Some((mul2, "that of the second input")),
            Self::Uvuv => Some((mul1 * mul2, "the product of those of the inputs")),
            Self::UvuLtV => Some((mul1 * mul1.saturating_sub(1) / 2, "the number of pairs u < v")),
            Self::Uuw if !has_weight => Some((1, "one without weights")),
            Self::Uvw | Self::ULtVw | Self::Uuw => None,
        }
    }

    /// Whether weights choose what is summed, so that there must be some.
    pub(super) const fn needs_weight(self) -> bool {
        matches!(self, Self::Uvw | Self::ULtVw)
    }
}

impl fmt::Display for ConnectionMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ConnectionMode {
    type Err = LayerError;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name).ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            LayerError::InvalidConfig(format!("there is no connection mode `{name}`; known: {known}"))
        })
    }
}

impl TryFrom<String> for ConnectionMode {
    type Error = LayerError;

    fn try_from(name: String) -> Result<Self> {
        name.parse()
    }
}

impl From<ConnectionMode> for String {
    fn from(mode: ConnectionMode) -> Self {
        mode.name().to_owned()
    }
}

/// A path of a tensor product: which blocks it multiplies, and where the result is added.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Instruction {
    /// Block of the first input.
    pub in1: usize,
    /// Block of the second input.
    pub in2: usize,
    /// Block of the output.
    pub out: usize,
    /// How copies meet.
    pub mode: ConnectionMode,
    /// Whether the mode's weights are weights; else they are ones.
    pub has_weight: bool,
    /// Its share of the variance, relative to what it would be.
    pub path_weight: f64,
}

impl Instruction {
    /// From blocks `in1` and `in2` to block `out`, with weights.
    pub const fn new(in1: usize, in2: usize, out: usize, mode: ConnectionMode) -> Self {
        Self { in1, in2, out, mode, has_weight: true, path_weight: 1.0 }
    }

    /// The same without weights.
    pub const fn without_weight(mut self) -> Self {
        self.has_weight = false;
        self
    }

    /// The same with another share of the variance.
    pub const fn with_path_weight(mut self, path_weight: f64) -> Self {
        self.path_weight = path_weight;
        self
    }
}
