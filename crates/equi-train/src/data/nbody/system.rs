use rand::{Rng, RngExt};
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use crate::data::DataError;
use crate::seed::{Purpose, stream};

/// A vector in space.
type Vector = [f64; 3];

/// A system of charged particles: how initial states are drawn, and the law they move by; see the
/// [module documentation](super).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChargedParticles {
    /// Number of particles.
    pub particles: usize,
    /// Initial positions beyond plus or minus this are reflected, with their velocities. The walls act on initial states
    /// only: the motion is free, so it has all symmetries of space.
    pub box_size: f64,
    /// Standard deviation of each coordinate of the initial positions.
    pub loc_std: f64,
    /// Initial speed of every particle; its direction is uniform.
    pub vel_norm: f64,
    /// `k` in the force.
    pub interaction_strength: f64,
    /// Probabilities of the charges -1, 0 and 1.
    pub charge_prob: [f64; 3],
    /// `dt`. The components of the force on a particle are cut to plus or minus `0.1 / dt`.
    pub time_step: f64,
}

/// Charged particles at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Particles {
    /// `[particles]`
    pub charges: Vec<f64>,
    /// `[particles, 3]`
    pub positions: Vec<Vector>,
    /// `[particles, 3]`
    pub velocities: Vec<Vector>,
}

impl ChargedParticles {
    /// The system of the paper for this many particles: the box is 5, the speed 0.5, charges are 1 or -1 alike, and the
    /// standard deviation is 1 for five particles and keeps their density for others.
    pub fn new(particles: usize) -> Self {
        Self {
            particles,
            box_size: 5.0,
            loc_std: (particles as f64 / 5.0).cbrt(),
            vel_norm: 0.5,
            interaction_strength: 1.0,
            charge_prob: [0.5, 0.0, 0.5],
            time_step: 0.001,
        }
    }

    /// Checks that there is something to simulate.
    ///
    /// # Errors
    ///
    /// [`DataError::Simulation`], with the setting and what it must be.
    pub fn check(&self) -> Result<(), DataError> {
        if self.particles == 0 {
            return impossible("particles is 0: give at least 1");
        }
        for (name, value, least) in [
            ("box_size", self.box_size, f64::MIN_POSITIVE),
            ("loc_std", self.loc_std, 0.0),
            ("vel_norm", self.vel_norm, 0.0),
            ("time_step", self.time_step, f64::MIN_POSITIVE),
        ] {
            if !(value.is_finite() && value >= least) {
                let sign = if least > 0.0 { "positive" } else { "0 or positive" };
                return impossible(format!("{name} is {value}: it must be finite and {sign}"));
            }
        }
        if !self.interaction_strength.is_finite() {
            return impossible(format!("interaction_strength is {}: it must be finite", self.interaction_strength));
        }
        // Wider, and initial positions would be reflected many times over: the box is meant to catch stragglers.
        if self.loc_std > self.box_size {
            let Self { loc_std, box_size, .. } = self;
            return impossible(format!("loc_std is {loc_std}: it must not exceed box_size, which is {box_size}"));
        }
        let total: f64 = self.charge_prob.iter().sum();
        if !(self.charge_prob.iter().all(|&p| p >= 0.0) && (total - 1.0).abs() <= 1e-9) {
            let [minus, zero, plus] = self.charge_prob;
            return impossible(format!(
                "charge_prob is [{minus}, {zero}, {plus}]: give probabilities that add up to 1"
            ));
        }
        Ok(())
    }

    /// The initial state of simulation `index` of `seed`.
    ///
    /// # Errors
    ///
    /// Those of [`check`](Self::check).
    pub fn draw(&self, seed: u64, index: usize) -> Result<Particles, DataError> {
        self.check()?;
        let mut rng = stream(seed, Purpose::Simulation, index as u64);
        let charges = (0..self.particles).map(|_| self.charge(rng.random())).collect();
        let positions = (0..self.particles).map(|_| gaussian(&mut rng).map(|z| z * self.loc_std)).collect();
        let velocities = (0..self.particles).map(|_| direction(&mut rng).map(|u| u * self.vel_norm)).collect();
        let mut state = Particles { charges, positions, velocities };
        self.reflect(&mut state);
        Ok(state)
    }

