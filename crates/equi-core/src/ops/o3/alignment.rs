//! Couplings with spherical harmonics, in the frame where their vector is the polar axis.
//!
//! There only the component 0 of a harmonic is not zero, so a path has no other coefficients than `C_i0k`, and these join a component of order `m` to those of
//! orders `m` and `-m`. They commute with rotations about the axis. With `x_m = (x_m, x_-m)` for `m >= 0` as complex numbers, a path multiplies:
//!
//! ```text
//! z_m = f_m x_m  where l1 + l2 + l3 is even        z_m = -i f_m x_m  where it is odd         m = 0, ..., min(l1, l3)
//! ```
//!
//! Paths between the same two blocks add up before they multiply, and a block of the output is turned back once, whatever the number of paths to it.
//!
//! Passaro and Zitnick: Reducing SO(3) convolutions to SO(2) for efficient equivariant GNNs, ICML 2023.

use std::sync::Arc;

use super::couplings::{Block, Path};
use super::{Couplings, HarmonicRecursion};
use crate::error::{Error, Result};
use crate::o3::SphericalHarmonics;

/// How [`harmonic_messages`](super::harmonic_messages) is computed on flex.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageForm {
    /// A matrix `[2 l1 + 1, 2 l3 + 1]` for every path of an edge.
    Direct,
    /// In the frame where the edge is the polar axis.
    Aligned,
}

/// Couplings whose second input is the spherical harmonics of a vector, for [`harmonic_messages`](super::harmonic_messages).
#[derive(Clone, Debug, PartialEq)]
pub struct HarmonicCouplings {
    couplings: Arc<Couplings>,
    recursion: Arc<HarmonicRecursion>,
    form: MessageForm,
    /// Paths of harmonics of degree 0, which multiply by a number in any frame.
    pub(in crate::ops) straight: Vec<Straight>,
    /// The other paths by the blocks that they join, in the order of the output; of those to a block, one with the highest order first.
    pub(in crate::ops) groups: Vec<Group>,
}

/// A path that multiplies by a number.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::ops) struct Straight {
    pub path: usize,
    pub factor: f64,
}

/// Paths from one block of features to one of the output.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::ops) struct Group {
    pub first: usize,
    pub out: usize,
    /// How many orders they join, `min(l1, l3) + 1`.
    pub orders: usize,
    /// Those that join an order to itself, and those that join it to its opposite.
    pub even: Vec<AlignedPath>,
    pub odd: Vec<AlignedPath>,
}

/// A path in the frame of its vector.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::ops) struct AlignedPath {
    pub path: usize,
    /// `l2`
    pub degree: usize,
    /// `f_m` for unit vectors, order by order from 0.
    pub factors: Vec<f64>,
}

impl HarmonicCouplings {
    /// The couplings of [`Couplings::uvu`] with these harmonics, in the form that costs less.
    ///
    /// # Errors
    /// [`Error::NotHarmonics`] unless the second input has one copy of each degree of the harmonics, in their order.
    pub fn new(couplings: Arc<Couplings>, harmonics: &SphericalHarmonics) -> Result<Self> {
        let second: Vec<&Block> = couplings.second.iter().filter(|block| block.copies > 0).collect();
        let matches = |(block, l): (&&Block, &usize)| block.copies == 1 && block.components == 2 * l + 1;
        let degrees = harmonics.degrees();
        if couplings.mixed() || second.len() != degrees.len() || !second.iter().zip(degrees).all(matches) {
            return Err(Error::NotHarmonics { degrees: degrees.to_vec() });
        }
        let recursion = Arc::new(HarmonicRecursion::new(harmonics));
        let (mut straight, mut groups) = (Vec::new(), Vec::<Group>::new());
        for (number, path) in couplings.paths.iter().enumerate() {
            let [l1, l2, l3] = degrees_of(&couplings, path);
            let pole = recursion.pole(l2);
            let at = |i: usize, k: usize| pole * path.coefficients[(i * (2 * l2 + 1) + l2) * (2 * l3 + 1) + k];
            if l2 == 0 {
                straight.push(Straight { path: number, factor: at(0, 0) });
                continue;
            }
            let (first, out, orders) = (path.first, path.out, l1.min(l3) + 1);
            let known = groups.iter().position(|group| (group.first, group.out) == (first, out));
            let place = known.unwrap_or_else(|| {
                groups.push(Group { first, out, orders, even: vec![], odd: vec![] });
                groups.len() - 1
            });
            let even = (l1 + l2 + l3).is_multiple_of(2);
            let factor = |m: usize| if even { at(l1 + m, l3 + m) } else { at(l1 - m, l3 + m) };
            let aligned = AlignedPath { path: number, degree: l2, factors: (0..orders).map(factor).collect() };
            if even { &mut groups[place].even } else { &mut groups[place].odd }.push(aligned);
        }
        // Of those to a block, one with all its orders first.
        groups.sort_by_key(|group| (group.out, std::cmp::Reverse(group.orders)));
        let mut all = Self { couplings, recursion, form: MessageForm::Direct, straight, groups };
        let [direct, aligned] = [MessageForm::Direct, MessageForm::Aligned].map(|form| all.cost(form));
        if aligned < direct {
            all.form = MessageForm::Aligned;
        }
        Ok(all)
    }

