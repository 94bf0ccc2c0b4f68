//! A kernel basis for a pair of representations, sampled, normalised and cached.

use burn::tensor::{DType, Device, Tensor, TensorData};
use nalgebra::DMatrix;
use std::collections::HashMap;
use std::f64::consts::FRAC_PI_2;
use std::sync::{Arc, Mutex, OnceLock, Weak};

use super::KernelGrid;
use super::angular::solutions;
use crate::error::{Error, Result};
use crate::repr::{Irrep, Representation};

/// Elements sampled to less than this squared norm vanish on the grid and are dropped.
const VANISHING: f64 = 1e-2;

/// A basis of the equivariant kernels from one representation to another, `[elements, out, in, size * size]`.
///
/// Each element is normalised so that the squared norm of its irrep block is the size of its output irrep. Bases are
/// shared: two layers with the same representations and grid hold the same one, also on the device.
pub struct KernelBasis {
    input: Representation,
    output: Representation,
    points: usize,
    elements: Vec<BasisElement>,
    values: Vec<f64>,
    on_device: Mutex<Vec<(Device, DType, Tensor<2>)>>,
}

/// Where an element of a kernel basis comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BasisElement {
    /// Angular frequency.
    pub frequency: u32,
    /// Radius of its ring in pixels.
    pub radius: f64,
    /// Position of the input irrep in the input representation.
    pub input_position: usize,
    /// Position of the output irrep in the output representation.
    pub output_position: usize,
    /// The input irrep.
    pub input: Irrep,
    /// The output irrep.
    pub output: Irrep,
}

type Key = (Representation, Representation, Vec<u64>);

impl KernelBasis {
    /// The basis of kernels from `input` to `output` on `grid`, from the cache if it is in use already.
    ///
    /// The basis is empty where only the zero kernel is equivariant.
    ///
    /// # Errors
    /// [`Error::GroupMismatch`] if the representations belong to different groups.
    pub fn new(input: &Representation, output: &Representation, grid: &KernelGrid) -> Result<Arc<Self>> {
        static IN_USE: OnceLock<Mutex<HashMap<Key, Weak<KernelBasis>>>> = OnceLock::new();
        if input.group() != output.group() {
            return Err(Error::GroupMismatch { left: format!("{input:?}"), right: format!("{output:?}") });
        }
        let key = (input.clone(), output.clone(), grid.key());
        let mut in_use = IN_USE.get_or_init(Mutex::default).lock().expect("no panic while the cache is held");
        if let Some(basis) = in_use.get(&key).and_then(Weak::upgrade) {
            return Ok(basis);
        }
        in_use.retain(|_, basis| basis.strong_count() > 0);
        let basis = Arc::new(Self::sample(input, output, grid));
        in_use.insert(key, Arc::downgrade(&basis));
        Ok(basis)
    }

    fn sample(input: &Representation, output: &Representation, grid: &KernelGrid) -> Self {
        let group = input.group();
        let points = grid.points();
        let radial: Vec<Vec<f64>> = grid.rings().iter().map(|ring| ring.profile(&points)).collect();

        let mut this = Self {
            input: input.clone(),
            output: output.clone(),
            points: points.len(),
            elements: Vec::new(),
            values: Vec::new(),
            on_device: Mutex::default(),
        };
        let mut solved = HashMap::new();
        for frequency in 0..=grid.highest_frequency() {
            let harmonics = harmonics(frequency, &points);
            for (i, (input_at, input_irrep)) in input.irrep_offsets().enumerate() {
                for (o, (output_at, output_irrep)) in output.irrep_offsets().enumerate() {
                    let found = solved
                        .entry((frequency, input_irrep, output_irrep))
                        .or_insert_with(|| solutions(group, input_irrep, output_irrep, frequency));
                    let b = output.change_of_basis().columns(output_at, output_irrep.size(group));
                    let a = input.change_of_basis().columns(input_at, input_irrep.size(group));
                    for solution in found.iter() {
                        // The change of basis is the same at every point: apply it to the coefficients.
                        let mixed: Vec<DMatrix<f64>> =
                            solution.coefficients.iter().map(|c| b * c * a.transpose()).collect();
                        for (ring, profile) in grid.rings().iter().zip(&radial) {
                            if f64::from(frequency) > ring.cutoff {
                                continue;
                            }
                            let element = BasisElement {
                                frequency,
                                radius: ring.radius,
                                input_position: i,
                                output_position: o,
                                input: input_irrep,
                                output: output_irrep,
                            };
                            let size = output_irrep.size(group);
                            this.push(element, size, &solution.coefficients, &mixed, &harmonics, profile);
                        }
                    }
                }
            }
        }
        this
    }

