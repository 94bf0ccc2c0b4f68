//! Laws of O(3).

use equi_core::o3::{Irrep, Irreps, MulIrrep, Parity};
use proptest::prelude::*;

fn any_irreps() -> impl Strategy<Value = Irreps> {
    let parity = prop_oneof![Just(Parity::Even), Just(Parity::Odd)];
    let block = (0..5usize, 0..4usize, parity).prop_map(|(mul, l, parity)| MulIrrep::new(mul, Irrep::new(l, parity)));
    proptest::collection::vec(block, 0..7).prop_map(Irreps::new)
}

proptest! {
    #[test]
    fn irreps_are_read_as_they_are_written(irreps in any_irreps()) {
        let text = irreps.to_string();
        prop_assert_eq!(&Irreps::parse(&text).unwrap(), &irreps);
        let spaced = text.replace('+', " + ").replace('x', " x ");
        prop_assert_eq!(&Irreps::parse(&spaced).unwrap(), &irreps);
        let json = serde_json::to_string(&irreps).unwrap();
        prop_assert_eq!(&json, &format!("\"{text}\""));
        prop_assert_eq!(serde_json::from_str::<Irreps>(&json).unwrap(), irreps);
    }

    #[test]
    fn any_text_is_read_or_refused_at_a_character(text in "[0-9xeoy+ f]{0,9}") {
        match Irreps::parse(&text) {
            Ok(irreps) => prop_assert_eq!(Irreps::parse(&irreps.to_string()).unwrap(), irreps),
            Err(equi_core::Error::IrrepsSyntax { at, .. }) => prop_assert!(at <= text.len()),
            Err(other) => prop_assert!(false, "{}", other),
        }
    }

    #[test]
    fn sorting_keeps_what_it_moves(irreps in any_irreps()) {
        let sorted = irreps.sort();
        let blocks = sorted.irreps.blocks();
        prop_assert!(blocks.is_sorted_by_key(|block| block.irrep));
        for (old, &new) in sorted.permutation.iter().enumerate() {
            prop_assert_eq!(blocks[new], irreps.blocks()[old]);
            prop_assert_eq!(sorted.inverse[new], old);
        }
        prop_assert!(sorted.inverse.windows(2).all(|p| blocks[sorted.permutation[p[0]]].irrep != blocks[sorted.permutation[p[1]]].irrep || p[0] < p[1]));
    }

    #[test]
    fn regrouped_irreps_count_the_same(irreps in any_irreps()) {
        let regrouped = irreps.regroup();
        prop_assert!(regrouped.blocks().windows(2).all(|pair| pair[0].irrep < pair[1].irrep));
        prop_assert!(regrouped.blocks().iter().all(|block| irreps.count(block.irrep) == block.mul && block.mul > 0));
        prop_assert_eq!((regrouped.dim(), regrouped.copies(), regrouped.lmax()), (irreps.dim(), irreps.copies(), irreps.lmax()));
    }

    #[test]
    fn columns_follow_one_another(irreps in any_irreps()) {
        let slices = irreps.slices();
        let widths: usize = slices.iter().map(ExactSizeIterator::len).sum();
        prop_assert_eq!(widths, irreps.dim());
        prop_assert!(slices.windows(2).all(|pair| pair[0].end == pair[1].start));
    }
}
