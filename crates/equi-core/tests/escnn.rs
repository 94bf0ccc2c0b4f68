//! Representations and kernel bases against escnn.

#[path = "../../../tests/golden/mod.rs"]
mod golden;

use equi_core::group::{Element, Group, Rotation, Subgroup};
use equi_core::kernel_basis::{Cutoff, KernelBasis, KernelGrid};
use equi_core::repr::{Irrep, Representation};
use golden::{Array, Tensors};
use nalgebra::DMatrix;
use serde_json::Value;

/// The stored tensors were computed in f64; what differs is the order of additions.
const TOLERANCE: f64 = 1e-12;

fn row_major(matrices: &[DMatrix<f64>]) -> Vec<f64> {
    matrices.iter().flat_map(|m| m.transpose().as_slice().to_vec()).collect()
}

fn assert_close(what: &str, expected: &Array, actual: &[f64], tolerance: f64) {
    let error = expected.relative_error(actual);
    assert!(error < tolerance, "{what}: relative error {error:e}");
}

#[test]
fn groups_irreps_and_regular_representations() {
    let tensors = Tensors::open("escnn/representations.safetensors");
    let cases =
        golden::cases("escnn/manifest.json", |c| c.get("elements").is_some() && c.get("regular_irreps").is_some());
    for case in cases {
        let id = case["case"].as_str().unwrap();
        let group = golden::group(case["group"].as_str().unwrap());
        let elements = group.elements().unwrap();
        let check = |name: &str, actual: &[f64]| {
            let key = format!("{id}/{name}");
            assert_close(&key, &tensors.tensor(&key), actual, TOLERANCE);
        };
        for irrep in case["irreps"].as_array().unwrap() {
            let numbers: Vec<u32> = golden::numbers(&irrep["id"]).iter().map(|&n| n as u32).collect();
            let name = numbers.iter().map(u32::to_string).collect::<Vec<_>>().join("_");
            let irrep = golden::irrep(&numbers);
            let matrices: Vec<_> = elements.iter().map(|g| irrep.at(group, g)).collect();
            check(&format!("irrep_{name}"), &row_major(&matrices));
        }
        let regular = Representation::regular(group).unwrap();
        check("regular", &row_major(&elements.iter().map(|g| regular.at(g)).collect::<Vec<_>>()));
        check("regular_change_of_basis", &row_major(&[regular.change_of_basis().clone()]));
        check("basespace_action", &elements.iter().flat_map(|g| g.matrix().concat()).collect::<Vec<_>>());
        let index = |g: Element| elements.iter().position(|e| *e == g).unwrap() as f64;
        let table: Vec<f64> = elements.iter().flat_map(|a| elements.iter().map(move |b| index(*a * *b))).collect();
        check("multiplication_table", &table);
        check("inverse", &elements.iter().map(|g| index(g.inverse())).collect::<Vec<_>>());
    }
}

#[test]
fn irreps_of_the_continuous_groups() {
    let tensors = Tensors::open("escnn/representations.safetensors");
    for (id, group) in [("so2_irreps", Group::SO2), ("o2_irreps", Group::O2)] {
        let angles = tensors.tensor(&format!("{id}/angle")).values;
        let flips = tensors.get(&format!("{id}/flip")).map_or(vec![0.0; angles.len()], |a| a.values);
        let elements: Vec<Element> =
            angles.iter().zip(&flips).map(|(&a, &f)| Element::new(f == 1.0, Rotation::Radians(a))).collect();
        let names: &[(&str, Irrep)] = if group.has_flips() {
            &[
                ("irrep_0_0", Irrep::TRIVIAL),
                ("irrep_1_0", Irrep { flip: 1, frequency: 0 }),
                ("irrep_1_1", Irrep { flip: 1, frequency: 1 }),
                ("irrep_1_2", Irrep { flip: 1, frequency: 2 }),
            ]
        } else {
            &[
                ("irrep_0", Irrep::TRIVIAL),
                ("irrep_1", Irrep { flip: 0, frequency: 1 }),
                ("irrep_2", Irrep { flip: 0, frequency: 2 }),
                ("irrep_3", Irrep { flip: 0, frequency: 3 }),
            ]
        };
        for (name, irrep) in names {
            let matrices: Vec<_> = elements.iter().map(|g| irrep.at(group, g)).collect();
            assert_close(name, &tensors.tensor(&format!("{id}/{name}")), &row_major(&matrices), TOLERANCE);
        }
        let plane: Vec<f64> = elements.iter().flat_map(|g| g.matrix().concat()).collect();
        assert_close(id, &tensors.tensor(&format!("{id}/basespace_action")), &plane, TOLERANCE);
    }
}

