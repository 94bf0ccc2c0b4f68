//! Points in an `.npz` file, the same number in every sample.
//!
//! | array | shape | |
//! |---|---|---|
//! | `positions` (or `R`, `coords`) | `[samples, points, 3]` | |
//! | the target | `[samples]`, `[samples, 1]` or `[samples, points, 3]` | a number of a sample, or a vector of every point |
//! | `velocities` | `[samples, points, 3]` | optional |
//! | `species` (or `z`, `nuclear_charges`) | `[samples, points]`, or `[points]` if they are those of all samples | optional; whole numbers |
//! | `features` | `[samples, points, features]` or `[samples, points]` | optional |

use std::path::Path;

use super::{PointSample, PointTarget};
use crate::data::DataError;
use crate::data::npz::{Archive, Array};

/// What the arrays of positions and of species are called.
const POSITIONS: [&str; 3] = ["positions", "R", "coords"];
const SPECIES: [&str; 3] = ["species", "z", "nuclear_charges"];

/// The samples of a file, whose array `target` is to be predicted.
///
/// # Errors
///
/// [`DataError`] with the array, and the sample, at fault.
pub fn read(path: &Path, target: &str) -> Result<Vec<PointSample>, DataError> {
    samples(path, target).map_err(|message| DataError::Own { path: path.to_path_buf(), message })
}

fn samples(path: &Path, target: &str) -> Result<Vec<PointSample>, String> {
    let mut archive = Archive::open(path)?;
    let named = archive.named(&POSITIONS).unwrap_or(POSITIONS[0]);
    let positions = finite(archive.array(named)?, named)?;
    let &[count, points, 3] = &positions.shape[..] else {
        return Err(format!("`{named}` must be [samples, points, 3], and it is {:?}", positions.shape));
    };
    if points == 0 {
        return Err(format!("`{named}` is {:?}: samples must have a point", positions.shape));
    }
    let mut optional = |names: &[&'static str]| match archive.named(names) {
        Some(name) => Ok(Some((name, finite(archive.array(name)?, name)?))),
        None => Ok::<_, String>(None),
    };
    let (velocities, species, features) = (optional(&["velocities"])?, optional(&SPECIES)?, optional(&["features"])?);
    let asked = finite(archive.array(target)?, target)?;

    let vectors = [count, points, 3];
    let is_scalar = asked.shape == [count] || asked.shape == [count, 1];
    if !is_scalar && asked.shape != vectors {
        return Err(format!(
            "`{target}` must be [{count}], a number for every sample, or {vectors:?}, a vector for every point, and it is {:?}",
            asked.shape
        ));
    }
    if let Some((name, array)) = velocities.as_ref().filter(|(_, array)| array.shape != vectors) {
        return Err(format!("`{name}` must be {vectors:?}, and it is {:?}", array.shape));
    }
    if let Some((name, array)) = &species {
        if array.shape != [count, points] && array.shape != [points] {
            return Err(format!(
                "`{name}` must be {:?}, or [{points}] if they are those of all samples, and it is {:?}",
                [count, points],
                array.shape
            ));
        }
        if let Some(value) = array.numbers.iter().find(|value| value.fract() != 0.0) {
            return Err(format!("`{name}` has {value}, and species are whole numbers"));
        }
    }
    if let Some((name, array)) = &features
        && array.shape != [count, points]
        && !(array.shape.len() == 3 && array.shape[..2] == [count, points] && array.shape[2] > 0)
    {
        return Err(format!("`{name}` must be [{count}, {points}, features], and it is {:?}", array.shape));
    }

    let rows = |array: &Array, sample: usize| -> Vec<[f64; 3]> {
        let own = &array.numbers[3 * points * sample..][..3 * points];
        own.chunks_exact(3).map(|x| [x[0], x[1], x[2]]).collect()
    };
    let sample = |at: usize| PointSample {
        positions: rows(&positions, at),
        velocities: velocities.as_ref().map(|(_, array)| rows(array, at)),
        species: species.as_ref().map_or(Vec::new(), |(_, array)| {
            let begin = if array.shape.len() == 2 { points * at } else { 0 };
            array.numbers[begin..begin + points].iter().map(f64::to_string).collect()
        }),
        features: features.as_ref().map_or(Vec::new(), |(_, array)| {
            let width = array.shape.get(2).copied().unwrap_or(1);
            array.numbers[width * points * at..][..width * points].chunks_exact(width).map(<[f64]>::to_vec).collect()
        }),
        target: if is_scalar { PointTarget::Scalar(asked.numbers[at]) } else { PointTarget::Vectors(rows(&asked, at)) },
    };
    Ok((0..count).map(sample).collect())
}

