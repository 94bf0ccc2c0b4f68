//! The eight pieces of Tetris in space: learn each in one orientation, know it in all. Two of them are mirror images.
//!
//! `cargo run --release --example tetris` (`-- --steps 20` for a quick look)
//!
//! A tensor field network gives every piece seven even numbers and an odd one, which a mirror negates. The screws share their even
//! number; the odd one, added for the left and subtracted for the right, tells them apart. No orientation but one is ever shown.

use std::error::Error;

use burn::module::Module;
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::{Device, Int, Tensor, TensorData, activation};
use equi::core::group::Isometry;
use equi::core::o3::Irreps;
use equi::core::ops::segment_mean;
use equi::layers::graph::{EdgeList, Graph};
use equi::layers::o3::{TensorFieldNetwork, TensorFieldNetworkConfig};

/// Four cubes each, by their centres.
const PIECES: [(&str, [[f64; 3]; 4]); 8] = [
    ("left screw", [[0.0, 0.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [1.0, 1.0, 0.0]]),
    ("right screw", [[0.0, 0.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [1.0, -1.0, 0.0]]),
    ("square", [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 1.0, 0.0]]),
    ("line", [[0.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 2.0], [0.0, 0.0, 3.0]]),
    ("corner", [[0.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]),
    ("L", [[0.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 2.0], [0.0, 1.0, 0.0]]),
    ("T", [[0.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 2.0], [0.0, 1.0, 1.0]]),
    ("zigzag", [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [2.0, 1.0, 0.0]]),
];

/// Random orientations that every piece is shown in.
const ORIENTATIONS: usize = 100;

type Positions = Vec<[f64; 3]>;

fn main() -> Result<(), Box<dyn Error>> {
    let steps = steps_from(std::env::args())?;
    let device = Device::default();

    // 1. Neighbours are cubes that touch: one and a half for a cube in the mean. Scalars alone cannot see directions, and without
    //    pseudovectors (1e), the cross products of vectors, nothing odd comes out.
    let hidden = Irreps::parse("16x0e+8x0o+8x1o+8x1e+4x2e+4x2o")?;
    let config = TensorFieldNetworkConfig::new(Irreps::parse("0e")?, hidden, Irreps::parse("7x0e+0o")?, 1.5, 1.5);
    let autodiff = device.clone().autodiff();
    let mut network = config.with_seed(0).init(&autodiff)?;

    // 2. Training, on one orientation of each.
    let pieces: Vec<Positions> = PIECES.iter().map(|(_, piece)| piece.to_vec()).collect();
    let answers = Tensor::<1, Int>::arange(0..8, &autodiff).unsqueeze_dim(1);
    let mut adam = AdamConfig::new().init();
    for _ in 0..steps {
        let scores = activation::log_softmax(classify(&network, &pieces, &autodiff)?, 1);
        let loss = -scores.gather(1, answers.clone()).mean();
        let gradients = GradientsParams::from_grads(loss.backward(), &network);
        network = adam.step(5e-3, network, gradients);
    }
    let network = network.valid();

    // 3. Every piece in random orientations and places, and in a mirror.
    let mut rng = rand::rng();
    let (mut right, mut mirrored, mut spread) = ([0; 8], [0; 8], 0.0_f32);
    let straight = scores(&network, &pieces, &device)?;
    for _ in 0..ORIENTATIONS {
        let g = Isometry::random_translation(3.0, &mut rng) * Isometry::random_rotation(&mut rng);
        let turned = scores(&network, &moved(&g, &pieces), &device)?;
        let reflected = scores(&network, &moved(&(g * Isometry::INVERSION), &pieces), &device)?;
        for piece in 0..8 {
            // A mirror makes one screw the other and leaves the rest what it is.
            let image = [1, 0, 2, 3, 4, 5, 6, 7][piece];
            right[piece] += usize::from(largest(&turned[piece]) == piece);
            mirrored[piece] += usize::from(largest(&reflected[piece]) == image);
            let scale = straight[piece].iter().fold(0.0_f32, |largest, score| largest.max(score.abs()));
            let differences = straight[piece].iter().zip(&turned[piece]).map(|(a, b)| (a - b).abs() / scale);
            spread = differences.fold(spread, f32::max);
        }
    }

    // 4. The table.
    println!("{:<14}{:>12}{:>10}{:>12}", "piece", "as learned", "turned", "mirrored");
    for (piece, (name, _)) in PIECES.iter().enumerate() {
        let learned = if largest(&straight[piece]) == piece { "right" } else { "wrong" };
        println!("{name:<14}{learned:>12}{:>8} %{:>10} %", right[piece], mirrored[piece]);
    }
    println!(
        "\nafter {steps} steps on 8 examples; scores of {ORIENTATIONS} orientations differ by {spread:.1e} of the largest"
    );
    Ok(())
}

/// Scores of the eight pieces for every one that is given, `[pieces, 8]`.
fn classify(network: &TensorFieldNetwork, pieces: &[Positions], device: &Device) -> Result<Tensor<2>, Box<dyn Error>> {
    let edges = pieces.iter().map(|piece| EdgeList::radius(piece, 1.5)).collect::<Result<Vec<_>, _>>()?;
    let graph = Graph::batch(&edges, device)?;
    let rows = pieces.concat();
    let data = TensorData::new(rows.concat(), [rows.len(), 3]).convert::<f32>();
    let ones = Tensor::ones([rows.len(), 1], device);
    let nodes = network.forward(&graph, ones, Tensor::from_data(data, device), None);
    let means = segment_mean(nodes, graph.members());
    let (screw, others, odd) = (means.clone().narrow(1, 0, 1), means.clone().narrow(1, 1, 6), means.narrow(1, 7, 1));
    Ok(Tensor::cat(vec![screw.clone() + odd.clone(), screw - odd, others], 1))
}

/// The same as numbers.
fn scores(
    network: &TensorFieldNetwork,
    pieces: &[Positions],
    device: &Device,
) -> Result<Vec<Vec<f32>>, Box<dyn Error>> {
    let values: Vec<f32> = classify(network, pieces, device)?.into_data().iter().collect();
    Ok(values.chunks(8).map(<[f32]>::to_vec).collect())
}

fn moved(g: &Isometry, pieces: &[Positions]) -> Vec<Positions> {
    pieces.iter().map(|piece| piece.iter().map(|&centre| g.act(centre)).collect()).collect()
}

fn largest(scores: &[f32]) -> usize {
    (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b])).expect("eight scores")
}

/// `--steps N` from the command line, 100 otherwise.
fn steps_from(mut arguments: impl Iterator<Item = String>) -> Result<usize, Box<dyn Error>> {
    match arguments.find(|a| a == "--steps") {
        Some(_) => Ok(arguments.next().ok_or("--steps needs a number")?.parse()?),
        None => Ok(100),
    }
}