#[test]
fn quotient_restricted_and_product_representations() {
    let tensors = Tensors::open("escnn/representations.safetensors");
    let (d4, c8, c4) = (Group::Dihedral(4), Group::Cyclic(8), Group::Cyclic(4));
    let restrict = |group, subgroup| {
        Representation::regular(group).unwrap().restrict(&Subgroup::new(group, subgroup).unwrap()).unwrap()
    };
    let cases = [
        ("quotient_c8_2", golden::field(c8, "quo:2")),
        ("quotient_d4_01", golden::field(d4, "quo:0,1")),
        ("restrict_d4_c4", restrict(d4, c4)),
        ("restrict_c8_c4", restrict(c8, c4)),
    ];
    for (id, repr) in cases {
        let matrices: Vec<_> = repr.group().elements().unwrap().iter().map(|g| repr.at(g)).collect();
        assert_close(id, &tensors.tensor(&format!("{id}/matrices")), &row_major(&matrices), TOLERANCE);
        let change = row_major(&[repr.change_of_basis().clone()]);
        assert_close(id, &tensors.tensor(&format!("{id}/change_of_basis")), &change, TOLERANCE);
    }
    let irrep = |k| Representation::irrep(c8, Irrep::rotation(k)).unwrap();
    let product = irrep(1).tensor(&irrep(2)).unwrap();
    assert_eq!(product.irreps(), [Irrep::rotation(1), Irrep::rotation(3)]);
    let change = row_major(&[product.change_of_basis().clone()]);
    assert_close("tensor_c8_1_2", &tensors.tensor("tensor_c8_1_2/change_of_basis"), &change, TOLERANCE);
}

#[cfg(feature = "flex")]
#[test]
fn feature_fields_transform_as_in_escnn() {
    use burn::tensor::{DType, Device, Tensor, TensorData};
    use equi_core::FieldType;
    use equi_core::action::field::{act, act_on_fibres};

    let tensors = Tensors::open("escnn_gradients/transforms.safetensors");
    let cases = golden::cases("escnn_gradients/transforms.json", |_| true);
    assert_eq!(cases.len(), 2);
    for case in cases {
        let id = case["id"].as_str().unwrap();
        let group = golden::group(id.trim_start_matches("transform/"));
        let fields = case["in_fields"].as_array().unwrap().iter().map(|field| {
            let name = field["name"].as_str().unwrap();
            match name.strip_prefix("irrep_") {
                Some(irrep) => golden::field(group, &format!("irr:{irrep}")),
                None => golden::field(group, name),
            }
        });
        let field_type = FieldType::new(fields.collect()).unwrap();
        let input = tensors.tensor(&format!("{id}/input"));
        let x = Tensor::<4>::from_data(TensorData::new(input.values, input.shape), (&Device::flex(), DType::F64));
        let elements = group.elements().unwrap();
        let all = |move_field: &dyn Fn(&Element) -> Tensor<4>| -> Vec<f64> {
            let values = |g| move_field(g).into_data().convert::<f64>().try_into_vec::<f64>().unwrap();
            elements.iter().flat_map(values).collect()
        };
        let moved = all(&|g| act(g, x.clone(), &field_type));
        assert_close(id, &tensors.tensor(&format!("{id}/output")), &moved, TOLERANCE);
        let mixed = all(&|g| act_on_fibres(g, x.clone(), &field_type));
        assert_close(id, &tensors.tensor(&format!("{id}/fiber_only")), &mixed, TOLERANCE);
        let plane: Vec<f64> = elements.iter().flat_map(|g| g.matrix().concat()).collect();
        assert_close(id, &tensors.tensor(&format!("{id}/base_matrices")), &plane, TOLERANCE);
    }
}

