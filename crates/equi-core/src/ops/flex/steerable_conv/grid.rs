//! The pixels that a convolution is computed at, and images as it reads them.

use super::lanes::Lanes;
use super::pack::{Frame, pack};
use super::planes::{Planes, pack_planes};
use crate::ops::flex::pool::Buffer;
use crate::ops::steerable_conv::plan::Side;

/// Pixels of a row that fill halves of the largest vectors.
pub(super) fn row<F: Lanes>(width: usize) -> usize {
    width.next_multiple_of(F::MOST / 2)
}

/// The pixels that a convolution is computed at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    /// Rows and columns of the output.
    pub size: [usize; 2],
    /// Rows and columns of the frame from one pixel to the next.
    pub stride: usize,
    /// And from one point of the kernel to the next.
    pub dilation: usize,
    /// The frame of the packed input.
    pub frame: Frame,
    /// What lies side by side in a vector.
    pub side: Side,
    /// Pixels of a row; where pixels lie side by side, with some beyond its end that make up (halves of) vectors.
    pub row: usize,
}

impl Grid {
    pub(super) fn new<F: Lanes>(side: Side, size: [usize; 2], stride: usize, dilation: usize, frame: Frame) -> Self {
        let row = if side == Side::Pixels { row::<F>(size[1]) } else { size[1] };
        Self { size, stride, dilation, frame, side, row }
    }

    /// Of a sample, those beyond the ends of rows included.
    pub(super) fn pixels(&self) -> usize {
        self.size[0] * self.row
    }

    /// Whether rows are made up of halves of the largest vectors.
    pub(super) fn halves<F: Lanes>(&self) -> bool {
        self.side == Side::Pixels && !self.row.is_multiple_of(F::MOST)
    }

    fn planes(&self) -> Planes {
        Planes { frame: self.frame, stride: self.stride }
    }

    /// Numbers of a channel of a packed sample.
    pub(super) fn packed(&self) -> usize {
        match self.side {
            Side::Channels => self.frame.pixels(),
            Side::Pixels => self.planes().numbers(),
        }
    }

    /// The packed images of `channels`.
    pub(super) fn pack<F: Lanes>(&self, image: &[F], size: [usize; 2], channels: &[(usize, F)]) -> Buffer {
        match self.side {
            Side::Channels => pack(image, size, channels, self.frame),
            Side::Pixels => pack_planes(image, size, channels, self.planes()),
        }
    }

    /// A frame with a place for every pixel.
    pub(super) fn cotangent_frame(&self) -> Frame {
        Frame { size: [self.size[0], self.row], margin: 0, spacing: 1 }
    }

    /// From one orbit of channels to the next in a packed image.
    pub(super) fn channel_step(&self) -> usize {
        if self.side == Side::Channels { 1 } else { self.planes().numbers() }
    }

    /// From the patch of a pixel to its number of a point of the kernel.
    pub(super) fn point(&self, channels: usize, [row, column]: [usize; 2], channel: usize) -> usize {
        let [row, column] = [row * self.dilation, column * self.dilation];
        match self.side {
            Side::Channels => (row * self.frame.size[1] + column) * channels + channel,
            Side::Pixels => {
                let planes = self.planes();
                channel * planes.numbers() + row * planes.row() + planes.column(column)
            }
        }
    }

    /// The first number of the patch of a pixel.
    pub(super) fn patch(&self, pixel: usize, channels: usize) -> usize {
        let (sample, row, column) = (pixel / self.pixels(), pixel / self.row % self.size[0], pixel % self.row);
        match self.side {
            Side::Channels => {
                (sample * self.frame.pixels() + (row * self.frame.size[1] + column) * self.stride) * channels
            }
            Side::Pixels => {
                let planes = self.planes();
                sample * channels * planes.numbers() + row * self.stride * planes.row() + column
            }
        }
    }
}
