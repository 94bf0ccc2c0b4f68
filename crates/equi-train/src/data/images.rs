use burn::tensor::{Device, Int, Tensor, TensorData};

use super::DataError;

/// Labelled grey images of one size, on the host.
///
/// Every pixel is finite and every image has a label: the constructor refuses anything else.
#[derive(Clone, Debug, PartialEq)]
pub struct Images {
    /// `[images, height, width]`, row-major; 0 is background, 1 is ink.
    pixels: Vec<f32>,
    /// `[images]`
    labels: Vec<u8>,
    height: usize,
    width: usize,
}

impl Images {
    /// Takes pixels `[labels.len(), height, width]`, row-major, with one label an image.
    pub fn new(pixels: Vec<f32>, labels: Vec<u8>, height: usize, width: usize) -> Result<Self, DataError> {
        let size = height * width;
        if size == 0 || !pixels.len().is_multiple_of(size) {
            return Err(DataError::Pixels { pixels: pixels.len(), height, width });
        }
        if pixels.len() / size != labels.len() {
            return Err(DataError::Count { images: pixels.len() / size, labels: labels.len() });
        }
        if let Some(at) = pixels.iter().position(|value| !value.is_finite()) {
            let (image, pixel) = (at / size, at % size);
            return Err(DataError::NotFinite { image, row: pixel / width, column: pixel % width, value: pixels[at] });
        }
        Ok(Self { pixels, labels, height, width })
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Rows of an image.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Columns of an image.
    pub fn width(&self) -> usize {
        self.width
    }

    /// One image, `[height, width]`, row-major.
    ///
    /// # Panics
    ///
    /// When there is no such image.
    pub fn image(&self, index: usize) -> &[f32] {
        let size = self.height * self.width;
        &self.pixels[index * size..(index + 1) * size]
    }

    /// The label of every image.
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }

    /// The images at `indices`, uploaded in that order, with their labels.
    ///
    /// # Shapes
    ///
    /// - images: `[indices.len(), 1, height, width]`
    /// - labels: `[indices.len()]`
    ///
    /// # Panics
    ///
    /// When an index is not below [`len`](Self::len).
    pub fn batch(&self, indices: &[usize], device: &Device) -> (Tensor<4>, Tensor<1, Int>) {
        let pixels: Vec<f32> = indices.iter().flat_map(|&index| self.image(index)).copied().collect();
        let labels: Vec<i32> = indices.iter().map(|&index| i32::from(self.labels[index])).collect();
        let shape = [indices.len(), 1, self.height, self.width];
        (
            Tensor::from_data(TensorData::new(pixels, shape), device),
            Tensor::from_data(TensorData::new(labels, [indices.len()]), device),
        )
    }
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

    #[cfg(feature = "flex")]
    #[test]
    fn a_batch_keeps_the_order_asked_for() {
        let images = Images::new((0..12u8).map(f32::from).collect(), vec![7, 8, 9], 2, 2).unwrap();
        let (pixels, labels) = images.batch(&[2, 0, 2], &Device::flex());
        assert_eq!(pixels.dims(), [3, 1, 2, 2]);
        let pixels: Vec<f32> = pixels.try_to_vec_as().unwrap();
        assert_eq!(pixels, [8., 9., 10., 11., 0., 1., 2., 3., 8., 9., 10., 11.]);
        assert_eq!(labels.try_to_vec_as::<i64>().unwrap(), [9, 7, 9]);
    }
}