    /// The charge at this place of the cumulative distribution.
    fn charge(&self, chance: f64) -> f64 {
        let [minus, zero, _] = self.charge_prob;
        if chance < minus {
            -1.0
        } else if chance < minus + zero {
            0.0
        } else {
            1.0
        }
    }

    /// Reflects positions outside the box at its walls, and turns their velocities inwards.
    pub fn reflect(&self, state: &mut Particles) {
        let (positions, velocities) = (state.positions.as_flattened_mut(), state.velocities.as_flattened_mut());
        for (x, v) in positions.iter_mut().zip(velocities) {
            while x.abs() > self.box_size {
                *v = -v.abs().copysign(*x);
                *x = (2.0 * self.box_size).copysign(*x) - *x;
            }
        }
    }

    /// Moves `start` for `frames` times `steps_per_frame` steps; gives the state after each `steps_per_frame`. The initial
    /// state is not among them: it is frame -1, so to say.
    ///
    /// # Errors
    ///
    /// [`DataError::Simulation`] for settings that [`check`](Self::check) refuses, no frame or no step, and a state that is
    /// not finite or not of this many particles.
    pub fn trajectory(
        &self,
        start: &Particles,
        frames: usize,
        steps_per_frame: usize,
    ) -> Result<Vec<Particles>, DataError> {
        if frames == 0 || steps_per_frame == 0 {
            return impossible(format!(
                "{frames} frames of {steps_per_frame} steps are no trajectory: give at least 1 of both"
            ));
        }
        let mut states = Vec::with_capacity(frames);
        for _ in 0..frames {
            states.push(self.run(states.last().unwrap_or(start), steps_per_frame)?);
        }
        Ok(states)
    }

    /// The state `steps` steps after `start`.
    ///
    /// # Errors
    ///
    /// [`DataError::Simulation`] for settings that [`check`](Self::check) refuses, and a state that is not finite or not of
    /// this many particles.
    pub fn run(&self, start: &Particles, steps: usize) -> Result<Particles, DataError> {
        self.check()?;
        start.check(self.particles)?;
        let mut state = start.clone();
        let mut forces = vec![[0.0; 3]; self.particles];
        let strengths = self.strengths(&state.charges);
        for _ in 0..steps {
            self.step(&mut state, &strengths, &mut forces);
        }
        Ok(state)
    }

    /// `k q_i q_j` for `i < j`, row by row.
    fn strengths(&self, charges: &[f64]) -> Vec<f64> {
        let row = |i: usize| charges[i + 1..].iter().map(move |q| self.interaction_strength * charges[i] * q);
        (0..charges.len()).flat_map(row).collect()
    }

    /// A kick by the forces, then a drift with the new velocities.
    fn step(&self, state: &mut Particles, strengths: &[f64], forces: &mut [Vector]) {
        let Particles { positions, velocities, .. } = state;
        forces.fill([0.0; 3]);
        let mut strengths = strengths.iter();
        for i in 0..positions.len() {
            let at = positions[i];
            let (own, others) = forces[i..].split_first_mut().expect("particle i has a force");
            for ((other, force), strength) in positions[i + 1..].iter().zip(others).zip(&mut strengths) {
                let difference = [at[0] - other[0], at[1] - other[1], at[2] - other[2]];
                let cube = cubed_length(difference);
                // Particles at one point have no direction to push each other in.
                if cube < f64::MIN_POSITIVE {
                    continue;
                }
                let scale = strength / cube;
                for ((own, force), difference) in own.iter_mut().zip(force).zip(difference) {
                    *own += scale * difference;
                    *force -= scale * difference;
                }
            }
        }
        let largest = 0.1 / self.time_step;
        let state = positions.as_flattened_mut().iter_mut().zip(velocities.as_flattened_mut());
        for ((x, v), force) in state.zip(forces.as_flattened()) {
            *v += self.time_step * force.clamp(-largest, largest);
            *x += self.time_step * *v;
        }
    }