    /// The same in another form.
    pub fn with_form(mut self, form: MessageForm) -> Self {
        self.form = form;
        self
    }

    /// The form it takes on flex.
    pub fn form(&self) -> MessageForm {
        self.form
    }

    /// The couplings.
    pub fn couplings(&self) -> &Arc<Couplings> {
        &self.couplings
    }

    /// The harmonics.
    pub fn recursion(&self) -> &Arc<HarmonicRecursion> {
        &self.recursion
    }

    /// What an edge costs in a form, in multiplications of a matrix whose size is known to the compiler.
    ///
    /// Directly, a path makes its matrix, and takes it and its weight to every copy; beyond degree 3, where loops are not unrolled, four such multiplications take as
    /// long as five. Aligned, the frame has its matrices, and every copy is turned, block by block that paths begin or end at, and multiplied by the
    /// sums of the factors of the paths, order by order. What lies between these steps is written and read, so two multiplications take as long as three, and
    /// a path costs ten more for every copy.
    pub fn cost(&self, form: MessageForm) -> usize {
        let Couplings { first, out, paths, .. } = &*self.couplings;
        let straight = self.straight.iter().map(|Straight { path, .. }| 2 * first[paths[*path].first].columns().len());
        let straight = straight.sum::<usize>();
        if form == MessageForm::Direct {
            let others = paths.iter().filter(|path| degrees_of(&self.couplings, path)[1] > 0);
            let others = others.map(|path| {
                let [d1, d2, d3] = degrees_of(&self.couplings, path).map(|l| 2 * l + 1);
                let multiplications = d1 * d2 * d3 + out[path.out].copies * d3 * (d1 + 1);
                if d1.max(d3) > 7 { multiplications * 5 / 4 } else { multiplications }
            });
            return others.sum::<usize>() + straight;
        }
        let turned = |blocks: &[Block], of: fn(&Group) -> usize| -> usize {
            let turn = |(place, block): (usize, &Block)| {
                let joined = self.groups.iter().filter(|group| of(group) == place);
                let l = block.components / 2;
                let orders = joined.map(|group| group.orders).max();
                orders.map_or(0, |orders| block.copies * ((l + 1) * orders + l * (orders - 1) + 4 * l))
            };
            blocks.iter().enumerate().map(turn).sum()
        };
        let coupled = self.groups.iter().map(|group| {
            let Group { even, odd, .. } = group;
            let products = [even, odd].iter().filter(|paths| !paths.is_empty()).count() * (2 * group.orders - 1);
            first[group.first].copies * ((even.len() + odd.len()) * group.orders + products)
        });
        let ends = self.groups.iter().flat_map(|group| [first[group.first], out[group.out]]);
        let mut degrees: Vec<usize> = ends.map(|block| block.components / 2).collect();
        degrees.sort_unstable();
        degrees.dedup();
        let frame: usize = degrees.into_iter().map(|l| 2 * (l + 1).pow(3)).sum();
        let between = self.groups.iter().map(|group| first[group.first].copies * (group.even.len() + group.odd.len()));
        let turned = turned(first, |group| group.first) + turned(out, |group| group.out);
        (frame + turned + coupled.sum::<usize>()) * 3 / 2 + 10 * between.sum::<usize>() + straight
    }
}

/// `l1`, `l2`, `l3`.
fn degrees_of(couplings: &Couplings, path: &Path) -> [usize; 3] {
    let blocks = [&couplings.first[path.first], &couplings.second[path.second], &couplings.out[path.out]];
    blocks.map(|block| block.components / 2)
}

impl HarmonicRecursion {
    /// The harmonic of degree `l` and order 0 of the unit vector along the polar axis; all others are zero.
    fn pole(&self, l: usize) -> f64 {
        let (mut before, mut last) = (self.first[0], self.first[1]);
        if l == 0 {
            return before;
        }
        for l in 2..=l {
            (before, last) = (last, self.rise[l - 2][l - 1] * last - self.lower[l - 2][l - 2] * before);
        }
        last
    }
}
