//! The contestants. A new one is one entry in [`ARMS`]; a task says which of them it has.

use serde::{Deserialize, Serialize};

/// A model and the way it is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arm {
    /// As `--arms` and `results.json` name it.
    pub name: &'static str,
    /// What it stands for, in one line.
    pub about: &'static str,
    /// Its network.
    pub network: Network,
    /// Whether its training samples are augmented with the symmetry of the task.
    pub augmented: bool,
}

/// A kind of network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// Knows nothing about the symmetry.
    Plain,
    /// Has it built in.
    Equivariant,
    /// The plain one, shown every sample in a standard pose.
    Canonical,
    /// None: a straight line, fitted in closed form.
    Linear,
}

/// All arms of all tasks.
pub const ARMS: [Arm; 5] = [
    Arm {
        name: "plain",
        about: "an ordinary network on the samples as they are",
        network: Network::Plain,
        augmented: false,
    },
    Arm {
        name: "augmented",
        about: "the same network, shown every sample in random poses",
        network: Network::Plain,
        augmented: true,
    },
    Arm {
        name: "equivariant",
        about: "a network with the symmetry built in, on the samples as they are",
        network: Network::Equivariant,
        augmented: false,
    },
    Arm {
        name: "canonical",
        about: "the ordinary network, shown every sample in a standard pose, which is not continuous",
        network: Network::Canonical,
        augmented: false,
    },
    Arm {
        name: "linear",
        about: "no network: straight on, for a time fitted to the samples",
        network: Network::Linear,
        augmented: false,
    },
];

impl Arm {
    /// Whether the arm is trained step by step.
    pub fn is_trained(&self) -> bool {
        self.network != Network::Linear
    }
}

/// The width at which a network that gets costlier with its width costs most nearly `target`.
pub fn nearest_width(target: u64, cost: impl Fn(usize) -> u64) -> usize {
    let above = (1..).find(|&width| cost(width) >= target).unwrap_or(1);
    if above > 1 && target - cost(above - 1) < cost(above) - target { above - 1 } else { above }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_width_is_below_or_above() {
        let square = |width: usize| (width * width) as u64;
        assert_eq!(nearest_width(25, square), 5);
        assert_eq!(nearest_width(28, square), 5);
        assert_eq!(nearest_width(33, square), 6);
        assert_eq!(nearest_width(0, square), 1);
    }

    #[test]
    fn names_are_unique() {
        for (i, arm) in ARMS.iter().enumerate() {
            assert!(ARMS[i + 1..].iter().all(|other| other.name != arm.name));
        }
    }
}