    /// Kinetic and potential energy, for particles of mass 1. Particles at one point do not interact.
    pub fn energy(&self, state: &Particles) -> f64 {
        let kinetic: f64 = state.velocities.as_flattened().iter().map(|v| 0.5 * v * v).sum();
        let mut strengths = self.strengths(&state.charges).into_iter();
        let mut potential = 0.0;
        for (i, a) in state.positions.iter().enumerate() {
            for (b, strength) in state.positions[i + 1..].iter().zip(&mut strengths) {
                let cube = cubed_length([a[0] - b[0], a[1] - b[1], a[2] - b[2]]);
                if cube >= f64::MIN_POSITIVE {
                    potential += strength / cube.cbrt();
                }
            }
        }
        kinetic + potential
    }
}

impl Particles {
    /// Checks that these are finite states of `particles` particles.
    fn check(&self, particles: usize) -> Result<(), DataError> {
        for (name, length) in [
            ("charges", self.charges.len()),
            ("positions", self.positions.len()),
            ("velocities", self.velocities.len()),
        ] {
            if length != particles {
                return impossible(format!("there are {length} {name} for {particles} particles: give one for each"));
            }
        }
        for (i, charge) in self.charges.iter().enumerate() {
            let vectors = self.positions[i].iter().chain(&self.velocities[i]);
            if let Some(value) = vectors.chain([charge]).find(|value| !value.is_finite()) {
                return impossible(format!("the state of particle {i} contains {value}: states must be finite"));
            }
        }
        Ok(())
    }
}

fn impossible<T>(message: impl Into<String>) -> Result<T, DataError> {
    Err(DataError::Simulation { message: message.into() })
}

fn cubed_length([x, y, z]: Vector) -> f64 {
    let square = x * x + y * y + z * z;
    square * square.sqrt()
}

fn gaussian(rng: &mut impl Rng) -> Vector {
    std::array::from_fn(|_| StandardNormal.sample(rng))
}

