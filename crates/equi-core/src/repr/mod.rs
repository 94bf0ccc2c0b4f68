//! Representations: how the channels of a field mix when the plane turns.

mod construct;
mod decompose;
mod induced;
mod irrep;
mod spectral;
mod tensor_product;

pub use irrep::Irrep;
pub use spectral::FourierGrid;
pub(crate) use tensor_product::clebsch_gordan;

use nalgebra::DMatrix;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::group::{Element, Group};

/// What pointwise and other non-linearities a representation allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Basis {
    /// Elements permute the channels: any pointwise function commutes with the action, and a maximum over the channels is
    /// invariant.
    Permutation,
    /// Only norms over the whole field are invariant.
    Orthogonal,
}

/// An orthogonal representation `rho(g) = Q (rho_1(g) (+) ... (+) rho_m(g)) Q^T` of a planar group.
///
/// Cheap to clone. Two representations are equal when group, name, irreps and change of basis are.
#[derive(Clone)]
pub struct Representation(Arc<Inner>);

struct Inner {
    group: Group,
    name: String,
    irreps: Vec<Irrep>,
    change_of_basis: DMatrix<f64>,
    basis: Basis,
}

impl Representation {
    fn new(group: Group, name: String, irreps: Vec<Irrep>, change_of_basis: DMatrix<f64>) -> Self {
        let mut this = Inner { group, name, irreps, change_of_basis, basis: Basis::Orthogonal };
        this.basis = this.find_basis();
        Self(Arc::new(this))
    }

    /// The group that acts.
    pub fn group(&self) -> Group {
        self.0.group
    }

    /// escnn's name, for example `regular` or `irrep_1,2`; weights are ordered by it.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Dimension: the number of channels of a field.
    pub fn size(&self) -> usize {
        self.0.change_of_basis.nrows()
    }

    /// The irreps it contains, in the order of the blocks.
    pub fn irreps(&self) -> &[Irrep] {
        &self.0.irreps
    }

    /// The orthogonal matrix `Q` from the irreps to the channels.
    pub fn change_of_basis(&self) -> &DMatrix<f64> {
        &self.0.change_of_basis
    }

    /// Whether elements permute the channels or only rotate them.
    pub fn basis(&self) -> Basis {
        self.0.basis
    }

    /// Whether every element acts as the identity.
    pub fn is_trivial(&self) -> bool {
        self.0.irreps.iter().all(|i| i.is_trivial())
    }

    /// The matrix of an element, `[size, size]`.
    pub fn at(&self, g: &Element) -> DMatrix<f64> {
        self.0.at(g)
    }

    /// The first channel of each irrep, in the order of the blocks, with the irrep.
    pub(crate) fn irrep_offsets(&self) -> impl Iterator<Item = (usize, Irrep)> + '_ {
        let group = self.group();
        self.irreps().iter().scan(0, move |at, &irrep| {
            let start = *at;
            *at += irrep.size(group);
            Some((start, irrep))
        })
    }

    /// The columns of the change of basis that carry trivial irreps: the directions that stay fixed, `size x trivials`.
    pub fn invariants(&self) -> DMatrix<f64> {
        let columns: Vec<usize> =
            self.irrep_offsets().filter(|(_, irrep)| irrep.is_trivial()).map(|(at, _)| at).collect();
        self.change_of_basis().select_columns(&columns)
    }
}

impl Inner {
    fn at(&self, g: &Element) -> DMatrix<f64> {
        let size = self.change_of_basis.nrows();
        // (+) rho_i(g) Q^T, block by block, then Q times it.
        let mut blocks = DMatrix::zeros(size, size);
        let mut start = 0;
        for irrep in &self.irreps {
            let rho = irrep.at(self.group, g);
            let d = rho.nrows();
            let rows = rho * self.change_of_basis.columns(start, d).transpose();
            blocks.rows_mut(start, d).copy_from(&rows);
            start += d;
        }
        &self.change_of_basis * blocks
    }

    fn find_basis(&self) -> Basis {
        let generators = match self.group.rotations() {
            Some(n) => vec![Element::turn(1, n), Element::FLIP],
            // A continuous group permutes channels only by leaving them alone.
            None => vec![Element::radians(1.0), Element::FLIP],
        };
        let permutes = generators
            .iter()
            .filter(|g| self.group.has_flips() || !g.is_flip())
            .all(|g| self.at(g).iter().all(|&entry| entry.abs() < 1e-9 || (entry - 1.0).abs() < 1e-9));
        if permutes { Basis::Permutation } else { Basis::Orthogonal }
    }
}

impl PartialEq for Representation {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
            || (self.group() == other.group()
                && self.name() == other.name()
                && self.irreps() == other.irreps()
                && self.change_of_basis() == other.change_of_basis())
    }
}

impl Eq for Representation {}

impl Hash for Representation {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.group().hash(state);
        self.name().hash(state);
        self.irreps().hash(state);
    }
}

impl fmt::Display for Representation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name() == "regular" {
            write!(f, "regular[{}]", self.group())
        } else if self.irreps().len() == 1 && self.is_trivial() {
            write!(f, "trivial")
        } else {
            write!(f, "{}", self.name())
        }
    }
}

impl fmt::Debug for Representation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} of {}", self.group())
    }
}
