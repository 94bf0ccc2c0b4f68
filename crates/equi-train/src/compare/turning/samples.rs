//! Which test samples are turned, and how they are kept.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::data::Images;
use crate::data::files::resized;
use crate::data::spatial::Sample;

/// Samples that are turned.
pub const SAMPLES: usize = 6;
/// Pixels of the widest image that is kept as it is; wider ones are kept smaller, since they are only looked at.
const WIDEST: usize = 65;
/// Points of all samples together: of samples with many points fewer are turned, and samples with more than these are left out.
const POINTS: usize = 60;

/// A test sample.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum TurnedSample {
    /// An image, for display: no larger than 65 pixels, in 256 levels.
    Image {
        /// Its place in the test set, from 0.
        place: usize,
        /// Its class.
        label: usize,
        /// Rows and columns of the image that networks are given.
        size: [usize; 2],
        /// Three, red, green and blue, or one.
        #[serde(default = "one", skip_serializing_if = "is_one")]
        channels: usize,
        /// Rows that are kept.
        height: usize,
        /// Columns that are kept.
        width: usize,
        /// The values of the levels 0 and 255. Zero, which is what lies outside an image, is between them.
        range: [f64; 2],
        /// `[channels, height, width]`, row-major.
        levels: Vec<u8>,
    },
    /// Points in space.
    Points {
        /// Its place in the test set, from 0.
        place: usize,
        /// `[points]`, if they have any.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        charges: Vec<f64>,
        /// `[points, 3]`
        start: Vec<[f64; 3]>,
        /// `[points, 3]`, if they have any.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        velocities: Vec<[f64; 3]>,
        /// The positions that are asked for, `[points, 3]`.
        end: Vec<[f64; 3]>,
    },
    /// Points in space, of which a number is asked for.
    Number {
        /// Its place in the test set, from 0.
        place: usize,
        /// `[points, 3]`
        positions: Vec<[f64; 3]>,
        /// The number, which is the same at every angle.
        number: f64,
    },
    /// Points in space, of each of which a vector is asked for.
    Vectors {
        /// Its place in the test set, from 0.
        place: usize,
        /// `[points, 3]`
        positions: Vec<[f64; 3]>,
        /// The vectors, `[points, 3]`, which turn along.
        vectors: Vec<[f64; 3]>,
    },
}

fn one() -> usize {
    1
}

fn is_one(channels: &usize) -> bool {
    *channels == 1
}

/// The places of the images that are turned: the first ones, each class once before any comes twice.
pub fn places(labels: &[u8]) -> Vec<usize> {
    let mut seen = [0usize; 256];
    let mut places: Vec<(usize, usize)> = labels
        .iter()
        .enumerate()
        .map(|(place, &label)| {
            seen[usize::from(label)] += 1;
            (seen[usize::from(label)], place)
        })
        .collect();
    places.sort_unstable();
    places.into_iter().take(SAMPLES).map(|(_, place)| place).collect()
}

/// The samples that are turned, and their places: the first ones, but for those with too many points for all that are kept.
pub fn first<S: Sample>(samples: &[S]) -> Vec<(usize, &S)> {
    let mut room = POINTS;
    let fits = |(_, sample): &(usize, &S)| {
        let points = sample.points().max(1);
        let fits = points <= room;
        room -= if fits { points } else { 0 };
        fits
    };
    samples.iter().enumerate().filter(fits).take(SAMPLES).collect()
}

