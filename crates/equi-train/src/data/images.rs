use std::borrow::Cow;

use burn::tensor::{Device, Int, Tensor, TensorData};
use equi_core::resample::resample_host;
use rayon::prelude::*;

use super::DataError;

/// What red, green and blue contribute to the luminance.
const LUMINANCE: [f32; 3] = [0.2126, 0.7152, 0.0722];

/// Labelled images of one size, on the host: grey ones of one channel, or several channels, such as red, green and blue.
///
/// Every pixel is finite and every image has a label: the constructors refuse anything else.
#[derive(Clone, Debug, PartialEq)]
pub struct Images {
    /// `[images, channels, height, width]`, row-major; of grey images 0 is background, 1 is ink.
    pixels: Vec<f32>,
    /// `[images]`
    labels: Vec<u8>,
    channels: usize,
    height: usize,
    width: usize,
}

impl Images {
    /// Takes grey images, pixels `[labels.len(), height, width]`, row-major, with one label an image.
    ///
    /// # Errors
    ///
    /// [`DataError`] for pixels that do not fill the images, or are not finite.
    pub fn new(pixels: Vec<f32>, labels: Vec<u8>, height: usize, width: usize) -> Result<Self, DataError> {
        Self::with_channels(pixels, labels, 1, height, width)
    }

    /// Takes images of several channels, pixels `[labels.len(), channels, height, width]`, row-major, with one label an image. Three channels are red, green and blue.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_channels(
        pixels: Vec<f32>,
        labels: Vec<u8>,
        channels: usize,
        height: usize,
        width: usize,
    ) -> Result<Self, DataError> {
        let plane = height * width;
        let size = channels * plane;
        if size == 0 || !pixels.len().is_multiple_of(size) {
            return Err(DataError::Pixels { pixels: pixels.len(), channels, height, width });
        }
        if pixels.len() / size != labels.len() {
            return Err(DataError::Count { images: pixels.len() / size, labels: labels.len() });
        }
        if let Some(at) = pixels.iter().position(|value| !value.is_finite()) {
            let (image, pixel) = (at / size, at % plane);
            return Err(DataError::NotFinite { image, row: pixel / width, column: pixel % width, value: pixels[at] });
        }
        Ok(Self { pixels, labels, channels, height, width })
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Channels of an image: 1 of grey ones.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Rows of an image.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Columns of an image.
    pub fn width(&self) -> usize {
        self.width
    }

    /// One image, `[channels, height, width]`, row-major.
    ///
    /// # Panics
    ///
    /// When there is no such image.
    pub fn image(&self, index: usize) -> &[f32] {
        let size = self.channels * self.height * self.width;
        &self.pixels[index * size..(index + 1) * size]
    }

    /// The channels of one image, each `[height, width]`, row-major.
    ///
    /// # Panics
    ///
    /// When there is no such image.
    pub fn planes(&self, index: usize) -> std::slice::ChunksExact<'_, f32> {
        self.image(index).chunks_exact(self.height * self.width)
    }

    /// The luminance of one image, `[height, width]`, row-major: `0.2126 R + 0.7152 G + 0.0722 B` of three channels, the mean of any other number, so grey images are their own.
    ///
    /// # Panics
    ///
    /// When there is no such image.
    pub fn luminance(&self, index: usize) -> Cow<'_, [f32]> {
        luminance(self.image(index), self.channels)
    }

    /// The label of every image.
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }

    /// The images at `indices`, uploaded in that order, with their labels.
    ///
    /// # Shapes
    ///
    /// - images: `[indices.len(), channels, height, width]`
    /// - labels: `[indices.len()]`
    ///
    /// # Panics
    ///
    /// When an index is not below [`len`](Self::len).
    pub fn batch(&self, indices: &[usize], device: &Device) -> (Tensor<4>, Tensor<1, Int>) {
        let pixels: Vec<f32> = indices.iter().flat_map(|&index| self.image(index)).copied().collect();
        let labels: Vec<i32> = indices.iter().map(|&index| i32::from(self.labels[index])).collect();
        let shape = [indices.len(), self.channels, self.height, self.width];
        (
            Tensor::from_data(TensorData::new(pixels, shape), device),
            Tensor::from_data(TensorData::new(labels, [indices.len()]), device),
        )
    }

    /// The images at `indices`, in that order.
    pub(crate) fn select(&self, indices: &[usize]) -> Self {
        Self {
            pixels: indices.iter().flat_map(|&index| self.image(index)).copied().collect(),
            labels: indices.iter().map(|&index| self.labels[index]).collect(),
            ..*self
        }
    }

    /// The first `count` images, every channel seen through the matrix that `inverse` gives for the image: `out(p) = image(A p)`.
    pub(crate) fn resampled(&self, count: usize, inverse: impl Fn(usize) -> [[f64; 2]; 2] + Sync) -> Self {
        let one = |index: usize| -> Vec<f32> {
            let inverse = inverse(index);
            self.planes(index).flat_map(|plane| resample_host(plane, self.height, self.width, inverse)).collect()
        };
        let pixels: Vec<Vec<f32>> = (0..count).into_par_iter().map(one).collect();
        Self { pixels: pixels.concat(), labels: self.labels[..count].to_vec(), ..*self }
    }
}

