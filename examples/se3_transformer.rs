//! Atoms that polarise one another: an SE(3)-Transformer learns their dipoles from clouds that lie flat, and knows them in any position.
//!
//! `cargo run --release --example se3_transformer` (`-- --steps 20` for a quick look)
//!
//! Charges make an electric field, the field makes a dipole of every atom, dipoles make a field of their own, until all agree. So scalars
//! go in, the charges; vectors come out, the dipoles; and on the way vectors have to hear of each other. One network attends to all atoms
//! of a cloud, another to the five nearest.

use std::error::Error;
use std::time::Instant;

use burn::module::Module;
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::{DType, Device, Tensor, TensorData};
use equi::core::action::space::PointField;
use equi::core::check::points::{PointFeature, PointFn, Trials, outputs, probe};
use equi::core::group::Isometry;
use equi::layers::graph::Graph;
use equi::layers::se3_transformer::{DenseInputs, Fibre, SE3Inputs, SE3Transformer, SE3TransformerConfig};
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};

const ATOMS: usize = 9;

struct Cloud {
    positions: [[f64; 3]; ATOMS],
    charges: [f64; ATOMS],
    dipoles: [[f64; 3]; ATOMS],
}

impl Cloud {
    /// Every dipole from the field of all charges and other dipoles, again and again until they agree. The first time none is known.
    fn new(positions: [[f64; 3]; ATOMS], charges: [f64; ATOMS], rounds: usize) -> Self {
        let mut dipoles = [[0.0; 3]; ATOMS];
        for _ in 0..rounds {
            let old = std::mem::replace(&mut dipoles, [[0.0; 3]; ATOMS]);
            for (i, j) in (0..ATOMS * ATOMS).map(|pair| (pair / ATOMS, pair % ATOMS)).filter(|(i, j)| i != j) {
                let r: [f64; 3] = std::array::from_fn(|axis| positions[i][axis] - positions[j][axis]);
                let square = dot(r, r) + 0.25; // Charges are a little spread out.
                let strength = charges[j] + 3.0 * dot(r, old[j]) / square;
                for (axis, r) in r.into_iter().enumerate() {
                    dipoles[i][axis] += 0.3 * (strength * r - old[j][axis]) / square.powf(1.5);
                }
            }
        }
        Self { positions, charges, dipoles }
    }

    /// Three by three in a plane, each a little out of its place.
    fn draw(rng: &mut impl Rng) -> Self {
        let place = |i: usize| [1.3 * (i % 3) as f64, 1.3 * (i / 3) as f64, 0.0];
        let positions = std::array::from_fn(|i| place(i).map(|x| x + 0.6 * rng.random::<f64>()));
        Self::new(positions, std::array::from_fn(|_| if rng.random() { 1.0 } else { -1.0 }), 50)
    }
}

/// Clouds, one row for every atom.
struct Batch {
    graph: Graph,
    charges: Tensor<2>,
    positions: Tensor<2>,
    dipoles: Tensor<2>,
}

impl Batch {
    /// The options of the network say who attends to whom.
    fn new(clouds: &[Cloud], config: &SE3TransformerConfig, device: &Device) -> Result<Self, Box<dyn Error>> {
        let edges = clouds.iter().map(|cloud| Ok(config.neighbours(&cloud.positions, None, None)?.edges));
        let rows = |of: fn(&Cloud) -> &[f64], width: usize| {
            let data = TensorData::new(clouds.iter().flat_map(of).copied().collect(), [clouds.len() * ATOMS, width]);
            Tensor::from_data(data.convert_dtype(DType::F32), device)
        };
        Ok(Self {
            graph: Graph::batch(&edges.collect::<Result<Vec<_>, Box<dyn Error>>>()?, device)?,
            charges: rows(|cloud| &cloud.charges, 1),
            positions: rows(|cloud| cloud.positions.as_flattened(), 3),
            dipoles: rows(|cloud| cloud.dipoles.as_flattened(), 3),
        })
    }

    /// The mean square of what the network says, less the dipoles.
    fn loss(&self, network: &SE3Transformer) -> Tensor<1> {
        let output = network.forward(&self.graph, SE3Inputs::new(self.charges.clone(), self.positions.clone()));
        (vectors(output.degree(1)) - self.dipoles.clone()).square().mean()
    }

