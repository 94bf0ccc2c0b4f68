//! Irreps of tensors with index symmetries.
//!
//! The tensor product of representations is decomposed index by index with Clebsch-Gordan coefficients, which gives orthonormal
//! copies `B_1, ..., B_n` of every irrep. Exchanging indices commutes with O(3), so by Schur's lemma the projector `S` onto the
//! symmetric tensors only mixes the copies, `(B_a)^T S B_b = M_ab`, and what is symmetric are the copies in the range of `M`.

use nalgebra::{DMatrix, DVector};
use std::collections::{BTreeMap, BTreeSet};

use super::{Irrep, Irreps, wigner_3j};
use crate::error::{Error, Result};

/// An orthonormal basis of the tensors `T_ij...` with index symmetries, made of irreps: its rows transform as [`irreps_out`],
/// `Q (D_i x D_j x ...) = D_out Q`.
///
/// [`irreps_out`]: Self::irreps_out
///
/// ```
/// use equi_core::o3::{Irreps, ReducedTensorProducts};
///
/// // Stresses are symmetric matrices: a trace, and five numbers more.
/// let stress = ReducedTensorProducts::new("ij=ji", &[('i', Irreps::parse("1o")?)])?;
/// assert_eq!(stress.irreps_out().to_string(), "1x0e+1x2e");
/// # Ok::<(), equi_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ReducedTensorProducts {
    irreps_in: Vec<Irreps>,
    irreps_out: Irreps,
    basis: DMatrix<f64>,
}

/// Copies of an irrep in a tensor product, each `[2 l + 1, dim of the product]`.
type Copies = BTreeMap<Irrep, Vec<DMatrix<f64>>>;

/// Permutations of the indices: for each place of the first term, where its index is; and whether the sign changes.
type Symmetries = BTreeSet<(Vec<usize>, bool)>;

impl ReducedTensorProducts {
    /// Of a formula such as `ij=ji` (symmetric), `ij=-ji` (antisymmetric) or `ijk=jki=-jik`: every term names the same indices,
    /// one letter each. Irreps are given for each index, or for one of those that the formula exchanges.
    ///
    /// # Errors
    /// [`Error::InvalidFormula`] if the terms have other indices than the first, an index has no irreps, or indices that are
    /// exchanged have different ones; [`Error::DegreesTooHigh`].
    pub fn new(formula: &str, irreps: &[(char, Irreps)]) -> Result<Self> {
        let (indices, symmetries) = parse(formula)?;
        let symmetries = generated(symmetries);
        let irreps_in = assign(formula, &indices, &symmetries, irreps)?;
        let dims: Vec<usize> = irreps_in.iter().map(Irreps::dim).collect();
        let sources: Vec<(Vec<usize>, f64)> =
            symmetries.iter().map(|(order, odd)| (sources(&dims, order), if *odd { -1.0 } else { 1.0 })).collect();
        let symmetrise = |copy: &DMatrix<f64>| {
            let average = |row: usize, column: usize| {
                sources.iter().map(|(from, sign)| sign * copy[(row, from[column])]).sum::<f64>() / sources.len() as f64
            };
            DMatrix::from_fn(copy.nrows(), copy.ncols(), average)
        };

        let (mut blocks, mut rows) = (Vec::new(), Vec::new());
        for (irrep, copies) in decompose(&irreps_in)? {
            let symmetric: Vec<DMatrix<f64>> = copies.iter().map(symmetrise).collect();
            let mixing =
                DMatrix::from_fn(copies.len(), copies.len(), |a, b| copies[a].dot(&symmetric[b]) / irrep.dim() as f64);
            let combinations = range(mixing);
            blocks.push((combinations.len(), irrep));
            for weights in combinations {
                let parts = copies.iter().zip(&weights).map(|(copy, weight)| copy * *weight);
                rows.push(parts.sum::<DMatrix<f64>>());
            }
        }
        let irreps_out = blocks.into_iter().collect::<Irreps>().remove_zero();
        let mut basis = DMatrix::zeros(irreps_out.dim(), dims.iter().product());
        let mut start = 0;
        for copy in rows {
            basis.rows_mut(start, copy.nrows()).copy_from(&copy);
            start += copy.nrows();
        }
        Ok(Self { irreps_in, irreps_out, basis })
    }

    /// The irreps of every index.
    pub fn irreps_in(&self) -> &[Irreps] {
        &self.irreps_in
    }

    /// What the tensors consist of, sorted.
    pub fn irreps_out(&self) -> &Irreps {
        &self.irreps_out
    }

    /// The basis `Q`, `[irreps_out.dim(), product of the dimensions of the indices]`; the last index varies fastest. Its rows are
    /// orthonormal.
    pub fn change_of_basis(&self) -> &DMatrix<f64> {
        &self.basis
    }
}

