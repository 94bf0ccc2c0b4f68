//! Tensor products of random irreps, in all modes and normalisations: against the sums that define them, against rotations and
//! reflections, their gradients against differences; and what cannot be built.
#![cfg(feature = "flex")]

#[path = "common/devices.rs"]
mod devices;
#[path = "common/irreps.rs"]
mod rows;

use burn::module::Module;
use burn::tensor::{DType, Device, Tensor};
use devices::settings;
use equi_core::assert_point_equivariant;
use equi_core::o3::{Irrep, Irreps, MulIrrep, Parity, wigner_3j};
use equi_layers::o3::{
    ConnectionMode, Instruction, IrrepNormalization, Path, PathNormalization, TensorProduct, TensorProductConfig,
};
use proptest::prelude::*;
use rows::{assert_close, host, irreps, noise, row_map, tensor};

const F64: DType = DType::F64;
/// Of the checks against sums and differences.
const ROWS: usize = 3;

/// What a path is made of, each number taken modulo what there is to choose from.
#[derive(Clone, Debug)]
struct Choice {
    in1: usize,
    in2: usize,
    irrep: usize,
    mode: usize,
    copies: usize,
    has_weight: bool,
    /// Whether it adds to an output that is there already.
    joins: bool,
    path_weight: f64,
}

fn any_irreps() -> impl Strategy<Value = Irreps> {
    let parity = prop_oneof![Just(Parity::Even), Just(Parity::Odd)];
    let block = (1..4usize, 0..4usize, parity).prop_map(|(mul, l, parity)| MulIrrep::new(mul, Irrep::new(l, parity)));
    prop::collection::vec(block, 1..4).prop_map(Irreps::new)
}

fn any_choice() -> impl Strategy<Value = Choice> {
    let numbers = (any::<usize>(), any::<usize>(), any::<usize>(), any::<usize>(), 1..4usize);
    (numbers, any::<bool>(), any::<bool>(), 0.1..4.0).prop_map(
        |((in1, in2, irrep, mode, copies), has_weight, joins, path_weight)| Choice {
            in1,
            in2,
            irrep,
            mode,
            copies,
            has_weight,
            joins,
            path_weight,
        },
    )
}

prop_compose! {
    /// A product that can be built.
    fn any_product()(
        in1 in any_irreps(), in2 in any_irreps(), choices in prop::collection::vec(any_choice(), 1..6),
        variances in prop::collection::vec(0.1..3.0, 16), normalizations in (0..3usize, 0..3usize),
    ) -> TensorProductConfig {
        let mut blocks: Vec<MulIrrep> = Vec::new();
        let mut instructions = Vec::new();
        for choice in choices {
            let (place1, place2) = (choice.in1 % in1.blocks().len(), choice.in2 % in2.blocks().len());
            let (a, b) = (in1.blocks()[place1], in2.blocks()[place2]);
            let contained: Vec<Irrep> = a.irrep.product(b.irrep).collect();
            let irrep = contained[choice.irrep % contained.len()];
            let modes: Vec<ConnectionMode> = ConnectionMode::ALL
                .into_iter()
                .filter(|mode| a.mul == b.mul || matches!(mode.name(), "uvw" | "uvu" | "uvv" | "uvuv"))
                .filter(|mode| a.mul > 1 || !mode.name().contains('<'))
                .collect();
            let mode = modes[choice.mode % modes.len()];
            let has_weight = choice.has_weight || matches!(mode.name(), "uvw" | "u<vw");
            let mul = match mode.name() {
                "uvu" | "uuu" => a.mul,
                "uvv" => b.mul,
                "uvuv" => a.mul * b.mul,
                "uvu<v" => a.mul * (a.mul - 1) / 2,
                "uuw" if !has_weight => 1,
                _ => choice.copies,
            };
            let there = blocks.iter().position(|block| choice.joins && *block == MulIrrep::new(mul, irrep));
            let out = there.unwrap_or_else(|| {
                blocks.push(MulIrrep::new(mul, irrep));
                blocks.len() - 1
            });
            let instruction = Instruction::new(place1, place2, out, mode).with_path_weight(choice.path_weight);
            instructions.push(if has_weight { instruction } else { instruction.without_weight() });
        }
        let variances = |count: usize, start: usize| variances[start..start + count].to_vec();
        let (count1, count2, count) = (in1.blocks().len(), in2.blocks().len(), blocks.len());
        let irrep = [IrrepNormalization::Component, IrrepNormalization::Norm, IrrepNormalization::None];
        let path = [PathNormalization::Element, PathNormalization::Path, PathNormalization::None];
        TensorProductConfig::new(in1, in2, Irreps::new(blocks), instructions)
            .with_in1_var(variances(count1, 0))
            .with_in2_var(variances(count2, 3))
            .with_out_var(variances(count, 6))
            .with_irrep_normalization(irrep[normalizations.0])
            .with_path_normalization(path[normalizations.1])
            .without_weights()
    }
}

