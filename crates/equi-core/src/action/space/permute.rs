//! The action of permutations on rows.

use burn::tensor::{Int, Tensor, TensorData};

use crate::group::Permutation;

/// Moves rows: row `i` of the input is row `g.image(i)` of the output.
///
/// # Shapes
/// - `x`, output: `[nodes, columns]`
///
/// # Panics
/// If there are not as many rows as the permutation has nodes.
pub fn permute(g: &Permutation, x: Tensor<2>) -> Tensor<2> {
    let (nodes, rows) = (g.nodes(), x.dims()[0]);
    assert_eq!(nodes, rows, "a permutation of {nodes} nodes cannot act on {rows} rows");
    if rows == 0 {
        return x;
    }
    // Row r of the output is row g^-1(r) of the input.
    let sources: Vec<i64> = g.inverse().images().iter().map(|&source| source as i64).collect();
    let sources = Tensor::<1, Int>::from_data(TensorData::new(sources, [rows]), &x.device().without_autodiff());
    x.select(0, sources)
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use burn::tensor::Device;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn rows_go_to_the_images_of_their_nodes() {
        let g = Permutation::new(vec![2, 0, 1]).unwrap();
        let moved = permute(&g, Tensor::from_data([[0.0, 0.5], [1.0, 1.5], [2.0, 2.5]], &Device::flex()));
        moved.into_data().assert_eq(&TensorData::from([[1.0, 1.5], [2.0, 2.5], [0.0, 0.5]]), false);
    }

    #[test]
    fn the_action_is_a_homomorphism() {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let x = Tensor::<1, Int>::arange(0..7, &Device::flex()).float().reshape([7, 1]);
        for _ in 0..20 {
            let [a, b] = [(); 2].map(|()| Permutation::random(7, &mut rng));
            let one_by_one = permute(&a, permute(&b, x.clone()));
            one_by_one.into_data().assert_eq(&permute(&(&a * &b), x.clone()).into_data(), true);
            permute(&a.inverse(), permute(&a, x.clone())).into_data().assert_eq(&x.to_data(), true);
        }
    }

    #[test]
    #[should_panic(expected = "a permutation of 2 nodes cannot act on 3 rows")]
    fn other_rows_are_refused() {
        permute(&Permutation::identity(2), Tensor::zeros([3, 1], &Device::flex()));
    }
}
