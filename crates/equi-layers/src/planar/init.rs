//! How weights start, and what convolutions share when they are built.

use burn::module::Param;
use burn::tensor::{DType, Device, Distribution, Tensor, TensorCreationOptions, TensorData};
use equi_core::FieldType;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution as _, StandardNormal};

use super::expansion::Expansion;
use crate::error::{LayerError, Result};

/// How far, relatively, a filter may be from every equivariant one and still be taken for one: f32 filters of other libraries
/// agree to about 1e-6.
const NEAR: f64 = 1e-4;

/// How the weights of a steerable convolution start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Initializer {
    /// escnn's generalised He initialisation: normal, of variance `1 / (n_in n_basis)`, from the device's random numbers (see
    /// `Device::seed`).
    #[default]
    GeneralizedHe,
    /// The same from random numbers of its own, equal on every device.
    Seeded(u64),
    /// Zeros, for weights that are loaded.
    Zeros,
}

impl Initializer {
    pub(super) fn weights(self, plan: &Expansion, device: &Device, dtype: DType) -> Param<Tensor<1>> {
        let count = plan.weights();
        let upload = |values: Vec<f64>| from_f64(values, device, dtype);
        Param::from_tensor(match self {
            Self::Zeros => Tensor::zeros([count], (device, dtype)),
            Self::GeneralizedHe => {
                Tensor::random([count], Distribution::Normal(0.0, 1.0), (device, dtype)) * upload(plan.he_deviations())
            }
            Self::Seeded(seed) => {
                let normal = StandardNormal.sample_iter(ChaCha8Rng::seed_from_u64(seed));
                upload(plan.he_deviations().iter().zip(normal).map(|(d, z): (&f64, f64)| d * z).collect())
            }
        })
    }
}

/// The device and the float precision of creation options.
pub(crate) fn resolve(options: impl Into<TensorCreationOptions>) -> (Device, DType) {
    let options = options.into();
    let dtype = options.dtype.unwrap_or_else(|| Tensor::<1>::empty([1], &options.device).dtype());
    (options.device, dtype)
}

pub(crate) fn from_f64(values: Vec<f64>, device: &Device, dtype: DType) -> Tensor<1> {
    let count = values.len();
    Tensor::from_data(TensorData::new(values, [count]).convert_dtype(dtype), (device, dtype))
}

/// From the trivial irreps of a type to its channels, `[channels, trivials]`; `None` without trivial irreps.
pub(super) fn bias_expansion(field_type: &FieldType, device: &Device, dtype: DType) -> Option<Tensor<2>> {
    let (rows, columns) =
        (field_type.size(), field_type.fields().iter().flat_map(|f| f.irreps()).filter(|i| i.is_trivial()).count());
    if columns == 0 {
        return None;
    }
    let mut values = vec![0.0; rows * columns];
    let mut next = 0;
    for (start, field) in field_type.offsets() {
        for column in field.invariants().column_iter() {
            for (i, value) in column.iter().enumerate() {
                values[(start + i) * columns + next] = *value;
            }
            next += 1;
        }
    }
    Some(from_f64(values, device, dtype).reshape([rows, columns]))
}

/// New weights whose filter is `filter`, on the device and in the precision of the old ones.
pub(super) fn weights_of(
    plan: &Expansion,
    old: &Param<Tensor<1>>,
    like: &Tensor<4>,
    filter: Tensor<4>,
) -> Result<Param<Tensor<1>>> {
    if filter.dims() != like.dims() {
        return Err(LayerError::InvalidConfig(format!(
            "the filter has shape {:?}, but this layer's is {:?}",
            filter.dims(),
            like.dims()
        )));
    }
    let values = filter.into_data().convert::<f64>().try_into_vec::<f64>().expect("f64 after conversion");
    let (weights, distance) = plan.project(&values);
    if distance.is_nan() || distance > NEAR {
        return Err(LayerError::NotEquivariant { distance });
    }
    let (device, dtype) = (old.device(), old.dtype());
    Ok(Param::from_tensor(from_f64(weights, &device, dtype)))
}
