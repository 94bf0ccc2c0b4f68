//! What products are divided by, so that outputs are as large as inputs.

use serde::{Deserialize, Serialize};

/// Which features of an irrep count as being of size 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IrrepNormalization {
    /// Those whose components have variance 1: products are multiplied by `sqrt(2 l_out + 1)`.
    #[default]
    Component,
    /// Those of length 1: products are multiplied by `sqrt((2 l_1 + 1)(2 l_2 + 1))`.
    Norm,
    /// Products are left as the coefficients make them.
    None,
}

/// How the paths that reach an output share its variance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PathNormalization {
    /// By their numbers of terms: every term has the same variance.
    #[default]
    Element,
    /// Equally: every path has the same variance.
    Path,
    /// Not at all: terms are added as they are.
    None,
}
