//! Images with their channels side by side, orbit members of a kind together.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::lanes::Lanes;
use crate::ops::flex::pool::Buffer;
use crate::ops::steerable_conv::orbits::ChannelOrbits;

/// Where the pixels of an image lie in a larger one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// Rows and columns of the larger image.
    pub size: [usize; 2],
    /// Rows and columns before the first pixel; less than none where pixels are cut off.
    pub margin: isize,
    /// Rows and columns from one pixel to the next.
    pub spacing: usize,
}

impl Frame {
    pub(super) fn pixels(&self) -> usize {
        self.size[0] * self.size[1]
    }

    /// The row or column of the image that lies at `place`, of `count`.
    fn source(&self, place: usize, count: usize) -> Option<usize> {
        let distance = usize::try_from(place as isize - self.margin).ok()?;
        (distance.is_multiple_of(self.spacing) && distance / self.spacing < count).then_some(distance / self.spacing)
    }

    /// Where row or column `i` lies, along side `side`.
    pub(super) fn place(&self, i: usize, side: usize) -> Option<usize> {
        let place = usize::try_from((i * self.spacing) as isize + self.margin).ok()?;
        (place < self.size[side]).then_some(place)
    }
}

/// For every packed channel: the channel of the feature map, and its sign.
pub(super) fn packed_channels<F: Lanes>(kinds: &[ChannelOrbits]) -> Vec<(usize, F)> {
    let sign = |minus: bool| F::from_f64(if minus { -1.0 } else { 1.0 });
    kinds.iter().flat_map(|kind| kind.channels.iter().flatten()).map(|&(c, minus)| (c, sign(minus))).collect()
}

/// Pixels and channels that change places at a time.
pub(super) const SQUARE: usize = 8;

/// `[batch, channels, height, width]` to `[batch, frame, packed channels]`, with zeros between and around.
pub(super) fn pack<F: Lanes>(
    image: &[F],
    [height, width]: [usize; 2],
    channels: &[(usize, F)],
    frame: Frame,
) -> Buffer {
    let count = channels.len();
    let batch = image.len() / (count * height * width);
    let mut packed = Buffer::any::<F>(batch * frame.pixels() * count);
    let rows = &mut packed.numbers_mut::<F>()[..batch * frame.pixels() * count];
    let columns: Vec<Option<usize>> = (0..width).map(|column| frame.place(column, 1)).collect();
    rows.par_chunks_mut(frame.size[1] * count).with_min_len(4).enumerate().for_each(|(line, to)| {
        let (sample, row) = (line / frame.size[0], line % frame.size[0]);
        let Some(row) = frame.source(row, height) else { return to.fill(F::zeroed()) };
        if frame.size[1] != width {
            to.fill(F::zeroed());
        }
        let from = &image[(sample * count * height + row) * width..];
        Arch::new().dispatch(Line {
            from,
            pixels: height * width,
            channels,
            columns: &columns,
            spacing: frame.spacing,
            to,
        });
    });
    packed
}

/// A line of an image.
struct Line<'a, F> {
    from: &'a [F],
    /// From one channel to the next.
    pixels: usize,
    channels: &'a [(usize, F)],
    /// Where the pixels go.
    columns: &'a [Option<usize>],
    spacing: usize,
    to: &'a mut [F],
}

impl<F: Lanes> WithSimd for Line<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { from, pixels, channels, columns, spacing, to } = self;
        let count = channels.len();
        for (block, channels) in channels.chunks(SQUARE).enumerate() {
            let first = block * SQUARE;
            for (columns, column) in columns.chunks(SQUARE).zip((0..).step_by(SQUARE)) {
                if let [Some(left), .., Some(_)] = columns
                    && columns.len() == SQUARE
                    && channels.len() == SQUARE
                {
                    let mut square = [[F::zeroed(); SQUARE]; SQUARE];
                    for (numbers, &(channel, sign)) in square.iter_mut().zip(channels) {
                        let line = &from[channel * pixels + column..][..SQUARE];
                        for (number, &pixel) in numbers.iter_mut().zip(line) {
                            *number = pixel * sign;
                        }
                    }
                    for (pixel, numbers) in transposed(square).iter().enumerate() {
                        to[(left + pixel * spacing) * count + first..][..SQUARE].copy_from_slice(numbers);
                    }
                } else {
                    for (pixel, place) in columns.iter().enumerate() {
                        let Some(place) = place else { continue };
                        for (to, &(channel, sign)) in to[place * count + first..].iter_mut().zip(channels) {
                            *to = from[channel * pixels + column + pixel] * sign;
                        }
                    }
                }
            }
        }
    }
}

/// Rows for columns, in registers.
#[inline(always)]
pub(super) fn transposed<F: Lanes, const N: usize>(square: [[F; N]; N]) -> [[F; N]; N] {
    let mut turned = [[F::zeroed(); N]; N];
    for (i, row) in square.iter().enumerate() {
        for (j, &number) in row.iter().enumerate() {
            turned[j][i] = number;
        }
    }
    turned
}
