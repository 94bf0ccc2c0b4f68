//! The charged particles, against trajectories of the reference simulator.

#[path = "../../../tests/golden/mod.rs"]
mod golden;

use equi_train::data::nbody::{ChargedParticles, Particles};
use golden::{Array, Tensors, cases};
use serde_json::Value;

/// The trajectories of the manifest with the system that each was made with.
fn trajectories() -> Vec<(String, Value, ChargedParticles)> {
    let simulated = |case: &Value| case["name"].as_str().is_some_and(|name| name.starts_with("nbody_"));
    let system = |config: &Value| {
        let mut system = ChargedParticles::new(config["n_balls"].as_u64().unwrap() as usize);
        system.loc_std = config["effective_loc_std"].as_f64().unwrap();
        system.box_size = config["box_size"].as_f64().unwrap();
        system.vel_norm = config["vel_norm"].as_f64().unwrap();
        system.interaction_strength = config["interaction_strength"].as_f64().unwrap();
        system.time_step = config["delta_T"].as_f64().unwrap();
        if let Some(probabilities) = config.get("charge_prob") {
            system.charge_prob = golden::numbers(probabilities).try_into().unwrap();
        }
        system
    };
    cases("egnn/manifest.json", simulated)
        .into_iter()
        .map(|case| {
            let config = case["config"].clone();
            let system = system(&config);
            (case["name"].as_str().unwrap().to_string(), config, system)
        })
        .collect()
}

fn vectors(array: &Array) -> Vec<[f64; 3]> {
    array.values.chunks(3).map(|row| row.try_into().unwrap()).collect()
}

fn state(file: &Tensors, positions: &str, velocities: &str) -> Particles {
    Particles {
        charges: file.tensor("charges").values,
        positions: vectors(&file.tensor(positions)),
        velocities: vectors(&file.tensor(velocities)),
    }
}

#[test]
fn trajectories_and_energies_are_those_of_the_reference() {
    let all = trajectories();
    assert_eq!(all.len(), 4);
    for (name, config, system) in all {
        let file = Tensors::open(&format!("egnn/{name}.safetensors"));
        let (positions, velocities, energies) = (file.tensor("loc"), file.tensor("vel"), file.tensor("energy"));
        let steps = config["sample_freq"].as_u64().unwrap() as usize;
        let frames = positions.shape[0];
        assert_eq!(file.tensor("step").values, (1..=frames).map(|k| (k * steps) as f64).collect::<Vec<_>>());

        let start = state(&file, "x0", "v0");
        assert!((system.energy(&start) - file.tensor("energy0").values[0]).abs() < 1e-12, "{name}");
        let found = system.trajectory(&start, frames, steps).unwrap();
        // The reference takes squared distances as |a|^2 + |b|^2 - 2 ab. A direct computation in Python differs from it by
        // this much, which close encounters amplify; the order of sums may differ, too.
        let independent = config["independent_reimplementation_max_abs_diff"].as_f64().unwrap();
        let tolerance = (100.0 * independent).max(1e-12);
        for (k, found) in found.iter().enumerate() {
            let expected = |array: &Array| vectors(array)[k * 5..(k + 1) * 5].to_vec();
            for (found, expected) in
                [(&found.positions, expected(&positions)), (&found.velocities, expected(&velocities))]
            {
                for (a, b) in found.as_flattened().iter().zip(expected.as_flattened()) {
                    assert!((a - b).abs() < tolerance, "{name}, frame {k}: {a} is not {b}");
                }
            }
            // A close encounter has a large potential: an error of a position counts by the force there, at most 100 / dt in
            // what is cut, and more in what is not.
            let slope = if name == "nbody_close_encounter" { 1e5 } else { 10.0 };
            let (a, b) = (system.energy(found), energies.values[k]);
            assert!((a - b).abs() < slope * tolerance, "{name}, frame {k}: energy {a} is not {b}");
        }
    }
}

#[test]
fn walls_reflect_initial_states_as_in_the_reference() {
    for (name, _, system) in trajectories() {
        let file = Tensors::open(&format!("egnn/{name}.safetensors"));
        let mut drawn = state(&file, "x_drawn", "v_drawn");
        system.reflect(&mut drawn);
        assert_eq!(drawn, state(&file, "x0", "v0"), "{name}");
    }
}