/// Which copies of the inputs a mode multiplies, where they are added and with which of its weights.
fn connections(path: &Path) -> Vec<[usize; 4]> {
    let [mul1, mul2, mul] = path.blocks.map(|block| block.mul);
    let all = || (0..mul1).flat_map(|u| (0..mul2).map(move |v| (u, v)));
    let below = || all().filter(|(u, v)| u < v).enumerate();
    match path.instruction.mode.name() {
        "uvw" => all().flat_map(|(u, v)| (0..mul).map(move |w| [u, v, w, (u * mul2 + v) * mul + w])).collect(),
        "uvu" => all().map(|(u, v)| [u, v, u, u * mul2 + v]).collect(),
        "uvv" => all().map(|(u, v)| [u, v, v, u * mul2 + v]).collect(),
        "uuw" => (0..mul1).flat_map(|u| (0..mul).map(move |w| [u, u, w, u * mul + w])).collect(),
        "uuu" => (0..mul1).map(|u| [u, u, u, u]).collect(),
        "uvuv" => all().map(|(u, v)| [u, v, u * mul2 + v, u * mul2 + v]).collect(),
        "uvu<v" => below().map(|(pair, (u, v))| [u, v, pair, pair]).collect(),
        "u<vw" => below().flat_map(|(pair, (u, v))| (0..mul).map(move |w| [u, v, w, pair * mul + w])).collect(),
        name => panic!("{name}"),
    }
}

/// The sums that define a product, of one row.
fn by_definition(product: &TensorProduct, x1: &[f64], x2: &[f64], weight: &[f64]) -> Vec<f64> {
    let config = product.config();
    let irreps = [&config.irreps_in1, &config.irreps_in2, &config.irreps_out].map(Irreps::slices);
    let mut z = vec![0.0; config.irreps_out.dim()];
    for path in product.paths() {
        let Instruction { in1, in2, out, .. } = path.instruction;
        let [start1, start2, start] = [(0, in1), (1, in2), (2, out)].map(|(side, block)| irreps[side][block].start);
        let [d1, d2, d] = path.blocks.map(|block| block.irrep.dim());
        let [l1, l2, l] = path.blocks.map(|block| block.irrep.l);
        for [u, v, w, place] in connections(path) {
            let factor = path.coefficient * weight[path.weights.clone()].get(place).unwrap_or(&1.0);
            for (i, j, k, c) in wigner_3j(l1, l2, l).unwrap().nonzeros() {
                z[start + w * d + k] += factor * c * x1[start1 + u * d1 + i] * x2[start2 + v * d2 + j];
            }
        }
    }
    z
}

/// Inputs and weights of a product, one row of weights for each row or one for all.
fn inputs(product: &TensorProduct, per_row: bool, device: &Device, dtype: DType) -> [Tensor<2>; 3] {
    let config = product.config();
    let normal = |rows, columns, seed| noise(rows, columns, seed, device, dtype);
    [
        normal(ROWS, config.irreps_in1.dim(), 1),
        normal(ROWS, config.irreps_in2.dim(), 2),
        normal(if per_row { ROWS } else { 1 }, product.weight_numel(), 3),
    ]
}

