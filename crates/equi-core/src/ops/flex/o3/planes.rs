//! Rows of irreps with their components apart: `[copies, 2 l + 1]`, as they come, as `[2 l + 1, copies]`, along which kernels run.

use std::mem::MaybeUninit;
use std::ops::Range;

use crate::ops::flex::float::Float;
use crate::ops::o3::Block;

/// Where the components of rows are when they are apart.
pub(super) struct Planes {
    pub blocks: Vec<Plane>,
    /// Numbers of a row.
    pub size: usize,
}

/// The components of a block. Rows of copies are filled up to a multiple of the width of a kernel.
#[derive(Clone, Copy)]
pub(super) struct Plane {
    /// The first column of the block in the row.
    start: usize,
    pub copies: usize,
    pub components: usize,
    /// Where its first component begins.
    pub place: usize,
    /// How far apart components are.
    pub stride: usize,
}

impl Planes {
    pub fn new(blocks: &[Block], width: usize) -> Self {
        let mut size = 0;
        let plane = |&Block { start, copies, components }: &Block| {
            let plane = Plane { start, copies, components, place: size, stride: copies.next_multiple_of(width) };
            size = plane.numbers().end;
            plane
        };
        let blocks = blocks.iter().map(plane).collect();
        Self { blocks, size }
    }

    /// Takes the components of a row apart. What fills up the rows of copies is left as it is.
    #[inline(always)]
    pub fn spread<F: Float>(&self, row: &[F], planes: &mut [F]) {
        for plane in &self.blocks {
            plane.spread(row, &mut planes[plane.numbers()]);
        }
    }

    /// The way back.
    #[inline(always)]
    pub fn collect<F: Float>(&self, planes: &[F], row: &mut [MaybeUninit<F>]) {
        for plane in &self.blocks {
            plane.collect(&planes[plane.numbers()], row);
        }
    }
}

impl Plane {
    /// Where its numbers are when components are apart.
    pub fn numbers(&self) -> Range<usize> {
        self.place..self.place + self.components * self.stride
    }

    /// Takes the components of its part of a row apart.
    #[inline(always)]
    pub fn spread<F: Float>(&self, row: &[F], planes: &mut [F]) {
        let row = &row[self.start..][..self.copies * self.components];
        match self.components {
            1 => planes[..self.copies].copy_from_slice(row),
            3 => spread::<F, 3>(row, planes, self),
            5 => spread::<F, 5>(row, planes, self),
            7 => spread::<F, 7>(row, planes, self),
            9 => spread::<F, 9>(row, planes, self),
            components => {
                for (copy, row) in row.chunks_exact(components).enumerate() {
                    for (component, &number) in row.iter().enumerate() {
                        planes[component * self.stride + copy] = number;
                    }
                }
            }
        }
    }

    /// The way back.
    #[inline(always)]
    pub fn collect<F: Float>(&self, planes: &[F], row: &mut [MaybeUninit<F>]) {
        let row = &mut row[self.start..][..self.copies * self.components];
        match self.components {
            1 => {
                row.write_copy_of_slice(&planes[..self.copies]);
            }
            3 => collect::<F, 3>(planes, row, self),
            5 => collect::<F, 5>(planes, row, self),
            7 => collect::<F, 7>(planes, row, self),
            9 => collect::<F, 9>(planes, row, self),
            components => {
                for (copy, row) in row.chunks_exact_mut(components).enumerate() {
                    for (component, number) in row.iter_mut().enumerate() {
                        number.write(planes[component * self.stride + copy]);
                    }
                }
            }
        }
    }
}

#[inline(always)]
#[allow(unsafe_code)] // With checks of every place the compiler finds no vectors.
fn spread<F: Float, const D: usize>(row: &[F], planes: &mut [F], &Plane { copies, stride, .. }: &Plane) {
    assert!(copies <= stride && planes.len() == D * stride && row.len() == D * copies, "there is a place for all");
    for copy in 0..copies {
        for component in 0..D {
            // SAFETY: `copy < copies <= stride` and `component < D`, and the slices are as long as asserted.
            unsafe {
                *planes.get_unchecked_mut(component * stride + copy) = *row.get_unchecked(copy * D + component);
            }
        }
    }
}

#[inline(always)]
#[allow(unsafe_code)] // As in `spread`.
fn collect<F: Float, const D: usize>(planes: &[F], row: &mut [MaybeUninit<F>], &Plane { copies, stride, .. }: &Plane) {
    assert!(copies <= stride && planes.len() == D * stride && row.len() == D * copies, "there is a place for all");
    for copy in 0..copies {
        for component in 0..D {
            // SAFETY: as in `spread`.
            unsafe {
                row.get_unchecked_mut(copy * D + component).write(*planes.get_unchecked(component * stride + copy));
            }
        }
    }
}