    /// Adds an element unless it vanishes on the grid.
    fn push(
        &mut self,
        element: BasisElement,
        size: usize,
        coefficients: &[DMatrix<f64>],
        mixed: &[DMatrix<f64>],
        harmonics: &[Vec<f64>],
        profile: &[f64],
    ) {
        let angular: Vec<Vec<f64>> =
            harmonics.iter().map(|y| y.iter().zip(profile).map(|(y, r)| y * r).collect()).collect();
        // The changes of basis are orthogonal, so that the norm can be taken before them.
        let squared: f64 = (0..self.points)
            .map(|p| coefficients.iter().zip(&angular).map(|(c, y)| c * y[p]).sum::<DMatrix<f64>>().norm_squared())
            .sum();
        let norm = (squared / size as f64).sqrt();
        let scale = if norm < 1e-6 { 1.0 } else { 1.0 / norm };
        if squared * scale * scale <= VANISHING {
            return;
        }
        for row in 0..self.output.size() {
            for column in 0..self.input.size() {
                let weights: Vec<f64> = mixed.iter().map(|m| m[(row, column)] * scale).collect();
                self.values
                    .extend((0..self.points).map(|p| weights.iter().zip(&angular).map(|(w, y)| w * y[p]).sum::<f64>()));
            }
        }
        self.elements.push(element);
    }

    /// The elements, in the order of the weights.
    pub fn elements(&self) -> &[BasisElement] {
        &self.elements
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.elements.len()
    }

    /// Whether only the zero kernel is equivariant.
    pub fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    /// The sampled elements, `[elements, out, in, size * size]`, row-major.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// The representation of the input.
    pub fn input(&self) -> &Representation {
        &self.input
    }

    /// The representation of the output.
    pub fn output(&self) -> &Representation {
        &self.output
    }

    /// The sampled elements on a device, `[elements, out * in * size * size]`, uploaded once per device and dtype.
    pub fn tensor(&self, device: &Device, dtype: DType) -> Tensor<2> {
        let mut uploaded = self.on_device.lock().expect("no panic while the cache is held");
        if let Some((_, _, tensor)) = uploaded.iter().find(|(d, t, _)| d == device && *t == dtype) {
            return tensor.clone();
        }
        let width = self.output.size() * self.input.size() * self.points;
        let data = TensorData::new(self.values.clone(), [self.len(), width]).convert_dtype(dtype);
        let tensor = Tensor::from_data(data, (device, dtype));
        uploaded.push((device.clone(), dtype, tensor.clone()));
        tensor
    }
}

impl std::fmt::Debug for KernelBasis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KernelBasis({} -> {}, {} elements)", self.input, self.output, self.len())
    }
}

/// `(cos f phi, sin f phi)` at the points (1 for f = 0), `phi` from the vertical axis; zero at the origin for f > 0.
pub(super) fn harmonics(frequency: u32, points: &[(f64, f64)]) -> Vec<Vec<f64>> {
    if frequency == 0 {
        return vec![vec![1.0; points.len()]];
    }
    let angle = |&(x, y): &(f64, f64)| (x.hypot(y) > 1e-9).then(|| f64::from(frequency) * (y.atan2(x) - FRAC_PI_2));
    [f64::cos, f64::sin].iter().map(|f| points.iter().map(|p| angle(p).map_or(0.0, f)).collect()).collect()
}