fn basis(entry: &Value, input: &str, output: &str) -> std::sync::Arc<KernelBasis> {
    let group = golden::group(entry["group"].as_str().unwrap());
    let [input, output] = [input, output].map(|side| golden::field(group, entry[side].as_str().unwrap()));
    KernelBasis::new(&input, &output, &golden::kernel_grid(&entry["kernel_size"], &entry["options"])).unwrap()
}

#[test]
fn rings() {
    let manifest = golden::manifest("escnn/manifest.json");
    for params in manifest["basis_params"].as_array().unwrap() {
        let size = params["kernel_size"].as_u64().unwrap() as usize;
        let dilation = params["dilation"].as_u64().unwrap() as usize;
        let grid = KernelGrid::new(size, dilation, None, None, Cutoff::Standard).unwrap();
        assert_eq!(grid.radii().collect::<Vec<_>>(), golden::numbers(&params["rings"]));
    }
}

/// The cut-offs of all rings show in the counts.
#[test]
fn basis_dimensions_by_radius_and_frequency() {
    let manifest = golden::manifest("escnn/manifest.json");
    let mut compared = 0;
    for entry in manifest["basis_dimensions"].as_array().unwrap() {
        let basis = basis(entry, "in", "out");
        assert_eq!(basis.len() as u64, entry["dim"].as_u64().unwrap(), "{entry}");
        let Some(counts) = entry["dim_by_radius_and_frequency"].as_object() else { continue };
        for (key, count) in counts {
            let (radius, frequency) = key.split_once(':').unwrap();
            let (radius, frequency): (f64, u32) = (radius.parse().unwrap(), frequency.parse().unwrap());
            let found = basis.elements().iter().filter(|e| e.radius == radius && e.frequency == frequency).count();
            assert_eq!(found as u64, count.as_u64().unwrap(), "{entry}: {key}");
            compared += 1;
        }
    }
    assert!(compared > 500, "only {compared} counts compared");
}

#[test]
fn sampled_bases_of_rotation_groups_are_equal() {
    let tensors = Tensors::open("escnn/basis.safetensors");
    let mut compared = 0;
    for case in golden::cases("escnn/manifest.json", |c| c["file"] == "basis.safetensors") {
        let id = case["case"].as_str().unwrap();
        let Some(expected) = tensors.get(&format!("{id}/sampled_basis")) else { continue };
        let basis = basis(&case, "in_field", "out_field");
        assert_eq!(expected.shape[0], basis.len(), "{id}");
        assert_close(id, &expected, basis.values(), TOLERANCE);
        compared += 1;
    }
    assert!(compared >= 20, "only {compared} bases compared");
}

#[test]
fn spans_are_equal() {
    let tensors = Tensors::open("escnn/basis.safetensors");
    let mut compared = 0;
    for case in golden::cases("escnn/manifest.json", |c| c["file"] == "basis.safetensors") {
        let id = case["case"].as_str().unwrap();
        if !id.starts_with("pro") {
            continue;
        }
        let basis = basis(&case, "in_field", "out_field");
        assert_eq!(basis.len() as u64, case["basis_dim"].as_u64().unwrap(), "{id}");
        compared += 1;
        if basis.is_empty() {
            continue;
        }
        let projector = projector(&basis);
        // The bases have condition numbers up to 10, and the projectors come from their singular vectors.
        let tolerance = 1e-10;
        if let Some(expected) = tensors.get(&format!("{id}/projector")) {
            assert_close(id, &expected, projector.as_slice(), tolerance);
        } else {
            let probe = tensors.tensor(&format!("{id}/probe"));
            let projected = tensors.tensor(&format!("{id}/projected_probe"));
            let probe = DMatrix::from_column_slice(projector.nrows(), probe.shape[0], &probe.values);
            assert_close(id, &projected, (&projector * probe).as_slice(), tolerance);
        }
    }
    assert!(compared >= 20, "only {compared} spans compared");
}

/// The orthogonal projector onto the span of the basis.
fn projector(basis: &KernelBasis) -> DMatrix<f64> {
    let width = basis.values().len() / basis.len();
    let elements = DMatrix::from_column_slice(width, basis.len(), basis.values());
    let q = elements.svd(true, false).u.unwrap();
    &q * q.transpose()
}