/// A uniform direction.
fn direction(rng: &mut impl Rng) -> Vector {
    loop {
        let vector = gaussian(rng);
        let length = vector.iter().map(|x| x * x).sum::<f64>().sqrt();
        // Almost surely at once.
        if length > 0.0 {
            return vector.map(|x| x / length);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rounding, amplified by ten thousand steps of a system without close encounters.
    const ROUNDING: f64 = 1e-9;

    fn largest_difference(a: &[Vector], b: &[Vector]) -> f64 {
        a.as_flattened().iter().zip(b.as_flattened()).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    }

    /// Simulations in which no force is cut, the only thing that knows the axes.
    fn calm(system: &ChargedParticles, wanted: usize) -> Vec<Particles> {
        let close = |state: &Particles| {
            let frames = system.trajectory(state, 200, 10).unwrap();
            frames.iter().any(|frame| {
                let x = &frame.positions;
                (0..x.len())
                    .any(|i| (0..i).any(|j| cubed_length(std::array::from_fn(|k| x[i][k] - x[j][k])).cbrt() < 0.5))
            })
        };
        (0..).map(|index| system.draw(3, index).unwrap()).filter(|state| !close(state)).take(wanted).collect()
    }

    #[test]
    fn the_motion_commutes_with_isometries_and_permutations() {
        let system = ChargedParticles::new(5);
        // A rotation by Euler-Rodrigues from a unit quaternion, times -1: a rotoreflection.
        let (a, b, c, d) = (0.5_f64, -0.1, 0.7, 0.5);
        let rows = [
            [a * a + b * b - c * c - d * d, 2.0 * (b * c - a * d), 2.0 * (b * d + a * c)],
            [2.0 * (b * c + a * d), a * a + c * c - b * b - d * d, 2.0 * (c * d - a * b)],
            [2.0 * (b * d - a * c), 2.0 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ];
        let turn = |v: &Vector| rows.map(|row| -(row[0] * v[0] + row[1] * v[1] + row[2] * v[2]));
        let shift = [3.0, -2.0, 0.7];
        let place = |x: &Vector| std::array::from_fn(|k| turn(x)[k] + shift[k]);
        let order = [3, 0, 4, 2, 1];
        for start in calm(&system, 5) {
            let moved = Particles {
                charges: order.iter().map(|&i| start.charges[i]).collect(),
                positions: order.iter().map(|&i| place(&start.positions[i])).collect(),
                velocities: order.iter().map(|&i| turn(&start.velocities[i])).collect(),
            };
            let (frames, moved) =
                (system.trajectory(&start, 2, 1000).unwrap(), system.trajectory(&moved, 2, 1000).unwrap());
            for (frame, moved) in frames.iter().zip(&moved) {
                let expected: Vec<Vector> = order.iter().map(|&i| place(&frame.positions[i])).collect();
                assert!(largest_difference(&expected, &moved.positions) < ROUNDING);
                let expected: Vec<Vector> = order.iter().map(|&i| turn(&frame.velocities[i])).collect();
                assert!(largest_difference(&expected, &moved.velocities) < ROUNDING);
            }
        }
    }

    #[test]
    fn momentum_and_energy_are_kept() {
        let system = ChargedParticles::new(7);
        let momentum = |state: &Particles| -> Vector {
            std::array::from_fn(|k| state.velocities.iter().map(|velocity| velocity[k]).sum())
        };
        for start in calm(&system, 5) {
            let end = system.trajectory(&start, 1, 2000).unwrap().remove(0);
            assert!(largest_difference(&[momentum(&start)], &[momentum(&end)]) < 1e-12);
            // The first-order integrator keeps the energy to about dt times the forces.
            assert!((system.energy(&start) - system.energy(&end)).abs() < 0.02);
            assert!(largest_difference(&start.velocities, &end.velocities) > 0.05, "nothing happened");
        }
    }

    #[test]
    fn forces_are_cut_and_coincident_particles_stay_finite() {
        let system = ChargedParticles::new(2);
        let start = |distance: f64| Particles {
            charges: vec![1.0, 1.0],
            positions: vec![[0.0; 3], [distance, 0.0, 0.0]],
            velocities: vec![[0.0; 3]; 2],
        };
        // 1 / 0.01^2 is 10,000, and the limit is 100: a kick of 0.1.
        let kicked = system.trajectory(&start(0.01), 1, 1).unwrap().remove(0);
        assert_eq!(kicked.velocities, [[-0.1, 0.0, 0.0], [0.1, 0.0, 0.0]]);
        for distance in [0.0, 1e-200] {
            let still = system.trajectory(&start(distance), 1, 10).unwrap().remove(0);
            assert_eq!(still, start(distance));
            assert_eq!(system.energy(&still), 0.0);
        }
    }

    #[test]
    fn a_lonely_particle_flies_straight_on() {
        let system = ChargedParticles::new(1);
        let start = system.draw(0, 0).unwrap();
        let end = system.trajectory(&start, 1, 1000).unwrap().remove(0);
        let expected: Vector = std::array::from_fn(|k| start.positions[0][k] + start.velocities[0][k]);
        assert!(largest_difference(&[expected], &end.positions) < 1e-12);
    }

    #[test]
    fn initial_states_have_the_stated_distribution() {
        let system = ChargedParticles { charge_prob: [0.2, 0.3, 0.5], ..ChargedParticles::new(20) };
        let states: Vec<Particles> = (0..500).map(|index| system.draw(1, index).unwrap()).collect();
        let share = |charge: f64| {
            states.iter().flat_map(|state| &state.charges).filter(|&&q| q == charge).count() as f64 / 10_000.0
        };
        // Four standard errors of a binomial over 10,000 draws are at most 0.02.
        for (charge, probability) in [(-1.0, 0.2), (0.0, 0.3), (1.0, 0.5)] {
            assert!((share(charge) - probability).abs() < 0.02, "{charge}: {}", share(charge));
        }
        let coordinates = || states.iter().flat_map(|state| state.positions.as_flattened());
        let variance = coordinates().map(|x| x * x).sum::<f64>() / 30_000.0;
        // 4^(2/3) = 2.52, less the little that the walls at 5 fold back; four standard errors are 0.08.
        assert!((variance - 4f64.powf(2.0 / 3.0)).abs() < 0.12, "{variance}");
        assert!(coordinates().all(|x| x.abs() <= 5.0));
        for velocity in states.iter().flat_map(|state| &state.velocities) {
            assert!((cubed_length(*velocity).cbrt() - 0.5).abs() < 1e-12);
        }
        let mean: f64 = states.iter().flat_map(|state| state.velocities.as_flattened()).sum::<f64>() / 30_000.0;
        assert!(mean.abs() < 4.0 * 0.5 / 3f64.sqrt() / 30_000f64.sqrt(), "{mean}");
    }

    #[test]
    fn walls_reflect_as_often_as_it_takes() {
        let system = ChargedParticles { box_size: 1.0, ..ChargedParticles::new(1) };
        let mut state =
            Particles { charges: vec![1.0], positions: vec![[1.25, -1.5, 3.5]], velocities: vec![[0.3, 0.4, -0.5]] };
        system.reflect(&mut state);
        assert_eq!(state.positions, [[0.75, -0.5, -0.5]]);
        assert_eq!(state.velocities, [[-0.3, 0.4, 0.5]]);
    }

    #[test]
    fn the_seed_and_the_index_decide_the_state() {
        let system = ChargedParticles::new(5);
        assert_eq!(system.draw(1, 7).unwrap(), system.draw(1, 7).unwrap());
        assert_ne!(system.draw(1, 7).unwrap(), system.draw(1, 8).unwrap());
        assert_ne!(system.draw(1, 7).unwrap(), system.draw(2, 7).unwrap());
    }

    #[test]
    fn impossible_settings_are_named() {
        let paper = ChargedParticles::new(5);
        for (system, word) in [
            (ChargedParticles::new(0), "particles is 0"),
            (ChargedParticles { box_size: 0.0, ..paper.clone() }, "box_size"),
            (ChargedParticles { loc_std: f64::NAN, ..paper.clone() }, "loc_std is NaN"),
            (ChargedParticles { loc_std: 6.0, ..paper.clone() }, "box_size, which is 5"),
            (ChargedParticles { vel_norm: -1.0, ..paper.clone() }, "vel_norm"),
            (ChargedParticles { interaction_strength: f64::INFINITY, ..paper.clone() }, "interaction_strength"),
            (ChargedParticles { time_step: 0.0, ..paper.clone() }, "time_step"),
            (ChargedParticles { charge_prob: [0.5, 0.5, 0.5], ..paper.clone() }, "charge_prob"),
            (ChargedParticles { charge_prob: [1.5, -0.5, 0.0], ..paper.clone() }, "charge_prob"),
            (ChargedParticles { charge_prob: [f64::NAN, 0.5, 0.5], ..paper.clone() }, "charge_prob"),
        ] {
            let message = system.draw(0, 0).unwrap_err().to_string();
            assert!(message.contains(word), "{message}");
        }
        let start = paper.draw(0, 0).unwrap();
        let refuse = |start: &Particles, frames, steps| paper.trajectory(start, frames, steps).unwrap_err().to_string();
        assert!(refuse(&start, 0, 10).contains("0 frames of 10 steps"));
        assert!(refuse(&start, 10, 0).contains("10 frames of 0 steps"));
        let mut few = start.clone();
        few.velocities.pop();
        assert!(refuse(&few, 1, 1).contains("4 velocities for 5 particles"));
        let mut broken = start;
        broken.positions[2][1] = f64::NAN;
        assert!(refuse(&broken, 1, 1).contains("particle 2 contains NaN"));
    }
}
