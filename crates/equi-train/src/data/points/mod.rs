//! Samples of points in space from the user's files, with a number or vectors to be predicted.
//!
//! A file is extended XYZ (`.xyz` or `.extxyz`, [`extxyz`]), or `.npz` with arrays ([`arrays`]). What is predicted has a name, and its shape says what it
//! is: one number for a sample, which nothing changes that moves the sample, or a vector for every point, which turns with it and which translations
//! leave as it is, such as a force.

pub mod arrays;
pub mod extxyz;

mod system;

use std::path::Path;

use sha2::{Digest, Sha256};

use super::DataError;

pub use system::{Neighbourhood, PointBatch, PointSystem, Units};

/// Points in space, and what is to be predicted.
#[derive(Clone, Debug, PartialEq)]
pub struct PointSample {
    /// Where the points are.
    pub positions: Vec<[f64; 3]>,
    /// A vector for every point that the networks are shown, such as its velocity; none if there are none.
    pub velocities: Option<Vec<[f64; 3]>>,
    /// What every point is, by name; empty if nothing is said.
    pub species: Vec<String>,
    /// Numbers of every point that nothing changes which moves the sample; empty if there are none.
    pub features: Vec<Vec<f64>>,
    /// What is to be predicted.
    pub target: PointTarget,
}

/// What is predicted for a sample.
#[derive(Clone, Debug, PartialEq)]
pub enum PointTarget {
    /// A number, the same wherever the sample is and however it is turned or mirrored.
    Scalar(f64),
    /// A vector for every point, which turns with the sample, and which translations leave as it is.
    Vectors(Vec<[f64; 3]>),
}

/// Samples that belong together.
#[derive(Clone, Debug, PartialEq)]
pub struct PointSet {
    /// The samples.
    pub samples: Vec<PointSample>,
    /// What is predicted, by name.
    pub target: String,
    /// SHA-256 of all numbers and names, in hexadecimal.
    pub digest: String,
}

/// Reads the samples of an `.xyz`, `.extxyz` or `.npz` file, whose `target` is to be predicted.
///
/// # Errors
///
/// [`DataError`] naming the file, and the line or the sample: one that cannot be read, no such target, numbers that are not finite, samples that differ in
/// what they have.
pub fn read(path: &Path, target: &str) -> Result<PointSet, DataError> {
    let own = |message: String| DataError::Own { path: path.to_path_buf(), message };
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase()).unwrap_or_default();
    let samples = match ending.as_str() {
        "npz" => arrays::read(path, target)?,
        "xyz" | "extxyz" => extxyz::read(path, target)?,
        _ => {
            return Err(own("points are read from .npz, .xyz and .extxyz files, and this is none of them".to_string()));
        }
    };
    PointSet::new(target, samples).map_err(own)
}

impl PointSet {
    /// Samples with something called `target` to be predicted.
    ///
    /// # Errors
    ///
    /// A message that names the sample: one without points, with numbers that are not finite, with as many rows of something as it has no points, or with something that
    /// the first one does not have.
    pub fn new(target: &str, samples: Vec<PointSample>) -> Result<Self, String> {
        let Some(first) = samples.first() else { return Err("there is no sample".to_string()) };
        for (at, sample) in samples.iter().enumerate() {
            sample.check(target).map_err(|problem| format!("sample {at}: {problem}"))?;
            if let Some(difference) = sample.difference(first) {
                return Err(format!("sample {at} {difference}: all samples must have the same"));
            }
        }
        let mut digest = Sha256::new();
        digest.update(target);
        samples.iter().for_each(|sample| sample.digest(&mut digest));
        let digest = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { samples, target: target.to_string(), digest })
    }
}

impl PointSample {
    /// How many points there are.
    pub fn points(&self) -> usize {
        self.positions.len()
    }

    /// Numbers of a point that nothing changes which moves the sample, without its species.
    pub fn channels(&self) -> usize {
        self.features.first().map_or(0, Vec::len)
    }

    /// What is wrong with this sample.
    fn check(&self, target: &str) -> Result<(), String> {
        let points = self.points();
        if points == 0 {
            return Err("it has no point; remove it".to_string());
        }
        let mut counts = Vec::new();
        counts.extend(self.velocities.as_ref().map(|velocities| ("velocities", velocities.len())));
        counts.extend((!self.species.is_empty()).then_some(("species", self.species.len())));
        counts.extend((!self.features.is_empty()).then_some(("rows of features", self.features.len())));
        if let PointTarget::Vectors(vectors) = &self.target {
            counts.push((target, vectors.len()));
        }
        if let Some((what, count)) = counts.iter().find(|(_, count)| *count != points) {
            return Err(format!("{points} points have {count} {what}: every point needs one"));
        }
        if let Some(at) = self.features.iter().position(|row| row.len() != self.channels()) {
            return Err(format!(
                "point {at} has {} features and point 0 {}: all must have the same",
                self.features[at].len(),
                self.channels()
            ));
        }
        finite("positions", self.positions.as_flattened().iter())?;
        finite("velocities", self.velocities.iter().flatten().flatten())?;
        finite("features", self.features.iter().flatten())?;
        finite(target, self.target.numbers().iter())
    }