/// An image for display: with red, green and blue, or else its luminance.
pub fn image_sample(images: &Images, place: usize) -> TurnedSample {
    let (rows, columns) = (images.height(), images.width());
    let (channels, shown) = match images.channels() {
        3 => (3, Cow::Borrowed(images.image(place))),
        _ => (1, images.luminance(place)),
    };
    let (mut height, mut width, mut pixels) = (rows, columns, shown.into_owned());
    let longest = rows.max(columns);
    if longest > WIDEST {
        let scaled = |side: usize| (side * WIDEST).div_ceil(longest);
        (height, width) = (scaled(rows), scaled(columns));
        let small = |plane: &[f32]| resized(plane, [rows, columns], [height, width]);
        pixels = pixels.chunks(rows * columns).flat_map(small).collect();
    }
    let (low, high) = pixels.iter().fold((0f32, 0f32), |(low, high), &value| (low.min(value), high.max(value)));
    // An image of zeros has levels of zero.
    let (low, high) = (f64::from(low), f64::from(if high > low { high } else { low + 1.0 }));
    let level = |value: f32| (255.0 * (f64::from(value) - low) / (high - low)).round() as u8;
    TurnedSample::Image {
        place,
        label: usize::from(images.labels()[place]),
        size: [rows, columns],
        channels,
        height,
        width,
        range: [low, high],
        levels: pixels.into_iter().map(level).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::turning::Turning;

    #[test]
    fn the_first_of_every_class_come_before_the_second() {
        assert_eq!(places(&[3, 3, 1, 3, 1, 2, 9]), [0, 2, 5, 6, 1, 4]);
        assert_eq!(places(&[0, 1, 2, 3, 4, 5, 6]), [0, 1, 2, 3, 4, 5]);
        assert_eq!(places(&[7, 7]), [0, 1]);
        assert!(places(&[]).is_empty());
    }

    #[test]
    fn images_are_kept_in_levels_that_know_where_zero_is() {
        let pixels = vec![-0.5, 0.0, 1.5, 0.5];
        let images = Images::new(pixels, vec![4], 2, 2).unwrap();
        let Turning { samples, classes, .. } = Turning::of_images(&images, &[]);
        assert!(classes.is_empty());
        let TurnedSample::Image { place: 0, label: 4, size: [2, 2], channels: 1, height: 2, width: 2, range, levels } =
            &samples[0]
        else {
            panic!("{samples:?}")
        };
        assert_eq!((range, &levels[..]), (&[-0.5, 1.5], &[0, 64, 255, 128][..]));
        let dark = Images::new(vec![0.0; 9], vec![0], 3, 3).unwrap();
        let TurnedSample::Image { range, levels, .. } = image_sample(&dark, 0) else { panic!("an image") };
        assert_eq!((range, levels), ([0.0, 1.0], vec![0; 9]));
    }

    #[test]
    fn colours_are_kept_in_levels_of_one_scale_and_other_channels_as_their_mean() {
        let pixels = vec![0.5, 0.0, 1.0, 2.0, 0.0, 0.25];
        let images = Images::with_channels(pixels.clone(), vec![4], 3, 1, 2).unwrap();
        let kept = image_sample(&images, 0);
        let TurnedSample::Image { channels: 3, height: 1, width: 2, range, levels, .. } = &kept else {
            panic!("{kept:?}")
        };
        assert_eq!((range, &levels[..]), (&[0.0, 2.0], &[64, 0, 128, 255, 0, 32][..]));
        let text = serde_json::to_string(&kept).unwrap();
        assert!(text.contains(r#""channels":3"#), "{text}");
        assert_eq!(serde_json::from_str::<TurnedSample>(&text).unwrap(), kept);

        let images = Images::with_channels(pixels, vec![4], 2, 1, 3).unwrap();
        let kept = image_sample(&images, 0);
        let TurnedSample::Image { channels: 1, width: 3, range, levels, .. } = &kept else { panic!("{kept:?}") };
        assert_eq!((range, &levels[..]), (&[0.0, 1.25], &[255, 0, 128][..]));
        assert!(!serde_json::to_string(&kept).unwrap().contains("channels"));
    }

    #[test]
    fn wide_images_are_kept_smaller() {
        let pixels = (0..257 * 257).map(|at| f32::from(at % 257 > 128)).collect();
        let images = Images::new(pixels, vec![0], 257, 257).unwrap();
        let TurnedSample::Image { size, height, width, levels, .. } = image_sample(&images, 0) else {
            panic!("an image")
        };
        assert_eq!((size, height, width, levels.len()), ([257, 257], 65, 65, 65 * 65));
        assert_eq!((levels[0], levels[64]), (0, 255), "left is dark, right is bright");
        // Red on the right and blue on the left.
        let planes = [|at: usize| at % 257 > 128, |_| false, |at: usize| at % 257 <= 128];
        let pixels = planes.iter().flat_map(|plane| (0..257 * 257).map(|at| f32::from(plane(at)))).collect();
        let images = Images::with_channels(pixels, vec![0], 3, 257, 257).unwrap();
        let TurnedSample::Image { channels, height, width, levels, .. } = image_sample(&images, 0) else {
            panic!("an image")
        };
        assert_eq!((channels, height, width, levels.len()), (3, 65, 65, 3 * 65 * 65));
        let corners = [0, 1, 2].map(|channel| (levels[channel * 65 * 65], levels[channel * 65 * 65 + 64]));
        assert_eq!(corners, [(0, 255), (0, 0), (255, 0)]);
    }
}