    /// Its root, in per cent of that of the dipoles.
    fn error(&self, loss: Tensor<1>) -> f64 {
        100.0 * (loss / self.dipoles.clone().square().mean()).sqrt().into_scalar::<f64>()
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let steps = steps_from(std::env::args())?;
    let (device, mut rng) = (Device::default(), StdRng::seed_from_u64(0));

    // 1. Clouds that lie flat, to learn from. Others to be asked about: as flat, then each turned and moved, its dipoles computed anew.
    let mut draw = |count: usize| (0..count).map(|_| Cloud::draw(&mut rng)).collect::<Vec<_>>();
    let (training, unseen) = (draw(200), draw(200));
    let mut moved = |cloud: &Cloud| {
        let g = Isometry::random_translation(5.0, &mut rng) * Isometry::random_rotation(&mut rng);
        Cloud::new(cloud.positions.map(|x| g.act(x)), cloud.charges, 50)
    };
    let turned: Vec<_> = unseen.iter().map(&mut moved).collect();
    let alone: Vec<_> = unseen.iter().map(|cloud| Cloud::new(cloud.positions, cloud.charges, 1)).collect();

    println!("error in % of the dipoles      unseen    turned   |f(g x) - g f(x)|   seconds");
    for (name, neighbours) in [("attention to all", None), ("attention to the nearest 5", Some(5))] {
        // 2. A charge in, a vector out; in between eight scalars and eight vectors. Physics does not tell left from right.
        let config = SE3TransformerConfig::new(8)
            .with_heads(2)
            .with_dim_head(8)
            .with_dim_in(Some(1))
            .with_output_fibre(Some(Fibre::new([(1, 1)])))
            .with_num_neighbors(neighbours)
            .with_radial_hidden(32)
            .with_reflections(true)
            .with_seed(Some(0));
        let (start, autodiff) = (Instant::now(), device.clone().autodiff());
        let (mut network, mut adam) = (config.init(&autodiff)?, AdamConfig::new().init());

        // 3. Training.
        let batches = training.chunks(20).map(|clouds| Batch::new(clouds, &config, &autodiff));
        let batches = batches.collect::<Result<Vec<_>, _>>()?;
        for (step, batch) in batches.iter().cycle().take(steps).enumerate() {
            let gradients = GradientsParams::from_grads(batch.loss(&network).backward(), &network);
            let falling = 1.0 + (std::f64::consts::PI * step as f64 / steps as f64).cos();
            network = adam.step(3e-3 * falling, network, gradients);
        }
        let (network, seconds) = (network.valid(), start.elapsed().as_secs_f64());

        // 4. Clouds it has not seen. How far off they are if dipoles do not hear of each other is the first row.
        let batch = |clouds: &[Cloud]| Batch::new(clouds, &config, &device);
        let (flat, turned, alone) = (batch(&unseen)?, batch(&turned)?, batch(&alone)?);
        let errors = [&flat, &turned].map(|batch| batch.error(batch.loss(&network)));
        if neighbours.is_none() {
            let simple = flat.error((alone.dipoles - flat.dipoles.clone()).square().mean());
            println!("{:<28}{simple:>9.1}{simple:>10.1}", "charges alone, exactly");
        }

        // 5. Rotations, reflections, translations and permutations of noise. Padded tensors are the other way in: here one cloud, whose
        //    neighbours are found anew wherever it goes.
        let [charge, position, dipole] = [PointField::Scalar, PointField::Position, PointField::Vector]
            .map(|field| PointFeature::per_node(field, 1));
        let map = PointFn::new(&[ATOMS], &[charge, position], &[dipole], &device, DType::F32, |x, _| {
            let inputs = DenseInputs::new(x[0].clone().unsqueeze_dim(0), x[1].clone().unsqueeze_dim(0));
            vec![vectors(network.forward_dense(inputs).expect("a cloud").rows().degree(1))]
        });
        let report = outputs(&map, &probe(&map, 0), &Trials::default());
        report.assert_within("dipoles", 1e-4); // Some hundred roundings, up to three times as far away as the cloud is wide.
        println!("{name:<28}{:>9.1}{:>10.1}{:>20.1e}{seconds:>10.0}", errors[0], errors[1], report.error());
    }
    println!("\nafter {steps} steps on {} clouds, all of them flat; {} others", training.len(), unseen.len());
    Ok(())
}

/// `[atoms, 1, 3]` to `[atoms, 3]`.
fn vectors(features: Option<Tensor<3>>) -> Tensor<2> {
    features.expect("vectors").squeeze_dim(1)
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// `--steps N` from the command line, 500 otherwise.
fn steps_from(mut arguments: impl Iterator<Item = String>) -> Result<usize, Box<dyn Error>> {
    match arguments.find(|a| a == "--steps") {
        Some(_) => Ok(arguments.next().ok_or("--steps needs a number")?.parse()?),
        None => Ok(500),
    }
}
