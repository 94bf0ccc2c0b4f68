//! What trained networks say of a few test samples while these are turned once around, for a look at single answers:
//! [`Results::turning`](super::results::Results::turning) has the samples, [`Cell::turning`](super::results::Cell::turning) the answers.
//!
//! The samples are the first of the test set, so nobody has chosen them for what they show. Only the networks of seed 0 with the
//! most training samples are asked. Numbers are rounded, which keeps the files small.

mod answers;
mod points;
mod rounding;
mod samples;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use answers::TurnedAnswer;
pub(crate) use answers::place_of_largest;
pub(super) use answers::{image_answers, point_answers};
pub(super) use points::Turned;
pub use samples::TurnedSample;

use crate::data::Images;
use points::decimals;
use samples::{first, image_sample, places};

/// Angles of a full turn, 7.5 degrees apart: quarter turns and eighths are among them.
const STEPS: u32 = 48;

/// A few test samples, and the angles by which they are turned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Turning {
    /// In degrees, counter-clockwise: of images about their middle, of points about the z axis through the mean of their positions.
    pub angles: Vec<f64>,
    /// The names of the classes, where they are not their numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
    /// The samples as the test set has them, which is the angle 0.
    pub samples: Vec<TurnedSample>,
}

impl Turning {
    /// The first of these images, each class once before any comes twice, with the names of the classes if they have any.
    pub(super) fn of_images(images: &Images, classes: &[String]) -> Self {
        let samples = places(images.labels()).into_iter().map(|place| image_sample(images, place)).collect();
        Self { angles: angles(), classes: classes.to_vec(), samples }
    }

    /// The first of these samples that have few points; none if there are none.
    pub(super) fn of_points<S: Turned>(samples: &[S]) -> Option<Self> {
        let few = first(samples);
        let decimals = decimals(&few);
        let samples = few.iter().map(|&(place, sample)| sample.kept(place, decimals)).collect();
        (!few.is_empty()).then(|| Self { angles: angles(), classes: Vec::new(), samples })
    }
}

fn angles() -> Vec<f64> {
    (0..STEPS).map(|step| 360.0 * f64::from(step) / f64::from(STEPS)).collect()
}