/// The luminance of one image `[channels, height, width]`: see [`Images::luminance`].
pub(crate) fn luminance(image: &[f32], channels: usize) -> Cow<'_, [f32]> {
    if channels == 1 {
        return Cow::Borrowed(image);
    }
    let mean = vec![1.0 / channels as f32; channels];
    let weights = if channels == LUMINANCE.len() { &LUMINANCE[..] } else { &mean };
    let plane = image.len() / channels;
    let at =
        |pixel: usize| weights.iter().zip(image[pixel..].iter().step_by(plane)).map(|(weight, value)| weight * value);
    Cow::Owned((0..plane).map(|pixel| at(pixel).sum()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_by_name() {
        let message =
            |pixels, labels, height, width| Images::new(pixels, labels, height, width).unwrap_err().to_string();
        assert!(message(vec![0.0; 7], vec![1], 2, 3).contains("7 pixels do not fill whole images of 2 x 3"));
        assert!(message(vec![], vec![], 0, 3).contains("0 x 3"));
        assert!(message(vec![0.0; 12], vec![1], 2, 3).contains("2 images and 1 labels"));
        let mut pixels = vec![0.0; 12];
        pixels[10] = f32::NAN;
        assert!(message(pixels, vec![1, 2], 2, 3).starts_with("pixel (1, 1) of image 1 is NaN"));
    }

    #[test]
    fn channels_are_planes_and_three_have_a_luminance() {
        let message =
            |pixels, channels| Images::with_channels(pixels, vec![1, 2], channels, 2, 3).unwrap_err().to_string();
        assert!(message(vec![0.0; 35], 3).contains("35 pixels do not fill whole images of 3 x 2 x 3"));
        assert!(message(vec![0.0; 18], 3).contains("1 images and 2 labels"));
        let mut pixels: Vec<f32> = (0..36u8).map(f32::from).collect();
        let images = Images::with_channels(pixels.clone(), vec![1, 2], 3, 2, 3).unwrap();
        let planes: Vec<&[f32]> = images.planes(1).collect();
        assert_eq!(planes, [&pixels[18..24], &pixels[24..30], &pixels[30..36]]);
        assert_eq!((images.image(1), images.channels()), (&pixels[18..], 3));
        for (pixel, luminance) in images.luminance(1).iter().enumerate() {
            let [red, green, blue] = [0, 1, 2].map(|channel| planes[channel][pixel]);
            assert!((luminance - (0.2126 * red + 0.7152 * green + 0.0722 * blue)).abs() < 1e-5);
        }
        // Of two channels, no colours, the mean; of one itself.
        assert_eq!(luminance(&[1.0, 2.0, 5.0, 8.0], 2)[..], [3.0, 5.0]);
        assert_eq!(luminance(&[0.1, 0.7], 1)[..], [0.1, 0.7]);
        assert_eq!(images.select(&[1, 0, 1]).image(2), images.image(1));
        assert_eq!(images.select(&[1, 0, 1]).labels(), [2, 1, 2]);
        // Pixel 4 of the second channel of the second image.
        pixels[28] = f32::INFINITY;
        assert!(message(pixels, 3).starts_with("pixel (1, 1) of image 1 is inf"));
    }

    #[test]
    fn every_channel_is_resampled_with_the_matrix_of_its_image() {
        let pixels: Vec<f32> = (0..2 * 3 * 25u16).map(|at| f32::from(at * at % 101)).collect();
        let images = Images::with_channels(pixels, vec![4, 5], 3, 5, 5).unwrap();
        let turn = |index: usize| equi_core::resample::rotation_inverse(0.4 + index as f64);
        let turned = images.resampled(2, turn);
        assert_eq!((turned.labels(), turned.channels()), (&[4, 5][..], 3));
        for index in 0..2 {
            for (moved, plane) in turned.planes(index).zip(images.planes(index)) {
                assert_eq!(moved, resample_host(plane, 5, 5, turn(index)));
            }
        }
        assert_eq!(images.resampled(1, turn).len(), 1);
    }

    #[cfg(feature = "flex")]
    #[test]
    fn a_batch_keeps_the_order_asked_for() {
        let images = Images::new((0..12u8).map(f32::from).collect(), vec![7, 8, 9], 2, 2).unwrap();
        let (pixels, labels) = images.batch(&[2, 0, 2], &Device::flex());
        assert_eq!(pixels.dims(), [3, 1, 2, 2]);
        let pixels: Vec<f32> = pixels.try_to_vec_as().unwrap();
        assert_eq!(pixels, [8., 9., 10., 11., 0., 1., 2., 3., 8., 9., 10., 11.]);
        assert_eq!(labels.try_to_vec_as::<i64>().unwrap(), [9, 7, 9]);
        let images = Images::with_channels((0..12u8).map(f32::from).collect(), vec![7, 8], 3, 1, 2).unwrap();
        let (pixels, _) = images.batch(&[1], &Device::flex());
        assert_eq!(pixels.dims(), [1, 3, 1, 2]);
        assert_eq!(pixels.try_to_vec_as::<f32>().unwrap(), [6., 7., 8., 9., 10., 11.]);
    }
}
