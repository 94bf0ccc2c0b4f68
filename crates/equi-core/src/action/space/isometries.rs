//! The action of isometries on the features of nodes.

use burn::tensor::{Int, Tensor, TensorCreationOptions, TensorData};
use std::sync::Arc;

use super::PointField;
use crate::group::Isometry;
use crate::o3::Irrep;
use crate::ops::Segments;

/// Isometries on a device, one for every graph of a batch or for every row of a tensor. They carry no gradient.
#[derive(Clone, Debug)]
pub struct Isometries {
    /// `[count, 3, 3]`
    rotations: Tensor<3>,
    /// `[count, 3]`
    translations: Tensor<2>,
    /// `[count, 1]`
    determinants: Tensor<2>,
    /// What the matrices of irreps are computed from, and for each row the place of its isometry there; `None`: row after row.
    list: Arc<[Isometry]>,
    places: Option<Tensor<1, Int>>,
}

impl Isometries {
    /// Uploads isometries, in the precision of the tensors they will act on.
    pub fn new(isometries: &[Isometry], options: impl Into<TensorCreationOptions>) -> Self {
        let mut options = options.into();
        options.device = options.device.without_autodiff();
        let count = isometries.len();
        let rotations = isometries.iter().flat_map(|g| g.matrix()).flatten().collect();
        let translations = isometries.iter().flat_map(|g| g.offset()).collect();
        let determinants = isometries.iter().map(|g| g.det()).collect();
        Self {
            rotations: upload(rotations, [count, 3, 3], &options),
            translations: upload(translations, [count, 3], &options),
            determinants: upload(determinants, [count, 1], &options),
            list: isometries.into(),
            places: None,
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.translations.dims()[0]
    }

    /// The orthogonal matrices, `[count, 3, 3]`.
    pub fn rotations(&self) -> &Tensor<3> {
        &self.rotations
    }

    /// The translations, `[count, 3]`.
    pub fn translations(&self) -> &Tensor<2> {
        &self.translations
    }

    /// One for every row, that of its segment: from one for every graph to one for every node.
    ///
    /// # Panics
    /// If there are not as many isometries as segments.
    pub fn spread(&self, members: &Segments) -> Self {
        let (count, segments) = (self.count(), members.count());
        assert_eq!(count, segments, "{count} isometries cannot be spread over the rows of {segments} segments");
        if members.rows() == 0 {
            return Self::new(&[], (&self.rotations.device(), self.rotations.dtype()));
        }
        Self {
            rotations: self.rotations.clone().select(0, members.ids().clone()),
            translations: self.translations.clone().select(0, members.ids().clone()),
            determinants: self.determinants.clone().select(0, members.ids().clone()),
            list: self.list.clone(),
            places: Some(match &self.places {
                Some(places) => places.clone().select(0, members.ids().clone()),
                None => members.ids().clone(),
            }),
        }
    }

    /// The matrices of an irrep, `[count, 2 l + 1, 2 l + 1]`.
    fn matrices(&self, irrep: Irrep) -> Tensor<3> {
        let dim = irrep.dim();
        let rows = self.list.iter().flat_map(|g| irrep.matrix(g).transpose().as_slice().to_vec()).collect();
        let options = (&self.rotations.device(), self.rotations.dtype()).into();
        let matrices = upload(rows, [self.list.len(), dim, dim], &options);
        match &self.places {
            Some(places) => matrices.select(0, places.clone()),
            None => matrices,
        }
    }
}

/// Moves the features of all rows by one isometry.
///
/// # Shapes
/// - `x`, output: `[rows, field.size() * channels]`
///
/// # Panics
/// If the columns are not whole vectors.
pub fn act(g: &Isometry, x: Tensor<2>, field: PointField) -> Tensor<2> {
    transform(&Isometries::new(&[*g], (&x.device(), x.dtype())), x, field)
}

/// Moves the features of each row by the isometry of that row.
///
/// # Shapes
/// - `g`: one isometry for each row; [`Isometries::spread`] makes them from one for each graph
/// - `x`, output: `[rows, field.size() * channels]`
///
/// # Panics
/// If there are not as many isometries as rows, their precision is not that of `x`, or the columns are not whole vectors.
pub fn act_each(g: &Isometries, x: Tensor<2>, field: PointField) -> Tensor<2> {
    let (count, rows) = (g.count(), x.dims()[0]);
    assert_eq!(count, rows, "{count} isometries cannot act on {rows} rows, one on each");
    let (ours, theirs) = (g.rotations.dtype(), x.dtype());
    assert_eq!(
        ours, theirs,
        "isometries in {ours:?} cannot act on features in {theirs:?}; upload them in the same precision"
    );
    transform(g, x, field)
}

/// One isometry for all rows, or one for each.
fn transform(g: &Isometries, x: Tensor<2>, field: PointField) -> Tensor<2> {
    let [rows, columns] = x.dims();
    let size = field.size();
    assert!(columns.is_multiple_of(size), "a {field} takes {size} columns; [{rows}, {columns}] are not whole ones");
    if rows == 0 || columns == 0 {
        return x;
    }
    let moved = match field {
        PointField::Scalar => return x,
        PointField::Pseudoscalar => x,
        PointField::Position => turn(&g.rotations, x) + g.translations.clone().repeat_dim(1, columns / 3),
        PointField::Vector | PointField::Pseudovector => turn(&g.rotations, x),
        PointField::Irrep(irrep) => turn(&g.matrices(irrep), x),
    };
    if field.is_pseudo() { moved * g.determinants.clone() } else { moved }
}

/// Matrices `[count, size, size]`, one for all rows or one for each, on every `size` columns.
fn turn(matrices: &Tensor<3>, x: Tensor<2>) -> Tensor<2> {
    let ([rows, columns], [count, size, _]) = (x.dims(), matrices.dims());
    let x = x.reshape([rows, columns / size, size]);
    // The sum of x_j times column j; not a matmul, which GPUs may round.
    let term = |j| x.clone().narrow(2, j, 1) * matrices.clone().narrow(2, j, 1).reshape([count, 1, size]);
    let turned = (1..size).fold(term(0), |sum, j| sum + term(j));
    turned.reshape([rows, columns])
}

fn upload<const D: usize>(values: Vec<f64>, shape: [usize; D], options: &TensorCreationOptions) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), options.clone())
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use burn::tensor::{DType, Device};
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    const FIELDS: [PointField; 7] = [
        PointField::Position,
        PointField::Vector,
        PointField::Pseudovector,
        PointField::Scalar,
        PointField::Pseudoscalar,
        PointField::Irrep(Irrep::odd(1)),
        PointField::Irrep(Irrep::even(2)),
    ];

    /// Of several kinds: rotations, reflections, each with a translation.
    fn isometries(count: usize, seed: u64) -> Vec<Isometry> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let draw = |_| Isometry::random_translation(2.0, &mut rng) * Isometry::random_orthogonal(&mut rng);
        (0..count).map(draw).collect()
    }

    fn features(rows: usize, columns: usize, dtype: DType) -> Tensor<2> {
        let values: Vec<f64> = (0..rows * columns).map(|i| ((i * i * 7 + 3 * i) % 23) as f64 / 11.0 - 1.0).collect();
        Tensor::from_data(TensorData::new(values, [rows, columns]), (&Device::flex(), dtype))
    }

    fn host(x: Tensor<2>) -> Vec<f64> {
        x.into_data_as::<f64>().try_into_vec().unwrap()
    }

    fn distance(a: Tensor<2>, b: Tensor<2>) -> f64 {
        assert_eq!(a.dims(), b.dims());
        let worse = |m: f64, (a, b): (&f64, f64)| match (a - b).abs() {
            _ if *a == b => m,
            difference if difference.is_nan() => f64::INFINITY,
            difference => m.max(difference),
        };
        host(a).iter().zip(host(b)).fold(0.0, worse)
    }

    #[test]
    fn two_vectors_lie_side_by_side_in_the_columns() {
        let quarter = Isometry::new([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]], [10.0, 20.0, 30.0]).unwrap();
        let x = Tensor::from_data([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]], &Device::flex());
        // Entries 0 and 1 are exact.
        assert_eq!(host(act(&quarter, x.clone(), PointField::Vector)), [-2.0, 1.0, 3.0, -5.0, 4.0, 6.0]);
        assert_eq!(host(act(&quarter, x, PointField::Position)), [8.0, 21.0, 33.0, 5.0, 24.0, 36.0]);
    }

    #[test]
    fn an_inversion_tells_the_five_fields_apart() {
        let g = Isometry::translation([5.0, 5.0, 5.0]).unwrap() * Isometry::INVERSION;
        let act = |field| host(act(&g, Tensor::from_data([[1.0, 2.0, 3.0]], &Device::flex()), field));
        assert_eq!(act(PointField::Position), [4.0, 3.0, 2.0]);
        assert_eq!(act(PointField::Vector), [-1.0, -2.0, -3.0]);
        assert_eq!(act(PointField::Pseudovector), [1.0, 2.0, 3.0]);
        assert_eq!(act(PointField::Scalar), [1.0, 2.0, 3.0]);
        assert_eq!(act(PointField::Pseudoscalar), [-1.0, -2.0, -3.0]);
    }

    #[test]
    fn irreps_of_degree_0_and_1_are_the_other_fields() {
        for g in isometries(10, 6) {
            for (irrep, field) in [
                (Irrep::even(0), PointField::Scalar),
                (Irrep::odd(0), PointField::Pseudoscalar),
                (Irrep::odd(1), PointField::Vector),
                (Irrep::even(1), PointField::Pseudovector),
            ] {
                let x = features(4, 6, DType::F64);
                let moved = act(&g, x.clone(), PointField::Irrep(irrep));
                assert!(distance(moved, act(&g, x, field)) < 1e-14, "{irrep}");
            }
        }
    }

    #[test]
    fn the_action_is_a_homomorphism() {
        // Values up to about 10, off by a few units in the last place.
        for (dtype, tolerance) in [(DType::F64, 1e-14), (DType::F32, 1e-5)] {
            for pair in isometries(12, 0).chunks(2) {
                for field in FIELDS {
                    let x = features(4, 30, dtype);
                    let one_by_one = act(&pair[0], act(&pair[1], x.clone(), field), field);
                    assert!(distance(one_by_one, act(&(pair[0] * pair[1]), x.clone(), field)) < tolerance);
                    // Matrices of irreps are sums of products, and round.
                    let rounding = if matches!(field, PointField::Irrep(_)) { tolerance } else { 0.0 };
                    assert!(distance(act(&Isometry::IDENTITY, x.clone(), field), x) <= rounding);
                }
            }
        }
    }

    #[test]
    fn products_of_vectors_transform_as_their_names_say() {
        let [a, b, c] = [0, 2, 5].map(|row| features(8, 3, DType::F64).narrow(0, row, 1));
        let triple =
            |a: &Tensor<2>, b: &Tensor<2>, c: &Tensor<2>| (a.clone().cross(b.clone(), 1) * c.clone()).sum_dim(1);
        for g in isometries(10, 1) {
            let [ga, gb, gc] = [&a, &b, &c].map(|v| act(&g, v.clone(), PointField::Vector));
            let dot = distance((ga.clone() * gb.clone()).sum_dim(1), (a.clone() * b.clone()).sum_dim(1));
            let cross = act(&g, a.clone().cross(b.clone(), 1), PointField::Pseudovector);
            let volume = act(&g, triple(&a, &b, &c), PointField::Pseudoscalar);
            let difference = act(&g, a.clone(), PointField::Position) - act(&g, b.clone(), PointField::Position);
            assert!(dot < 1e-14);
            assert!(distance(ga.clone().cross(gb.clone(), 1), cross) < 1e-14);
            assert!(distance(triple(&ga, &gb, &gc), volume) < 1e-14);
            assert!(distance(difference, act(&g, a.clone() - b.clone(), PointField::Position.difference())) < 1e-14);
        }
    }

    #[test]
    fn a_batch_moves_each_graph_as_one_call_for_each_does() {
        let sizes = [3, 0, 1, 5];
        let members = sizes.iter().enumerate().flat_map(|(graph, &size)| vec![graph; size]).collect();
        let members = Segments::new(members, sizes.len(), &Device::flex()).unwrap();
        let list = isometries(sizes.len(), 2);
        let spread = Isometries::new(&list, (&Device::flex(), DType::F64)).spread(&members);
        let x = features(9, 30, DType::F64);
        for field in FIELDS {
            let moved = act_each(&spread, x.clone(), field);
            let mut start = 0;
            for (g, size) in list.iter().zip(sizes).filter(|(_, size)| *size > 0) {
                let alone = act(g, x.clone().narrow(0, start, size), field);
                assert_eq!(distance(moved.clone().narrow(0, start, size), alone), 0.0, "{field}");
                start += size;
            }
        }
    }

    #[test]
    fn members_in_any_order_find_their_graph() {
        let list = isometries(2, 3);
        let members = Segments::new(vec![1, 0, 1], 2, &Device::flex()).unwrap();
        let spread = Isometries::new(&list, (&Device::flex(), DType::F64)).spread(&members);
        let x = features(3, 3, DType::F64);
        let moved = act_each(&spread, x.clone(), PointField::Position);
        for (row, graph) in [1, 0, 1].into_iter().enumerate() {
            let alone = act(&list[graph], x.clone().narrow(0, row, 1), PointField::Position);
            assert_eq!(distance(moved.clone().narrow(0, row, 1), alone), 0.0);
        }
    }

    #[test]
    fn gradients_turn_back() {
        let g = isometries(1, 4)[0];
        for field in FIELDS {
            let (x, v) =
                (features(4, 30, DType::F64).autodiff().require_grad(), features(8, 30, DType::F64).narrow(0, 4, 4));
            let gradient = x.grad(&(act(&g, x.clone(), field) * v.clone()).sum().backward()).unwrap();
            assert!(distance(act(&g, gradient, field.difference()), v) < 1e-14, "{field}");
        }
    }

    #[test]
    fn graphs_without_nodes_move_nothing() {
        let members = Segments::new(Vec::new(), 2, &Device::flex()).unwrap();
        let spread = Isometries::new(&isometries(2, 5), &Device::flex()).spread(&members);
        let none = Tensor::<2>::zeros([0, 3], &Device::flex());
        assert_eq!(act_each(&spread, none, PointField::Position).dims(), [0, 3]);
    }

    #[test]
    #[should_panic(expected = "a vector takes 3 columns; [2, 4]")]
    fn part_of_a_vector_is_refused() {
        act(&Isometry::INVERSION, features(2, 4, DType::F32), PointField::Vector);
    }

    #[test]
    #[should_panic(expected = "1 isometries cannot act on 2 rows")]
    fn one_isometry_for_two_rows_is_refused() {
        act_each(
            &Isometries::new(&[Isometry::INVERSION], &Device::flex()),
            features(2, 3, DType::F32),
            PointField::Vector,
        );
    }

    #[test]
    #[should_panic(expected = "isometries in F32 cannot act on features in F64")]
    fn a_rounded_rotation_does_not_spoil_f64() {
        act_each(
            &Isometries::new(&[Isometry::INVERSION], &Device::flex()),
            features(1, 3, DType::F64),
            PointField::Vector,
        );
    }
}
