//! Permutations of the nodes of a graph.

use rand::Rng;
use rand::seq::SliceRandom;
use std::fmt;
use std::ops::Mul;

use crate::error::{Error, Result};

/// An element of `S_n`, which takes node `i` to place `image(i)`. The product is composition, `(a b)(i) = a(b(i))`.
///
/// Rows move by [`crate::action::space::permute`]; an edge from `i` to `j` becomes one from `image(i)` to `image(j)`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Permutation {
    images: Vec<usize>,
}

impl Permutation {
    /// Takes node `i` to place `images[i]`.
    ///
    /// # Errors
    /// [`Error::NotAPermutation`] if the images are not `0, 1, ..., n - 1` in some order.
    pub fn new(images: Vec<usize>) -> Result<Self> {
        let mut seen = vec![false; images.len()];
        for (node, &image) in images.iter().enumerate() {
            match seen.get_mut(image) {
                Some(seen) if !*seen => *seen = true,
                _ => return Err(Error::NotAPermutation { node, image, nodes: images.len() }),
            }
        }
        Ok(Self { images })
    }

    /// Leaves `nodes` nodes where they are.
    pub fn identity(nodes: usize) -> Self {
        Self { images: (0..nodes).collect() }
    }

    /// Uniform in `S_n`.
    pub fn random(nodes: usize, rng: &mut (impl Rng + ?Sized)) -> Self {
        Self::random_within(&[nodes], rng)
    }

    /// Moves the nodes of every graph of a batch among themselves, uniformly; `sizes` are the numbers of nodes of the graphs.
    pub fn random_within(sizes: &[usize], rng: &mut (impl Rng + ?Sized)) -> Self {
        let mut permutation = Self::identity(sizes.iter().sum());
        let mut rest = permutation.images.as_mut_slice();
        for &size in sizes {
            let (graph, others) = rest.split_at_mut(size);
            graph.shuffle(rng);
            rest = others;
        }
        permutation
    }

    /// The number of nodes.
    pub fn nodes(&self) -> usize {
        self.images.len()
    }

    /// Where node `node` goes.
    ///
    /// # Panics
    /// If there is no such node.
    pub fn image(&self, node: usize) -> usize {
        self.images[node]
    }

    /// Where every node goes.
    pub fn images(&self) -> &[usize] {
        &self.images
    }

    /// The permutation that undoes this one.
    pub fn inverse(&self) -> Self {
        let mut images = vec![0; self.nodes()];
        for (node, &image) in self.images.iter().enumerate() {
            images[image] = node;
        }
        Self { images }
    }
}

impl Mul for &Permutation {
    type Output = Permutation;

    /// First `other`, then `self`.
    ///
    /// # Panics
    /// If they permute different numbers of nodes.
    fn mul(self, other: Self) -> Permutation {
        let (left, right) = (self.nodes(), other.nodes());
        assert_eq!(left, right, "a permutation of {left} nodes cannot follow one of {right} nodes");
        Permutation { images: other.images.iter().map(|&image| self.images[image]).collect() }
    }
}

impl fmt::Display for Permutation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moved = self.images.iter().enumerate().filter(|(node, image)| node != *image).count();
        write!(f, "permutation that moves {moved} of {} nodes", self.nodes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn what_is_no_permutation_is_refused() {
        assert_eq!(Permutation::new(vec![0, 2]), Err(Error::NotAPermutation { node: 1, image: 2, nodes: 2 }));
        let twice = Permutation::new(vec![1, 0, 1]).unwrap_err();
        assert!(twice.to_string().contains("node 2") && twice.to_string().contains("place 1"), "{twice}");
        assert_eq!(Permutation::new(Vec::new()), Ok(Permutation::identity(0)));
    }

    #[test]
    fn an_inverse_undoes_and_products_compose() {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        for nodes in 0..9 {
            let [a, b] = [(); 2].map(|()| Permutation::random(nodes, &mut rng));
            assert_eq!(&a * &a.inverse(), Permutation::identity(nodes));
            assert!((0..nodes).all(|i| (&a * &b).image(i) == a.image(b.image(i))));
        }
    }

    #[test]
    fn graphs_of_a_batch_keep_their_nodes() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let permutation = Permutation::random_within(&[4, 0, 1, 6], &mut rng);
        assert_eq!(permutation.nodes(), 11);
        assert!((0..4).all(|i| permutation.image(i) < 4) && permutation.image(4) == 4);
        assert!((5..11).all(|i| permutation.image(i) > 4));
        assert_eq!(Permutation::new(permutation.images().to_vec()), Ok(permutation));
    }

    #[test]
    fn all_permutations_are_equally_likely() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let (draws, mut counts) = (12_000, std::collections::HashMap::new());
        for _ in 0..draws {
            *counts.entry(Permutation::random(4, &mut rng)).or_insert(0.0) += 1.0;
        }
        let expected = f64::from(draws) / 24.0;
        let chi_squared: f64 = counts.values().map(|count: &f64| (count - expected).powi(2) / expected).sum();
        // 23 degrees of freedom: above 49.7 once in a thousand seeds.
        assert!(counts.len() == 24 && chi_squared < 49.7, "{chi_squared}");
    }

    #[test]
    fn display_counts_what_moves() {
        assert_eq!(Permutation::new(vec![1, 0, 2]).unwrap().to_string(), "permutation that moves 2 of 3 nodes");
    }
}
