//! How a state dict differs from the one that an architecture has.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use burn::tensor::{DType, TensorData};

use super::state_dict::StateDict;

/// One way in which a state dict is not the expected one.
#[derive(Clone, Debug, PartialEq)]
pub enum Difference {
    /// A key that should be there.
    Missing {
        /// The key.
        key: String,
        /// The shape it should have.
        shape: Vec<usize>,
    },
    /// A key that the architecture does not have.
    Unknown {
        /// The key.
        key: String,
        /// Its shape.
        shape: Vec<usize>,
        /// Its type.
        dtype: DType,
    },
    /// A tensor of another shape.
    Misshaped {
        /// The key.
        key: String,
        /// The shape it should have.
        expected: Vec<usize>,
        /// The shape it has.
        found: Vec<usize>,
    },
    /// A tensor that holds no floating point numbers.
    NotFloat {
        /// The key.
        key: String,
        /// Its type.
        dtype: DType,
    },
    /// A tensor with values that are NaN or infinite: the training that wrote it had diverged.
    NotFinite {
        /// The key.
        key: String,
        /// How many of its values.
        values: usize,
        /// Of how many.
        of: usize,
    },
}

/// All differences between a state dict and the architecture that it resembles most.
#[derive(Clone, Debug, PartialEq)]
pub struct Differences {
    /// What was expected, in words.
    pub architecture: String,
    /// Each difference, in the order of the keys.
    pub differences: Vec<Difference>,
    /// What to do about it, where that is known.
    pub advice: Option<String>,
}

impl Difference {
    fn key(&self) -> &str {
        match self {
            Self::Missing { key, .. }
            | Self::Unknown { key, .. }
            | Self::Misshaped { key, .. }
            | Self::NotFloat { key, .. }
            | Self::NotFinite { key, .. } => key,
        }
    }
}

impl Display for Difference {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { key, shape } => write!(f, "missing    {key} {shape:?}"),
            Self::Unknown { key, shape, dtype } => write!(f, "unknown    {key} {shape:?} {dtype:?}"),
            Self::Misshaped { key, expected, found } => {
                write!(f, "misshaped  {key}: expected {expected:?}, found {found:?}")
            }
            Self::NotFloat { key, dtype } => write!(f, "type       {key}: expected floating point, found {dtype:?}"),
            Self::NotFinite { key, values, of } => write!(f, "not finite {key}: {values} of {of} values"),
        }
    }
}

impl Display for Differences {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let count = self.differences.len();
        let plural = if count == 1 { "" } else { "s" };
        write!(f, "this is not a state dict of {}: {count} difference{plural}", self.architecture)?;
        for difference in &self.differences {
            write!(f, "\n  {difference}")?;
        }
        self.advice.iter().try_for_each(|advice| write!(f, "\n{advice}"))
    }
}

/// Where `found` departs from `expected`, by key.
pub(super) fn differences(found: &StateDict, expected: &BTreeMap<String, Vec<usize>>) -> Vec<Difference> {
    let missing = expected
        .iter()
        .filter(|(key, _)| found.get(key).is_none())
        .map(|(key, shape)| Difference::Missing { key: key.clone(), shape: shape.clone() });
    let present = found.iter().filter_map(|(key, data)| compare(key, data, expected.get(key)));
    let mut all: Vec<_> = missing.chain(present).collect();
    all.sort_by(|a, b| a.key().cmp(b.key()));
    all
}

fn compare(key: &str, data: &TensorData, expected: Option<&Vec<usize>>) -> Option<Difference> {
    let key = key.to_owned();
    let (shape, dtype) = (data.shape().to_vec(), data.dtype());
    let Some(expected) = expected else {
        return Some(Difference::Unknown { key, shape, dtype });
    };
    if *expected != shape {
        return Some(Difference::Misshaped { key, expected: expected.clone(), found: shape });
    }
    if !dtype.is_float() {
        return Some(Difference::NotFloat { key, dtype });
    }
    let values = data.iter::<f64>().filter(|value| !value.is_finite()).count();
    (values > 0).then(|| Difference::NotFinite { key, values, of: data.num_elements() })
}