/// The indices of the first term, and the permutations that the terms are.
fn parse(formula: &str) -> Result<(Vec<char>, Symmetries)> {
    let refuse = |message: String| Err(Error::InvalidFormula { formula: formula.to_owned(), message });
    let mut indices: Vec<char> = Vec::new();
    let mut symmetries = Symmetries::new();
    for term in formula.split('=').map(str::trim) {
        let (odd, letters) = match term.strip_prefix('-') {
            Some(letters) => (true, letters.trim()),
            None => (false, term),
        };
        let letters: Vec<char> = letters.chars().collect();
        if let Some(letter) = letters.iter().find(|letter| !letter.is_alphabetic()) {
            return refuse(format!("`{letter}` is not the letter of an index"));
        }
        if indices.is_empty() {
            indices.clone_from(&letters);
        }
        let places: Vec<usize> = indices.iter().filter_map(|i| letters.iter().position(|j| i == j)).collect();
        let distinct: BTreeSet<usize> = places.iter().copied().collect();
        if letters.is_empty() || letters.len() != indices.len() || distinct.len() != indices.len() {
            return refuse(format!("`{term}` must name each index of the first term once"));
        }
        if symmetries.is_empty() && odd {
            return refuse("the first term has no sign".to_owned());
        }
        symmetries.insert((places, odd));
    }
    Ok((indices, symmetries))
}

/// All products of permutations with signs.
fn generated(generators: Symmetries) -> Symmetries {
    let (mut group, mut new) = (generators.clone(), Vec::from_iter(generators.clone()));
    while let Some((order, odd)) = new.pop() {
        for (other, other_odd) in &generators {
            let product = (order.iter().map(|&place| other[place]).collect(), odd != *other_odd);
            if group.insert(product.clone()) {
                new.push(product);
            }
        }
    }
    group
}

/// The irreps of every index.
fn assign(formula: &str, indices: &[char], symmetries: &Symmetries, given: &[(char, Irreps)]) -> Result<Vec<Irreps>> {
    let refuse = |message: String| Err(Error::InvalidFormula { formula: formula.to_owned(), message });
    let mut assigned: Vec<Option<Irreps>> = vec![None; indices.len()];
    for (index, irreps) in given {
        let Some(place) = indices.iter().position(|other| other == index) else {
            return refuse(format!("it has no index `{index}`, for which irreps are given"));
        };
        for (order, _) in symmetries {
            match &assigned[order[place]] {
                Some(other) if other != irreps => {
                    let exchanged = indices[order[place]];
                    return refuse(format!(
                        "`{index}` with {irreps} cannot be exchanged with `{exchanged}`, which has {other}"
                    ));
                }
                _ => assigned[order[place]] = Some(irreps.clone()),
            }
        }
    }
    let missing = assigned.iter().position(Option::is_none);
    match missing {
        Some(place) => refuse(format!("no irreps are given for the index `{}`", indices[place])),
        None => Ok(assigned.into_iter().flatten().collect()),
    }
}

/// For each entry of a tensor, where the entry with exchanged indices is.
fn sources(dims: &[usize], order: &[usize]) -> Vec<usize> {
    let source = |mut entry: usize| {
        let mut index = vec![0; dims.len()];
        for (place, dim) in dims.iter().enumerate().rev() {
            index[place] = entry % dim;
            entry /= dim;
        }
        order.iter().zip(dims).fold(0, |at, (&place, dim)| at * dim + index[place])
    };
    (0..dims.iter().product()).map(source).collect()
}

/// Orthonormal copies of all irreps in a tensor product.
fn decompose(factors: &[Irreps]) -> Result<Copies> {
    let mut product = Copies::from([(Irrep::even(0), vec![DMatrix::identity(1, 1)])]);
    for factor in factors {
        let mut next = Copies::new();
        for (first, lower) in product.iter().flat_map(|(irrep, copies)| copies.iter().map(move |copy| (*irrep, copy))) {
            for (block, columns) in factor.blocks().iter().zip(factor.slices()) {
                for start in columns.step_by(block.irrep.dim()) {
                    for irrep in first.product(block.irrep) {
                        let copy = multiply(lower, [first.l, block.irrep.l, irrep.l], start, factor.dim())?;
                        next.entry(irrep).or_default().push(copy);
                    }
                }
            }
        }
        product = next;
    }
    Ok(product)
}

/// The part of degree `l3` of a copy of degree `l1`, times the components of degree `l2` that start at a column of `width`.
fn multiply(lower: &DMatrix<f64>, [l1, l2, l3]: [usize; 3], start: usize, width: usize) -> Result<DMatrix<f64>> {
    let dim = 2 * l3 + 1;
    let mut copy = DMatrix::zeros(dim, lower.ncols() * width);
    for (i, j, k, value) in wigner_3j(l1, l2, l3)?.nonzeros() {
        for (place, entry) in lower.row(i).iter().enumerate() {
            copy[(k, place * width + start + j)] += (dim as f64).sqrt() * value * entry;
        }
    }
    Ok(copy)
}

/// An orthonormal basis of the range of an orthogonal projector.
fn range(mut projector: DMatrix<f64>) -> Vec<DVector<f64>> {
    let mut basis = Vec::new();
    for _ in 0..projector.trace().round() as usize {
        let norms = projector.column_iter().map(|column| column.norm());
        let (longest, _) = norms.enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).expect("its trace is not zero");
        let vector = projector.column(longest).normalize();
        projector -= &vector * vector.transpose();
        basis.push(vector);
    }
    basis
}
