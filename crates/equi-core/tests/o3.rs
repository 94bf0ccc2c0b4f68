//! Laws of O(3).

use equi_core::group::Isometry;
use equi_core::o3::{
    Irrep, Irreps, MulIrrep, Parity, ReducedTensorProducts, SphericalHarmonics, so3_generators, wigner_3j, wigner_d,
};
use nalgebra::{DMatrix, DVector};
use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

fn any_irreps() -> impl Strategy<Value = Irreps> {
    let parity = prop_oneof![Just(Parity::Even), Just(Parity::Odd)];
    let block = (0..5usize, 0..4usize, parity).prop_map(|(mul, l, parity)| MulIrrep::new(mul, Irrep::new(l, parity)));
    proptest::collection::vec(block, 0..7).prop_map(Irreps::new)
}

/// In O(3).
fn any_isometry() -> impl Strategy<Value = Isometry> {
    any::<u64>().prop_map(|seed| Isometry::random_orthogonal(&mut ChaCha8Rng::seed_from_u64(seed)))
}

fn any_irrep() -> impl Strategy<Value = Irrep> {
    (0..=11usize, prop_oneof![Just(Parity::Even), Just(Parity::Odd)]).prop_map(|(l, parity)| Irrep::new(l, parity))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn matrices_are_orthogonal_and_multiply(irrep in any_irrep(), g in any_isometry(), h in any_isometry()) {
        let (a, b) = (irrep.matrix(&g), irrep.matrix(&h));
        prop_assert!((&a * a.transpose() - DMatrix::identity(irrep.dim(), irrep.dim())).amax() < 1e-12);
        prop_assert!((&a * &b - irrep.matrix(&(g * h))).amax() < 1e-12);
        prop_assert!((irrep.matrix(&g.inverse()) - a.transpose()).amax() < 1e-12);
    }

    #[test]
    fn harmonics_of_a_moved_point_are_the_moved_harmonics(g in any_isometry(), point in prop::array::uniform3(-2.0..2.0)) {
        for l in 0..=11 {
            for normalize in [true, false] {
                let harmonics = SphericalHarmonics::new([l]).with_normalize(normalize);
                let [here, there] = [point, g.act(point)].map(|p| DVector::from_vec(harmonics.at(p)));
                let moved = Irrep::spherical_harmonic(l).matrix(&g) * &here;
                prop_assert!((moved - there).amax() <= 1e-12 * here.amax(), "{l}");
            }
        }
    }

    #[test]
    fn products_of_irreps_are_irreps(g in any_isometry(), l1 in 0..=5usize, l2 in 0..=5usize, which in 0..=10usize) {
        let l3 = l1.abs_diff(l2) + which % (2 * l1.min(l2) + 1);
        let table = wigner_3j(l1, l2, l3).unwrap();
        // Parities that multiply to even.
        let [d1, d2, d3] = [l1, l2, l3].map(|l| Irrep::even(l).matrix(&g));
        let [n1, n2, n3] = [l1, l2, l3].map(|l| 2 * l + 1);
        for (i, j, k) in (0..n1 * n2 * n3).map(|n| (n / (n2 * n3), n / n3 % n2, n % n3)) {
            let moved: f64 = table.nonzeros().map(|(a, b, c, v)| d1[(i, a)] * d2[(j, b)] * d3[(k, c)] * v).sum();
            prop_assert!((moved - table.get(i, j, k)).abs() < 1e-13);
        }
    }

    #[test]
    fn direct_sums_are_block_diagonal(irreps in any_irreps(), g in any_isometry()) {
        let matrix = irreps.matrix(&g);
        let mut rest = matrix.clone();
        for (block, columns) in irreps.blocks().iter().zip(irreps.slices()) {
            for start in columns.step_by(block.irrep.dim()) {
                let shape = (block.irrep.dim(), block.irrep.dim());
                prop_assert!((matrix.view((start, start), shape) - block.irrep.matrix(&g)).amax() < 1e-14);
                rest.view_mut((start, start), shape).fill(0.0);
            }
        }
        prop_assert!(rest.iter().all(|&entry| entry == 0.0));
    }
}

