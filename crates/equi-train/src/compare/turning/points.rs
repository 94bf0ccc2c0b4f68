//! What each kind of samples of points keeps of itself, and of what is said of it.

use super::answers::TurnedAnswer;
use super::rounding::{digits, largest, round, rounded};
use super::samples::TurnedSample;
use crate::data::nbody::Motion;
use crate::data::points::{PointSystem, PointTarget};
use crate::data::spatial::Sample;

/// Samples of points that are turned.
pub trait Turned: Sample {
    /// The size of what decides how many decimals are kept of answers.
    fn size(few: &[(usize, &Self)]) -> f64;

    /// The sample with so many decimals of what is asked for.
    fn kept(&self, place: usize, decimals: i32) -> TurnedSample;

    /// What is said of it, all numbers of the answer at every angle.
    fn said(&self, numbers: Vec<Vec<f64>>) -> TurnedAnswer;
}

impl Turned for Motion {
    /// The largest coordinate: errors of small systems are small, too.
    fn size(few: &[(usize, &Self)]) -> f64 {
        largest(few.iter().flat_map(|(_, motion)| motion.start.positions.iter().chain(&motion.end)).flatten())
    }

    fn kept(&self, place: usize, decimals: i32) -> TurnedSample {
        TurnedSample::Points {
            place,
            charges: self.start.charges.clone(),
            start: rounded(&self.start.positions, decimals),
            velocities: rounded(&self.start.velocities, decimals),
            end: rounded(&self.end, decimals),
        }
    }

    fn said(&self, positions: Vec<Vec<f64>>) -> TurnedAnswer {
        TurnedAnswer::Positions { positions }
    }
}

impl Turned for PointSystem {
    /// Of vectors the largest coordinate, of numbers by how much they vary: they may be large and alike.
    fn size(few: &[(usize, &Self)]) -> f64 {
        let numbers: Vec<f64> = few.iter().flat_map(|(_, system)| system.target.numbers()).copied().collect();
        let one = few.iter().find(|(_, system)| system.target.is_scalar()).map_or(0.0, |_| numbers[0]);
        let varying: Vec<f64> = numbers.iter().map(|number| number - one).filter(|&number| number != 0.0).collect();
        largest(if varying.is_empty() { &numbers } else { &varying })
    }

    fn kept(&self, place: usize, decimals: i32) -> TurnedSample {
        let all = digits(largest(self.positions.as_flattened()));
        let positions = rounded(&self.positions, all);
        match &self.target {
            PointTarget::Scalar(number) => TurnedSample::Number { place, positions, number: round(*number, decimals) },
            PointTarget::Vectors(vectors) => {
                TurnedSample::Vectors { place, positions, vectors: rounded(vectors, decimals) }
            }
        }
    }

    fn said(&self, numbers: Vec<Vec<f64>>) -> TurnedAnswer {
        match self.target {
            PointTarget::Scalar(_) => TurnedAnswer::Numbers { numbers: numbers.concat() },
            PointTarget::Vectors(_) => TurnedAnswer::Vectors { vectors: numbers },
        }
    }
}

/// Decimals of answers to these samples.
pub fn decimals<S: Turned>(few: &[(usize, &S)]) -> i32 {
    digits(S::size(few))
}