fn multiply(product: &TensorProduct, [x1, x2, weight]: [Tensor<2>; 3]) -> Tensor<2> {
    match product.weight_numel() {
        0 => product.forward(x1, x2),
        _ => product.forward_with(x1, x2, weight),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn products_are_the_sums_that_define_them(config in any_product(), per_row in any::<bool>()) {
        for setting in settings() {
            let product = config.init((&setting.device, setting.dtype)).unwrap();
            let given = inputs(&product, per_row, &setting.device, setting.dtype);
            let actual = host(&multiply(&product, given.clone()));
            let [x1, x2, weight] = given.map(|input| {
                let columns = input.dims()[1];
                host(&input).chunks(columns.max(1)).map(<[f64]>::to_vec).collect::<Vec<_>>()
            });
            let none = Vec::new();
            let weight = |row: usize| weight.get(if per_row { row } else { 0 }).unwrap_or(&none);
            let expected: Vec<f64> =
                (0..ROWS).flat_map(|row| by_definition(&product, &x1[row], &x2[row], weight(row))).collect();
            assert_close(setting.name, &expected, &actual, setting.tolerance);
        }
    }

    /// Weights are invariant features of the rows.
    #[test]
    fn products_commute_with_rotations_and_reflections(config in any_product()) {
        for setting in settings() {
            let product = config.init((&setting.device, setting.dtype)).unwrap();
            let [dim1, dim2, numel] = [config.irreps_in1.dim(), config.irreps_in2.dim(), product.weight_numel()];
            let given = config.irreps_in1.clone() + config.irreps_in2.clone();
            let given = if numel > 0 { given + Irreps::from(MulIrrep::new(numel, Irrep::even(0))) } else { given };
            let map = row_map(&given, &config.irreps_out, &setting.device, setting.dtype, |rows| {
                let columns = |start, width| rows.clone().narrow(1, start, width);
                let (x1, x2) = (columns(0, dim1), columns(dim1, dim2));
                match numel {
                    0 => product.forward(x1, x2),
                    _ => product.forward_with(x1, x2, columns(dim1 + dim2, numel)),
                }
            });
            assert_point_equivariant!(map, setting.tolerance);
        }
    }

    /// A product is linear in each of its inputs, so that differences over any distance are derivatives.
    #[test]
    fn gradients_are_differences(config in any_product(), per_row in any::<bool>()) {
        let device = Device::flex().autodiff();
        let product = config.init((&device, F64)).unwrap();
        let given = inputs(&product, per_row, &device, F64).map(Tensor::require_grad);
        let cotangent = noise(ROWS, config.irreps_out.dim(), 4, &device, F64);
        let loss = |given: [Tensor<2>; 3]| (multiply(&product, given) * cotangent.clone()).sum();
        let gradients = loss(given.clone()).backward();
        let plain = given.clone().map(Tensor::detach);
        for (place, input) in given.iter().enumerate().filter(|(_, input)| input.dims()[1] > 0) {
            let gradient = input.grad(&gradients).unwrap().into_data();
            let gradient: Vec<f64> = gradient.iter().collect();
            let [rows, columns] = input.dims();
            for seed in 5..8 {
                let direction = noise(rows, columns, seed, &device, F64);
                let slope: f64 = gradient.iter().zip(host(&direction)).map(|(g, d)| g * d).sum();
                let at = |sign: f64| {
                    let mut moved = plain.clone();
                    moved[place] = moved[place].clone() + direction.clone() * sign;
                    host(&loss(moved))[0]
                };
                let (above, below) = (at(1.0), at(-1.0));
                let difference = (above - below) / 2.0;
                let scale = above.abs().max(below.abs()).max(slope.abs()).max(1.0);
                prop_assert!((slope - difference).abs() < 1e-11 * scale, "input {place}: {slope} is not {difference}");
            }
        }
    }

    #[test]
    fn right_is_the_matrix_of_the_product(config in any_product(), per_row in any::<bool>()) {
        let device = Device::flex();
        let product = config.init((&device, F64)).unwrap();
        let [x1, x2, weight] = inputs(&product, per_row, &device, F64);
        let expected = multiply(&product, [x1.clone(), x2.clone(), weight.clone()]);
        let matrices = match product.weight_numel() {
            0 => product.right(x2),
            _ => product.right_with(x2, weight),
        };
        let actual = x1.unsqueeze_dim::<3>(1).matmul(matrices);
        assert_close("right", &host(&expected), &host(&actual), 1e-12);
    }

    /// The square holds every product of two components once: as many columns as there are such products.
    #[test]
    fn squares_are_equivariant_and_hold_all_products(input in any_irreps()) {
        let config = TensorProductConfig::square(&input, IrrepNormalization::Component);
        let dim = input.dim();
        prop_assert_eq!(config.irreps_out.dim(), dim * (dim + 1) / 2);
        for setting in settings() {
            let square = config.init((&setting.device, setting.dtype)).unwrap();
            let map = row_map(&input, &config.irreps_out, &setting.device, setting.dtype, |x| {
                square.forward(x.clone(), x)
            });
            assert_point_equivariant!(map, setting.tolerance);
        }
    }

    #[test]
    fn the_full_product_holds_all_products(in1 in any_irreps(), in2 in any_irreps()) {
        let config = TensorProductConfig::full(&in1, &in2);
        prop_assert_eq!(config.irreps_out.dim(), in1.dim() * in2.dim());
        // An orthogonal change of basis, up to the factors of normalisation: lengths multiply.
        let config = config.with_irrep_normalization(IrrepNormalization::None);
        let product = config.init((&Device::flex(), F64)).unwrap();
        let [x1, x2, _] = inputs(&product, false, &Device::flex(), F64);
        let z = product.forward(x1.clone(), x2.clone());
        let dims = config.irreps_out.blocks().iter().flat_map(|block| vec![block.irrep.dim() as f64; block.dim()]);
        let dims = tensor(&dims.collect::<Vec<_>>(), [1, config.irreps_out.dim()], &Device::flex(), F64);
        let squared = |x: Tensor<2>| x.powi_scalar(2).sum_dim(1);
        let lengths = squared(x1) * squared(x2);
        assert_close("lengths", &host(&lengths), &host(&(z.powi_scalar(2) * dims).sum_dim(1)), 1e-12);
    }
}

/// With weights of variance 1 and normal inputs, outputs have variance 1, whatever the mode: up to what 30 draws of weights leave.
#[test]
fn outputs_have_variance_one() {
    let device = Device::flex();
    let mut cases: Vec<(String, TensorProductConfig)> = ConnectionMode::ALL
        .into_iter()
        .map(|mode| {
            let copies = match mode.name() {
                "uvuv" => 16,
                "uvu<v" => 6,
                _ => 4,
            };
            let (input, out) = (irreps("4x1o"), irreps(&format!("{copies}x2e")));
            (mode.to_string(), TensorProductConfig::new(input.clone(), input, out, [Instruction::new(0, 0, 0, mode)]))
        })
        .collect();
    let mixed = irreps("3x0e+2x1o+2x2e");
    cases.push(("fully connected".into(), TensorProductConfig::fully_connected(mixed.clone(), mixed.clone(), mixed)));
    for (name, config) in cases {
        let mut sum = 0.0;
        for seed in 0..30 {
            let product = config.clone().with_seed(seed).init((&device, F64)).unwrap();
            let x1 = noise(700, config.irreps_in1.dim(), 2 * seed, &device, F64);
            let x2 = noise(700, config.irreps_in2.dim(), 2 * seed + 1, &device, F64);
            sum += host(&product.forward(x1, x2).powi_scalar(2).mean())[0] / 30.0;
        }
        assert!((sum - 1.0).abs() < 0.15, "{name}: {sum}");
    }
}

#[test]
fn the_square_of_noise_has_mean_square_one() {
    let device = Device::flex();
    let input = irreps("2x0e+2x1o+1x2e");
    let square = TensorProductConfig::square(&input, IrrepNormalization::Component).init((&device, F64)).unwrap();
    let x = noise(100_000, input.dim(), 0, &device, F64);
    let columns = host(&square.forward(x.clone(), x).powi_scalar(2).mean_dim(0));
    assert!(columns.iter().all(|mean| (mean - 1.0).abs() < 0.1), "{columns:?}");
}

#[test]
fn blocks_without_copies_are_left_out() {
    let device = Device::flex();
    let instructions = [
        Instruction::new(0, 1, 0, ConnectionMode::Uvu),
        Instruction::new(1, 1, 1, ConnectionMode::Uvw),
        Instruction::new(1, 0, 2, ConnectionMode::Uvw),
    ];
    let config =
        TensorProductConfig::new(irreps("0x1o+2x1o"), irreps("0x0e+3x1o"), irreps("0x0e+2x0e+1x1o"), instructions);
    let refused = config.init(&device).unwrap_err().to_string();
    assert!(refused.contains("block 2 of the output, 1x1o"), "{refused}");
    let product = config.with_unreached_outputs().init(&device).unwrap();
    assert_eq!((product.weight_numel(), product.num_params()), (12, 12));
    assert_eq!(product.output_mask(), [true, true, false, false, false]);
    let z = host(&product.forward(noise(2, 6, 0, &device, DType::F32), noise(2, 9, 1, &device, DType::F32)));
    assert!(z[0] != 0.0 && z[1] != 0.0 && z[2..5] == [0.0; 3], "{z:?}");
}

#[test]
fn no_rows_give_no_rows() {
    let device = Device::flex();
    let mixed = irreps("3x0e+2x1o+2x2e");
    for config in [
        TensorProductConfig::fully_connected(mixed.clone(), mixed.clone(), mixed.clone()),
        TensorProductConfig::fully_connected(mixed.clone(), irreps("0e+1o+2e"), mixed.clone()),
        TensorProductConfig::full(&mixed, &mixed),
        TensorProductConfig::elementwise(&mixed, &mixed).unwrap(),
        TensorProductConfig::square(&mixed, IrrepNormalization::Component),
    ] {
        let product = config.init(&device).unwrap();
        let zeros = |irreps: &Irreps| Tensor::<2>::zeros([0, irreps.dim()], &device);
        let z = product.forward(zeros(&config.irreps_in1), zeros(&config.irreps_in2));
        assert_eq!(z.dims(), [0, config.irreps_out.dim()], "{product}");
    }
}

#[test]
fn weights_of_a_path_have_the_shape_of_its_mode() {
    let config = TensorProductConfig::fully_connected(irreps("3x0e+2x1o"), irreps("2x0e+1x1o"), irreps("4x0e+3x1o"));
    let product = config.with_seed(0).init(&Device::flex()).unwrap();
    let weight = host(&product.weight.as_ref().unwrap().val());
    for (number, path) in product.paths().iter().enumerate() {
        let view = product.weight_view::<3>(number);
        assert_eq!((view.dims().to_vec(), host(&view)), (path.shape.clone(), weight[path.weights.clone()].to_vec()));
    }
    assert_eq!(product.paths()[1].to_string(), "3x0e x 1x1o -> 3x1o (uvw, 9 weights)");
    let name = "TensorProduct(3x0e+2x1o x 2x0e+1x1o -> 4x0e+3x1o, 4 paths, 53 weights)";
    assert!(product.to_string().starts_with(name), "{product}");
}

#[test]
fn restriction_leaves_the_other_outputs_as_they_are() {
    let device = Device::flex();
    let (in1, in2) = (irreps("2x0e+1x1o"), irreps("1x1o+2x2e"));
    let keep = [Irrep::odd(1), Irrep::odd(3)];
    let whole = TensorProductConfig::full(&in1, &in2);
    let part = whole.clone().restricted_to(&keep);
    assert_eq!(part.irreps_out, irreps("2x1o+2x1o+2x3o"));
    let [x1, x2] = [(5, 0), (13, 1)].map(|(columns, seed)| noise(4, columns, seed, &device, F64));
    let all = whole.init((&device, F64)).unwrap().forward(x1.clone(), x2.clone());
    let columns = whole.irreps_out.blocks().iter().zip(whole.irreps_out.slices());
    let kept = columns.filter(|(block, _)| keep.contains(&block.irrep));
    let kept = Tensor::cat(kept.map(|(_, columns)| all.clone().narrow(1, columns.start, columns.len())).collect(), 1);
    assert_eq!(host(&kept), host(&part.init((&device, F64)).unwrap().forward(x1, x2)));

    let elementwise = TensorProductConfig::elementwise(&irreps("2x1o"), &irreps("1x1o+1x0e")).unwrap();
    assert_eq!(elementwise.irreps_out, irreps("1x0e+1x1e+1x2e+1x1o"));
    assert_eq!(elementwise.restricted_to(&[Irrep::even(0)]).irreps_out, irreps("1x0e"));
}

#[test]
fn configurations_are_read_and_written() {
    let config = TensorProductConfig::square(&irreps("2x0e+2x1o"), IrrepNormalization::Norm).with_seed(1);
    let text = serde_json::to_string(&config).unwrap();
    assert!(text.contains(r#""mode":"uvu<v""#) && text.contains(r#""irreps_in1":"2x0e+2x1o""#), "{text}");
    assert_eq!(serde_json::from_str::<TensorProductConfig>(&text).unwrap(), config);
    let wrong = serde_json::from_str::<TensorProductConfig>(&text.replace("uvu<v", "uvx")).unwrap_err().to_string();
    assert!(wrong.contains("no connection mode `uvx`") && wrong.contains("uvw, uvu"), "{wrong}");
}

#[test]
fn what_cannot_be_built_says_why() {
    let refused = |config: TensorProductConfig, words: &[&str]| {
        let message = config.init(&Device::flex()).unwrap_err().to_string();
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    };
    let product = |in1, in2, out, mode: &str| {
        let instruction = Instruction::new(0, 0, 0, mode.parse().unwrap());
        TensorProductConfig::new(irreps(in1), irreps(in2), irreps(out), [instruction])
    };
    refused(product("4x0e", "1x1o", "4x2e", "uvu"), &["path 0", "0e x 1o does not contain 2e: it contains 1o"]);
    refused(product("4x1o", "1x1o", "4x1o", "uvu"), &["1o x 1o does not contain 1o", "0e+1e+2e", "parities"]);
    refused(product("4x1o", "3x1e", "5x1o", "uvu"), &["uvu of 4x1o and 3x1e gives 4x1o, not 5x1o", "first input"]);
    refused(product("4x1o", "3x1e", "4x1o", "uvv"), &["gives 3x1o", "second input"]);
    refused(product("4x1o", "3x1e", "4x1o", "uvuv"), &["gives 12x1o", "product"]);
    refused(product("4x1o", "3x1e", "4x1o", "uuu"), &["one by one", "4x1o and 3x1e differ"]);
    refused(product("4x1o", "4x1e", "5x1o", "uvu<v"), &["gives 6x1o", "pairs"]);
    let unweighted = |in1, in2, out, mode: &str| {
        let instruction = Instruction::new(0, 0, 0, mode.parse().unwrap()).without_weight();
        TensorProductConfig::new(irreps(in1), irreps(in2), irreps(out), [instruction])
    };
    refused(unweighted("4x1o", "4x1e", "4x1o", "uvw"), &["uvw needs weights"]);
    refused(unweighted("4x1o", "4x1e", "4x1o", "u<vw"), &["u<vw needs weights"]);
    refused(unweighted("4x1o", "4x1e", "4x1o", "uuw"), &["gives 1x1o"]);
    refused(product("", "1x1o", "4x2e", "uvu"), &["first input has no columns"]);
    refused(product("1x1o", "0x1o", "4x2e", "uvu"), &["second input has no columns", "0x1o"]);
    refused(
        product("4x1o", "1x1o", "4x2e", "uvu").with_in2_var([1.0, 2.0]),
        &["2 variances for the 1 blocks", "second"],
    );
    refused(product("4x1o", "1x1o", "4x2e", "uvu").with_out_var([f64::NAN]), &["block 0 of the output", "NaN"]);
    let fully = |in1, in2, out| TensorProductConfig::fully_connected(irreps(in1), irreps(in2), irreps(out));
    refused(fully("4x0e", "1x1o", "4x1o+2x2e+1x0e"), &["block 1 of the output, 2x2e", "with_unreached_outputs"]);
    let mut outside = product("4x1o", "1x1o", "4x2e", "uvu");
    outside.instructions[0].in2 = 1;
    refused(outside, &["no block 1 in 1x1o", "numbered from 0"]);
    let mut negative = product("4x1o", "1x1o", "4x2e", "uvu");
    negative.instructions[0].path_weight = -1.0;
    refused(negative, &["path weight is -1"]);
    let uneven = TensorProductConfig::elementwise(&irreps("2x0e"), &irreps("2x1o+1x0e")).unwrap_err().to_string();
    assert!(uneven.contains("2 and 3 copies"), "{uneven}");
}

#[test]
#[should_panic(expected = "takes as many rows of 4x0e as of 1x1o, not [2, 4] and [3, 3]")]
fn other_rows_panic() {
    let config = TensorProductConfig::full(&irreps("4x0e"), &irreps("1x1o"));
    let product = config.init(&Device::flex()).unwrap();
    product.forward(Tensor::zeros([2, 4], &Device::flex()), Tensor::zeros([3, 3], &Device::flex()));
}

#[test]
#[should_panic(expected = "called by `forward_with`")]
fn a_product_that_is_given_weights_has_none() {
    let config = TensorProductConfig::fully_connected(irreps("4x0e"), irreps("1x1o"), irreps("1x1o"));
    let product = config.without_weights().init(&Device::flex()).unwrap();
    product.forward(Tensor::zeros([2, 4], &Device::flex()), Tensor::zeros([2, 3], &Device::flex()));
}