/// The array, if its numbers are finite.
fn finite(array: Array, name: &str) -> Result<Array, String> {
    let Some(at) = array.numbers.iter().position(|value| !value.is_finite()) else { return Ok(array) };
    let sample = at / array.shape.iter().skip(1).product::<usize>().max(1);
    let cure = if array.numbers[at].is_nan() && array.shape.len() > 1 {
        "; rows that only fill up are not possible: samples of different sizes go into an .xyz file"
    } else {
        ""
    };
    Err(format!(
        "`{name}` has {} in sample {sample}, and numbers must be finite: repair or remove it{cure}",
        array.numbers[at]
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    use npyz::WriterBuilder;
    use npyz::npz::NpzWriter;
    use tempfile::TempDir;

    type Arrays = BTreeMap<&'static str, (Vec<u64>, Vec<f64>)>;

    fn arrays() -> Arrays {
        let numbers = |count: usize| (0..count).map(|i| i as f64 / 2.0).collect::<Vec<f64>>();
        BTreeMap::from([
            ("positions", (vec![3, 2, 3], numbers(18))),
            ("energy", (vec![3], numbers(3))),
            ("forces", (vec![3, 2, 3], numbers(18))),
            ("velocities", (vec![3, 2, 3], numbers(18))),
            ("species", (vec![2], vec![1.0, 8.0])),
            ("features", (vec![3, 2], numbers(6))),
        ])
    }

    fn written(arrays: &Arrays) -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("points.npz");
        let mut archive = NpzWriter::create(&path).unwrap();
        for (name, (shape, values)) in arrays {
            let mut writer =
                archive.array(name, Default::default()).unwrap().default_dtype().shape(shape).begin_nd().unwrap();
            writer.extend(values.iter().copied()).unwrap();
            writer.finish().unwrap();
        }
        drop(archive);
        (folder, path)
    }

    fn message(target: &str, change: impl FnOnce(&mut Arrays)) -> String {
        let mut changed = arrays();
        change(&mut changed);
        let (_folder, path) = written(&changed);
        read(&path, target).unwrap_err().to_string()
    }

    #[test]
    fn arrays_are_samples() {
        let (_folder, path) = written(&arrays());
        let samples = read(&path, "energy").unwrap();
        assert_eq!((samples.len(), samples[1].positions[1]), (3, [4.5, 5.0, 5.5]));
        assert_eq!(
            (&samples[2].target, &*samples[2].species),
            (&PointTarget::Scalar(1.0), &["1", "8"].map(str::to_string)[..])
        );
        assert_eq!(samples[2].features, [[2.0], [2.5]]);
        let forces = read(&path, "forces").unwrap().remove(1);
        assert_eq!(forces.target, PointTarget::Vectors(forces.velocities.unwrap()));
        // The names that molecular data have, and less of it.
        let mut other = arrays();
        for (from, to) in [("positions", "R"), ("species", "z"), ("energy", "E")] {
            let array = other.remove(from).unwrap();
            other.insert(to, array);
        }
        other.insert("E", (vec![3, 1], vec![1.0, 2.0, 3.0]));
        other.insert("z", (vec![3, 2], vec![1.0, 8.0, 1.0, 1.0, 8.0, 8.0]));
        other.insert("features", (vec![3, 2, 1], vec![0.0; 6]));
        other.remove("velocities");
        let (_folder, path) = written(&other);
        let samples = read(&path, "E").unwrap();
        assert_eq!((samples[2].species.concat(), samples[1].velocities.as_ref()), ("88".to_string(), None));
    }

    #[test]
    fn what_is_wrong_with_an_array_is_named() {
        assert!(message("energi", |_| {}).contains("no array `energi`; it holds: "));
        assert!(message("species", |_| {}).contains("`species` must be [3], a number for every sample, or [3, 2, 3]"));
        assert!(
            message("energy", |arrays| arrays.get_mut("positions").unwrap().0 = vec![6, 3])
                .contains("[samples, points, 3]")
        );
        assert!(
            message("energy", |arrays| arrays.get_mut("velocities").unwrap().0 = vec![2, 3, 3])
                .contains("`velocities` must be [3, 2, 3]")
        );
        assert!(
            message("energy", |arrays| arrays.get_mut("features").unwrap().0 = vec![2, 3]).contains("[3, 2, features]")
        );
        assert!(
            message("energy", |arrays| arrays.get_mut("species").unwrap().1[0] = 0.5)
                .contains("0.5, and species are whole numbers")
        );
        assert!(
            message("energy", |arrays| *arrays.get_mut("species").unwrap() = (vec![3], vec![1.0; 3]))
                .contains("or [2] if they are those of all")
        );
        let found = message("energy", |arrays| arrays.get_mut("positions").unwrap().1[7] = f64::NAN);
        assert!(found.contains("`positions` has NaN in sample 1") && found.contains("an .xyz file"), "{found}");
        let found = message("energy", |arrays| arrays.get_mut("energy").unwrap().1[2] = f64::INFINITY);
        assert!(found.contains("`energy` has inf in sample 2") && !found.contains(".xyz file"), "{found}");
        assert!(
            message("energy", |arrays| {
                arrays.remove("positions");
            })
            .contains("no array `positions`")
        );
    }
}
