//! Random streams: every draw is a function of `(seed, purpose, position)`.
//!
//! Nothing random is carried from one step to the next, so a run that is resumed at step 1,000 draws exactly what the
//! uninterrupted run drew there, and changing the augmentation does not change the order of the data.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// What random numbers are spent on. Each purpose has streams of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The initial weights of a model.
    Weights = 1,
    /// The order in which training samples are visited; the position is the pass over the data.
    Order = 2,
    /// The augmentation of training samples; the position is the optimiser step.
    Augmentation = 3,
    /// What layers draw on the device while training, such as dropout; the position is the optimiser step.
    Layers = 4,
    /// The initial state of a simulated system; the position is the number of the simulation.
    Simulation = 5,
    /// The seeds of the parts of a simulated data set; the position is the part.
    Parts = 6,
    /// The transformations under which equivariance is measured; the position is the transformation.
    Probe = 7,
    /// The resamples of a bootstrap; the position is their size.
    Bootstrap = 8,
    /// Which of the poses that principal axes leave open a training sample is shown in; the position is the optimiser step.
    Frames = 9,
    /// The moves of the data symmetry score; the position is the sample.
    Symmetry = 10,
    /// The poses in which test samples are shown.
    Poses = 11,
    /// Which of the samples that there are a training run begins with.
    Choice = 12,
    /// The hyperparameters that are tried; the position is their number.
    Tuning = 13,
    /// The seeds of the parts of a batch that devices share; the position is the first item of the part.
    Part = 14,
}

/// The random stream of `purpose` at `position`.
pub fn stream(seed: u64, purpose: Purpose, position: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&(purpose as u64).to_le_bytes());
    key[16..24].copy_from_slice(&position.to_le_bytes());
    ChaCha8Rng::from_seed(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;

    #[test]
    fn streams_repeat_and_differ_in_every_coordinate() {
        let draw = |seed, purpose, position| stream(seed, purpose, position).next_u64();
        let reference = draw(7, Purpose::Order, 3);
        assert_eq!(reference, draw(7, Purpose::Order, 3));
        assert_ne!(reference, draw(8, Purpose::Order, 3));
        assert_ne!(reference, draw(7, Purpose::Augmentation, 3));
        assert_ne!(reference, draw(7, Purpose::Order, 4));
    }
}
