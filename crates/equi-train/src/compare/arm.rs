//! The contestants. A new one is one entry in [`ARMS`]; a task says which of them it has.

/// A model, the way it is trained, and the way samples are shown to it.
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
    /// How samples are shown to the network.
    pub view: View,
}

/// A kind of network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Knows nothing about the symmetry.
    Plain,
    /// Has it built in.
    Equivariant,
    /// None: a straight line, fitted in closed form.
    Linear,
    /// One of the user's, with the name of its arm.
    Own(&'static str),
}

/// How samples are shown to a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// As they are.
    AsIs,
    /// As they are in training; in tests in several poses, and what the network says of them, moved back, is averaged.
    Averaged,
    /// In a standard pose, that of their principal components.
    Canonical,
    /// In the poses that the principal components leave open: one at random in training, all of them in tests, where what the
    /// network says, moved back, is averaged (Puny et al., *Frame Averaging for Invariant and Equivariant Network Design*, ICLR 2022).
    Frames,
}

/// The plain arm, as it is; the others are told from it.
const PLAIN: Arm = Arm {
    name: "plain",
    about: "an ordinary network on the samples as they are",
    network: Network::Plain,
    augmented: false,
    view: View::AsIs,
};

/// All arms of all tasks, in the order of the tables.
pub const ARMS: [Arm; 8] = [
    PLAIN,
    Arm { name: "augmented", about: "the same network, shown every sample in random poses", augmented: true, ..PLAIN },
    Arm {
        name: "augmented-tta",
        about: "the augmented network, its answers averaged over eight poses of every test sample",
        augmented: true,
        view: View::Averaged,
        ..PLAIN
    },
    Arm {
        name: "equivariant",
        about: "a network with the symmetry built in, on the samples as they are",
        network: Network::Equivariant,
        ..PLAIN
    },
    Arm {
        name: "equivariant-augmented",
        about: "the same network, shown every sample in random poses",
        network: Network::Equivariant,
        augmented: true,
        ..PLAIN
    },
    Arm {
        name: "canonical",
        about: "the ordinary network, shown every sample in a standard pose, which is not continuous",
        view: View::Canonical,
        ..PLAIN
    },
    Arm {
        name: "frame-averaged",
        about: "the ordinary network, averaged over the poses that principal components leave open",
        view: View::Frames,
        ..PLAIN
    },
    Arm {
        name: "linear",
        about: "no network: straight on, for a time fitted to the samples",
        network: Network::Linear,
        ..PLAIN
    },
];

impl Arm {
    /// The arm called `name`.
    pub fn named(name: &str) -> Option<Self> {
        ARMS.into_iter().find(|arm| arm.name == name)
    }

    /// Whether the arm is trained step by step.
    pub fn is_trained(&self) -> bool {
        self.network != Network::Linear
    }

    /// The arm that is trained in the same way, the first of [`ARMS`]: with the same seed and samples it has the same weights, and
    /// differs in tests only.
    pub fn training(&self) -> Self {
        let shown = |view| if view == View::Averaged { View::AsIs } else { view };
        let alike = |arm: &Self| {
            (arm.network, arm.augmented, shown(arm.view)) == (self.network, self.augmented, shown(self.view))
        };
        ARMS.into_iter().find(alike).unwrap_or(*self)
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
            assert_eq!(Arm::named(arm.name), Some(*arm));
        }
        assert_eq!(Arm::named("magic"), None);
    }

    #[test]
    fn arms_that_differ_in_tests_alone_share_their_training() {
        for arm in ARMS {
            let shared = if arm.name == "augmented-tta" { "augmented" } else { arm.name };
            assert_eq!(arm.training().name, shared);
        }
    }
}