    /// What this sample has that `first` has not, or has otherwise.
    pub(crate) fn difference(&self, first: &Self) -> Option<String> {
        let has = |is: bool| if is { "has" } else { "has no" };
        if self.velocities.is_some() != first.velocities.is_some() {
            return Some(format!("{} velocities, unlike sample 0", has(self.velocities.is_some())));
        }
        if self.species.is_empty() != first.species.is_empty() {
            return Some(format!("{} species, unlike sample 0", has(!self.species.is_empty())));
        }
        if self.channels() != first.channels() {
            return Some(format!("has {} features a point, and sample 0 has {}", self.channels(), first.channels()));
        }
        if self.target.is_scalar() != first.target.is_scalar() {
            let kind = |target: &PointTarget| if target.is_scalar() { "a number" } else { "vectors" };
            return Some(format!("has {} to predict, and sample 0 has {}", kind(&self.target), kind(&first.target)));
        }
        None
    }

    fn digest(&self, digest: &mut Sha256) {
        let mut numbers = |values: &[f64]| {
            digest.update((values.len() as u64).to_le_bytes());
            values.iter().for_each(|value| digest.update(value.to_le_bytes()));
        };
        numbers(self.positions.as_flattened());
        numbers(self.velocities.as_ref().map_or(&[], |velocities| velocities.as_flattened()));
        self.features.iter().for_each(|row| numbers(row));
        numbers(self.target.numbers());
        for name in &self.species {
            digest.update((name.len() as u64).to_le_bytes());
            digest.update(name);
        }
    }
}

fn finite<'a>(what: &str, mut values: impl Iterator<Item = &'a f64>) -> Result<(), String> {
    match values.find(|value| !value.is_finite()) {
        Some(value) => Err(format!("{what} has {value}: numbers must be finite, so repair or remove this sample")),
        None => Ok(()),
    }
}

impl PointTarget {
    /// Whether it is one number.
    pub fn is_scalar(&self) -> bool {
        matches!(self, Self::Scalar(_))
    }

    /// Its numbers.
    pub fn numbers(&self) -> &[f64] {
        match self {
            Self::Scalar(number) => std::slice::from_ref(number),
            Self::Vectors(vectors) => vectors.as_flattened(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> PointSample {
        PointSample {
            positions: vec![[0.0; 3], [1.0, 0.0, 0.0]],
            velocities: None,
            species: vec!["H".to_string(), "O".to_string()],
            features: vec![vec![0.5], vec![-0.5]],
            target: PointTarget::Scalar(1.0),
        }
    }

    fn message(change: impl Fn(&mut PointSample)) -> String {
        let mut other = sample();
        change(&mut other);
        PointSet::new("energy", vec![sample(), other]).unwrap_err()
    }

    #[test]
    fn what_is_wrong_with_a_sample_is_named() {
        assert!(message(|sample| sample.positions.clear()).contains("sample 1: it has no point"));
        assert!(message(|sample| sample.positions[1][2] = f64::NAN).contains("positions has NaN"));
        assert!(message(|sample| sample.target = PointTarget::Scalar(f64::INFINITY)).contains("energy has inf"));
        assert!(message(|sample| sample.features[1].clear()).contains("point 1 has 0 features and point 0 1"));
        assert!(message(|sample| sample.species.truncate(1)).contains("2 points have 1 species"));
        assert!(message(|sample| sample.species.clear()).contains("sample 1 has no species, unlike sample 0"));
        assert!(message(|sample| sample.velocities = Some(vec![[0.0; 3]; 2])).contains("sample 1 has velocities"));
        assert!(message(|sample| sample.features.clear()).contains("has 0 features a point, and sample 0 has 1"));
        assert!(
            message(|sample| sample.target = PointTarget::Vectors(vec![[0.0; 3]; 2]))
                .contains("has vectors to predict")
        );
        assert!(
            message(|sample| sample.target = PointTarget::Vectors(vec![[0.0; 3]])).contains("2 points have 1 energy")
        );
        assert_eq!(PointSet::new("energy", Vec::new()).unwrap_err(), "there is no sample");
    }

    #[test]
    fn every_part_of_a_sample_is_in_the_digest() {
        let of = |change: fn(&mut PointSample)| {
            let mut changed = sample();
            change(&mut changed);
            PointSet::new("energy", vec![changed]).unwrap().digest
        };
        let same = of(|_| {});
        let changes: [fn(&mut PointSample); 5] = [
            |sample| sample.positions[0][0] = 2.0,
            |sample| sample.velocities = Some(vec![[0.0; 3]; 2]),
            |sample| sample.species[0] = "C".to_string(),
            |sample| sample.features[0][0] = 2.0,
            |sample| sample.target = PointTarget::Scalar(2.0),
        ];
        assert_eq!(same, of(|_| {}));
        assert!(changes.into_iter().all(|change| of(change) != same));
    }

    #[test]
    fn endings_say_what_a_file_is() {
        let message = |name: &str| read(Path::new(name), "energy").unwrap_err().to_string();
        assert!(message("points.csv").contains(".npz, .xyz and .extxyz"));
        assert!(message("none.xyz").contains("none.xyz cannot be read"));
        assert!(message("none.npz").contains("none.npz"));
    }
}