#[test]
fn generators_are_the_derivatives_of_the_matrices_and_commute_as_rotations_do() {
    let axes = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
    for l in 0..=11 {
        let generators = so3_generators(l);
        for (axis, x) in axes.into_iter().zip(&generators) {
            let at = |angle| Irrep::even(l).matrix(&Isometry::rotation(axis, angle).unwrap());
            // The error of the difference is t^2 / 6 of the third power of the generator, whose norm is l.
            let t = 1e-5;
            let slope = (at(t) - at(-t)) / (2.0 * t);
            assert!((slope - x).amax() < 1e-7, "{l}");
        }
        let [x, y, z] = &generators;
        assert!((x * y - y * x - z).amax() < 1e-12 && (y * z - z * y - x).amax() < 1e-12, "{l}");
        let casimir = -(x * x + y * y + z * z);
        assert!((casimir - DMatrix::identity(2 * l + 1, 2 * l + 1) * (l * (l + 1)) as f64).amax() < 1e-11, "{l}");
    }
}

#[test]
fn tensors_with_index_symmetries_transform_as_their_irreps() {
    let irreps = |text: &str| Irreps::parse(text).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    for (formula, given, expected) in [
        ("ij", vec![('i', irreps("1o")), ('j', irreps("1e+0e"))], "1x0o+2x1o+1x2o"),
        ("ij=ji", vec![('j', irreps("1o"))], "1x0e+1x2e"),
        ("ij=-ji", vec![('i', irreps("1o"))], "1x1e"),
        ("ijk=jik=ikj", vec![('i', irreps("1o"))], "1x1o+1x3o"),
        ("ijk=-jik=-ikj", vec![('i', irreps("1o"))], "1x0o"),
        // Elasticity: 21 constants.
        ("ijkl=jikl=ijlk=klij", vec![('k', irreps("1o"))], "2x0e+2x2e+1x4e"),
        ("ijk=-jik", vec![('i', irreps("1o")), ('k', irreps("2x0e"))], "2x1e"),
        ("ij=-ij", vec![('i', irreps("1o")), ('j', irreps("1o"))], ""),
    ] {
        let reduced = ReducedTensorProducts::new(formula, &given).unwrap();
        assert_eq!(reduced.irreps_out().to_string(), expected, "{formula}");
        let basis = reduced.change_of_basis();
        assert!((basis * basis.transpose() - DMatrix::identity(basis.nrows(), basis.nrows())).amax() < 1e-13);
        for _ in 0..4 {
            let g = Isometry::random_orthogonal(&mut rng);
            let product = reduced.irreps_in().iter().fold(DMatrix::identity(1, 1), |p, i| p.kronecker(&i.matrix(&g)));
            assert!((basis * product - reduced.irreps_out().matrix(&g) * basis).amax() < 1e-13, "{formula}");
        }
    }
}

#[test]
fn index_symmetries_without_sense_are_refused_by_name() {
    let vectors = [('i', Irreps::parse("1o").unwrap())];
    let refused = |formula: &str| ReducedTensorProducts::new(formula, &vectors).unwrap_err().to_string();
    for (formula, words) in [
        ("", "`` must name each index"),
        ("ij=jk", "`jk` must name each index"),
        ("ii", "`ii` must name each index"),
        ("ij=jij", "`jij` must name each index"),
        ("ij=j1", "`1` is not the letter"),
        ("-ij=ji", "first term has no sign"),
        ("jk=kj", "no index `i`"),
        ("ij", "no irreps are given for the index `j`"),
    ] {
        assert!(refused(formula).contains(words), "{}", refused(formula));
    }
    let different = [('i', Irreps::parse("1o").unwrap()), ('j', Irreps::parse("2e").unwrap())];
    let error = ReducedTensorProducts::new("ij=ji", &different).unwrap_err().to_string();
    assert!(error.contains("`j` with 1x2e cannot be exchanged with"), "{error}");
}

#[test]
fn half_turns_and_tiny_turns_are_exact_at_high_degrees() {
    for l in [11, 30] {
        let n = 2 * l + 1;
        assert_eq!(wigner_d(l, 0.0, 0.0, 0.0).map(f64::round), DMatrix::identity(n, n));
        assert!((wigner_d(l, 0.0, 0.0, 0.0) - DMatrix::identity(n, n)).amax() < 1e-12);
        let half = wigner_d(l, 0.0, std::f64::consts::PI, 0.0);
        assert!((&half * &half - DMatrix::identity(n, n)).amax() < 1e-12, "{l}");
    }
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
