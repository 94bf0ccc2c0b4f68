//! Extended XYZ: samples one after the other, each of a number of points, a line of properties, and a line for every point.
//!
//! ```text
//! 3
//! Properties=species:S:1:pos:R:3:forces:R:3 energy=-14.2 pbc="F F F"
//! O   0.00  0.00  0.12    0.0  0.0  0.7
//! H   0.00  0.76 -0.47    0.0  0.3 -0.4
//! H   0.00 -0.76 -0.47    0.0 -0.3 -0.3
//! ```
//!
//! Columns that are read are `pos`, the first of `species`, `Z` and `numbers`, `velocities` (or `velo`, `vel`), `features`, and the target where it is one;
//! all others are passed over. Without `Properties` the columns are those of plain XYZ, `species:S:1:pos:R:3`.

use std::fs;
use std::path::Path;

use super::{PointSample, PointTarget};
use crate::data::DataError;

/// The columns of a file that says nothing of them.
const PLAIN: &str = "species:S:1:pos:R:3";
/// What the columns of positions, of species and of velocities are called.
const POSITIONS: [&str; 2] = ["pos", "positions"];
const SPECIES: [&str; 3] = ["species", "Z", "numbers"];
const VELOCITIES: [&str; 3] = ["velocities", "velo", "vel"];
const FEATURES: &str = "features";

/// The samples of a file, whose `target` is a property of the samples or a column.
///
/// # Errors
///
/// [`DataError`] with the line at fault.
pub fn read(path: &Path, target: &str) -> Result<Vec<PointSample>, DataError> {
    let text = fs::read_to_string(path).map_err(|source| DataError::Unreadable { path: path.to_path_buf(), source })?;
    parse(&text, target).map_err(|(line, problem)| DataError::Own {
        path: path.to_path_buf(),
        message: format!("line {line}: {problem}"),
    })
}

/// A problem, and the line that it is in, counted from 1.
type Located = (usize, String);

/// The samples of a text.
///
/// # Errors
///
/// The line at fault, from 1, and what is wrong with it.
pub fn parse(text: &str, target: &str) -> Result<Vec<PointSample>, Located> {
    let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line));
    let last = text.lines().count();
    let mut samples = Vec::new();
    while let Some((at, line)) = lines.next() {
        if line.trim().is_empty() {
            continue;
        }
        let count: usize = line.trim().parse().map_err(|_| {
            (
                at,
                format!(
                    "a sample begins with its number of points on a line of its own, and this is `{}`",
                    shown(line)
                ),
            )
        })?;
        if count == 0 {
            return Err((at, "a sample must have a point; remove this one".to_string()));
        }
        let ended = || (last, format!("the file ends within the sample of {count} points that begins in line {at}"));
        let (comment_at, comment) = lines.next().ok_or_else(ended)?;
        let frame = Frame::new(comment, target).map_err(|problem| (comment_at, problem))?;
        let mut rows = Vec::new();
        for _ in 0..count {
            let (row_at, row) = lines.next().ok_or_else(ended)?;
            rows.push(frame.row(row).map_err(|problem| (row_at, problem))?);
        }
        samples.push(frame.sample(rows));
    }
    Ok(samples)
}

/// What the line of properties says.
struct Frame {
    columns: Vec<Column>,
    /// The target, where it is a property of the sample.
    scalar: Option<f64>,
}

/// Some fields of every line.
struct Column {
    role: Option<Role>,
    name: String,
    fields: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Role {
    Positions,
    Species,
    Velocities,
    Features,
    Target,
}

/// A point.
#[derive(Default)]
struct Row {
    position: [f64; 3],
    velocity: [f64; 3],
    species: String,
    features: Vec<f64>,
    target: [f64; 3],
}

impl Frame {
    fn new(comment: &str, target: &str) -> Result<Self, String> {
        let pairs = pairs(comment)?;
        let of = |name: &str| pairs.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| &**value);
        refuse_periodic(of("Lattice"), of("pbc"))?;
        let mut columns = columns(of("Properties").unwrap_or(PLAIN), target)?;
        if columns.iter().all(|column| column.role != Some(Role::Positions)) {
            return Err("`Properties` has no column `pos:R:3`, and nothing is known without positions".to_string());
        }
        // Elements and their numbers say the same.
        columns
            .iter_mut()
            .filter(|column| column.role == Some(Role::Species))
            .skip(1)
            .for_each(|other| other.role = None);
        let is_column = columns.iter().any(|column| column.role == Some(Role::Target));
        let property = pairs.iter().find(|(key, _)| key == target);
        let scalar = match (property, is_column) {
            (Some(_), true) => {
                return Err(format!("`{target}` is a property of the sample and a column, too: rename one of them"));
            }
            (Some((_, value)), false) => Some(number(value).map_err(|problem| {
                format!("{target}={value} is no single number ({problem}): what is predicted is one number for a sample, or a column of 3 for every point")
            })?),
            (None, true) => None,
            (None, false) => {
                let keys = pairs.iter().map(|(key, _)| &**key).filter(|key| !["Properties", "Lattice", "pbc"].contains(key));
                let known: Vec<&str> = keys.chain(columns.iter().map(|column| &*column.name)).collect();
                return Err(format!("there is no `{target}`; this sample has: {}", known.join(", ")));
            }
        };
        Ok(Self { columns, scalar })
    }

    /// The fields of a line.
    fn row(&self, line: &str) -> Result<Row, String> {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let asked: usize = self.columns.iter().map(|column| column.fields).sum();
        if fields.len() != asked {
            return Err(format!(
                "{} columns, and `Properties` says that there are {asked}: `{}`",
                fields.len(),
                shown(line)
            ));
        }
        let mut row = Row::default();
        let mut begin = 0;
        for column in &self.columns {
            let own = &fields[begin..begin + column.fields];
            begin += column.fields;
            let numbers = || {
                let named = |field: &&str| number(field).map_err(|problem| format!("`{}` {problem}", column.name));
                own.iter().map(named).collect::<Result<Vec<f64>, String>>()
            };
            let vector = || numbers().map(|numbers| [numbers[0], numbers[1], numbers[2]]);
            match column.role {
                None => {}
                Some(Role::Species) => row.species = own[0].to_string(),
                Some(Role::Features) => row.features = numbers()?,
                Some(Role::Positions) => row.position = vector()?,
                Some(Role::Velocities) => row.velocity = vector()?,
                Some(Role::Target) => row.target = vector()?,
            }
        }
        Ok(row)
    }

    fn sample(&self, rows: Vec<Row>) -> PointSample {
        let has = |role| self.columns.iter().any(|column| column.role == Some(role));
        PointSample {
            positions: rows.iter().map(|row| row.position).collect(),
            velocities: has(Role::Velocities).then(|| rows.iter().map(|row| row.velocity).collect()),
            target: match self.scalar {
                Some(scalar) => PointTarget::Scalar(scalar),
                None => PointTarget::Vectors(rows.iter().map(|row| row.target).collect()),
            },
            features: if has(Role::Features) {
                rows.iter().map(|row| row.features.clone()).collect()
            } else {
                Vec::new()
            },
            species: if has(Role::Species) { rows.into_iter().map(|row| row.species).collect() } else { Vec::new() },
        }
    }
}

/// Samples in periodic cells have neighbours that are not in the file.
fn refuse_periodic(lattice: Option<&str>, pbc: Option<&str>) -> Result<(), String> {
    let no = |word: &str| ["F", "False", "false", "f", "0"].contains(&word);
    let words = |text: &str| -> Vec<String> {
        text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_string).collect()
    };
    let periodic = match pbc {
        Some(pbc) => !words(pbc).iter().all(|word| no(word)),
        None => lattice.is_some(),
    };
    if !periodic {
        return Ok(());
    }
    let said = if pbc.is_some() { "its `pbc` says so" } else { "it has a `Lattice` and no `pbc`" };
    Err(format!(
        "this sample is periodic ({said}), and periodic cells are not compared; write pbc=\"F F F\" if the cell means nothing"
    ))
}

/// `name:type:fields` three by three.
fn columns(properties: &str, target: &str) -> Result<Vec<Column>, String> {
    let parts: Vec<&str> = properties.split(':').collect();
    if !parts.len().is_multiple_of(3) {
        return Err(format!("Properties={properties} is not name:type:number, three by three"));
    }
    let mut columns = Vec::new();
    for part in parts.chunks_exact(3) {
        let [name, kind, count] = [part[0], part[1], part[2]];
        let fields: usize = count.parse().ok().filter(|&count| count > 0).ok_or_else(|| {
            format!("`{name}:{kind}:{count}` in Properties: the last part is a number of columns, 1 or more")
        })?;
        if !["S", "I", "R", "L"].contains(&kind) {
            return Err(format!("`{name}:{kind}:{count}` in Properties: types are S, I, R and L"));
        }
        let role = if name == target {
            Some(Role::Target)
        } else if POSITIONS.contains(&name) {
            Some(Role::Positions)
        } else if SPECIES.contains(&name) {
            Some(Role::Species)
        } else if VELOCITIES.contains(&name) {
            Some(Role::Velocities)
        } else if name == FEATURES {
            Some(Role::Features)
        } else {
            None
        };
        let right = match role {
            None => true,
            Some(Role::Species) => fields == 1 && kind != "R",
            Some(Role::Features) => kind == "R" || kind == "I",
            Some(Role::Positions | Role::Velocities) => fields == 3 && (kind == "R" || kind == "I"),
            Some(Role::Target) if fields == 3 && (kind == "R" || kind == "I") => true,
            Some(Role::Target) => {
                return Err(format!(
                    "`{name}:{kind}:{count}` cannot be predicted: for every point that is a vector, `{name}:R:3`; for a sample a number, {name}=... in this line"
                ));
            }
        };
        if !right {
            return Err(format!(
                "`{name}:{kind}:{count}` in Properties: positions and velocities are R:3, species S:1 or I:1, features R"
            ));
        }
        if role
            .is_some_and(|role| role != Role::Species && columns.iter().any(|other: &Column| other.role == Some(role)))
        {
            return Err(format!("`{name}` is there twice in Properties, under this name or another"));
        }
        columns.push(Column { role, name: name.to_string(), fields });
    }
    Ok(columns)
}

/// `key=value` and `key`, which says `T`. Values with spaces stand in quotes or in brackets.
fn pairs(comment: &str) -> Result<Vec<(String, String)>, String> {
    let mut pairs = Vec::new();
    let mut rest = comment.trim_start();
    while !rest.is_empty() {
        let (key, after) = match rest.chars().next() {
            Some(quote @ ('"' | '\'')) => quoted(rest, quote)?,
            _ => bare(rest, |c| c == '=' || c.is_whitespace()),
        };
        rest = after.trim_start();
        let Some(assigned) = rest.strip_prefix('=') else {
            pairs.push((key, "T".to_string()));
            continue;
        };
        let assigned = assigned.trim_start();
        let (value, after) = match assigned.chars().next() {
            Some(quote @ ('"' | '\'')) => quoted(assigned, quote)?,
            Some('{') => bracketed(assigned, '{', '}')?,
            Some('[') => bracketed(assigned, '[', ']')?,
            _ => bare(assigned, char::is_whitespace),
        };
        pairs.push((key, value));
        rest = after.trim_start();
    }
    Ok(pairs)
}

/// The text up to a character, and what follows; one character at least, so that there is an end.
fn bare(text: &str, ends: impl Fn(char) -> bool) -> (String, &str) {
    let end = text.char_indices().skip(1).find(|&(_, c)| ends(c)).map_or(text.len(), |(at, _)| at);
    (text[..end].to_string(), &text[end..])
}

/// The text between quotes, and what follows. A backslash takes the next character as it is.
fn quoted(text: &str, quote: char) -> Result<(String, &str), String> {
    let (mut inside, mut escaped) = (String::new(), false);
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => {
                inside.push(if c == 'n' { '\n' } else { c });
                escaped = false;
            }
            '\\' => escaped = true,
            c if c == quote => return Ok((inside, &text[at + 1..])),
            c => inside.push(c),
        }
    }
    Err(format!("there is no {quote} at the end of `{}`", shown(text)))
}

/// The text between brackets, and what follows.
fn bracketed(text: &str, open: char, close: char) -> Result<(String, &str), String> {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        if c == open {
            depth += 1;
        } else if c == close {
            depth -= 1;
            if depth == 0 {
                return Ok((text[1..at].trim().to_string(), &text[at + 1..]));
            }
        }
    }
    Err(format!("there is no {close} at the end of `{}`", shown(text)))
}

/// A finite number; Fortran's exponents are understood.
fn number(text: &str) -> Result<f64, String> {
    let text = text.trim();
    let parsed = text.parse().or_else(|_| text.replace(['D', 'd'], "e").parse());
    match parsed {
        Ok(number) if f64::is_finite(number) => Ok(number),
        Ok(_) => Err(format!("is {text}: numbers must be finite, so repair or remove this sample")),
        Err(_) => Err(format!("is `{}`, which is no number", shown(text))),
    }
}

/// The beginning of a text.
fn shown(text: &str) -> String {
    const MOST: usize = 60;
    let text = text.trim();
    if text.chars().count() <= MOST { text.to_string() } else { text.chars().take(MOST).chain("...".chars()).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WATER: &str = "3
Properties=species:S:1:pos:R:3:forces:R:3:tag:I:1 energy=-14.25 pbc=\"F F F\" name=\"a \\\"wet\\\" one\" converged
O   0.00  0.00  0.12    0.0  0.0  0.7  1
H   0.00  0.76 -0.47    0.0  0.3 -0.4  2
H   0.00 -0.76 -0.47    0.0 -0.3 -0.3  3
";

    fn fails(text: &str, target: &str, line: usize, words: &str) {
        let (at, problem) = parse(text, target).unwrap_err();
        assert!(at == line && problem.contains(words), "line {at}: {problem}");
    }

    #[test]
    fn samples_of_different_sizes_are_read_one_after_the_other() {
        let two = format!("{WATER}\n1\n Properties=pos:R:3:species:S:1 energy = 1.5D-1\n1 2 3 Xe\n\n");
        let samples = parse(&two, "energy").unwrap();
        assert_eq!(samples.iter().map(PointSample::points).collect::<Vec<_>>(), [3, 1]);
        assert_eq!(samples[0].positions[1], [0.0, 0.76, -0.47]);
        assert_eq!((samples[0].species.concat(), samples[1].species.concat()), ("OHH".to_string(), "Xe".to_string()));
        assert_eq!(
            (&samples[0].target, &samples[1].target),
            (&PointTarget::Scalar(-14.25), &PointTarget::Scalar(0.15))
        );
        assert_eq!((samples[0].velocities.as_ref(), samples[0].features.len()), (None, 0));
    }

    #[test]
    fn a_column_of_three_is_a_vector_for_every_point() {
        let samples = parse(WATER, "forces").unwrap();
        let expected = vec![[0.0, 0.0, 0.7], [0.0, 0.3, -0.4], [0.0, -0.3, -0.3]];
        assert_eq!(samples[0].target, PointTarget::Vectors(expected));
    }

    #[test]
    fn columns_have_several_names() {
        let text = "1\nProperties=Z:I:1:pos:R:3:velo:R:3:features:R:2:species:S:1 charge=1\n8 0 0 0 1 2 3 0.5 -1 O\n";
        let sample = parse(text, "charge").unwrap().remove(0);
        assert_eq!((sample.velocities, sample.features), (Some(vec![[1.0, 2.0, 3.0]]), vec![vec![0.5, -1.0]]));
        // The first that says what a point is.
        assert_eq!(sample.species, ["8"]);
        let plain = parse("1\nenergy=2\nAr 0 0 0\n", "energy").unwrap().remove(0);
        assert_eq!((plain.species, plain.target), (vec!["Ar".to_string()], PointTarget::Scalar(2.0)));
    }

    #[test]
    fn properties_are_split_as_the_format_says() {
        let found = pairs(r#" a=1 "b c"='d "e"' f g = {1 2} h=[[1, 2], [3]] i="j\\k\"l" "#).unwrap();
        let expected =
            [("a", "1"), ("b c", "d \"e\""), ("f", "T"), ("g", "1 2"), ("h", "[1, 2], [3]"), ("i", "j\\k\"l")];
        assert_eq!(found, expected.map(|(key, value)| (key.to_string(), value.to_string())));
        assert!(pairs("a=\"b").unwrap_err().contains("no \" at the end"));
        assert!(pairs("a=[b").unwrap_err().contains("no ] at the end"));
        // Whatever the text is, there is an end.
        assert_eq!(pairs("= == ").unwrap(), [("=".to_string(), "=".to_string())]);
    }

    #[test]
    fn what_is_wrong_is_shown_with_its_line() {
        let with = |from: &str, to: &str| {
            assert!(WATER.contains(from));
            WATER.replace(from, to)
        };
        fails(
            WATER,
            "energi",
            2,
            "there is no `energi`; this sample has: energy, name, converged, species, pos, forces, tag",
        );
        fails(WATER, "tag", 2, "`tag:I:1` cannot be predicted");
        fails(WATER, "name", 2, "is no single number");
        fails(&with("energy=-14.25", "energy=nan"), "energy", 2, "must be finite");
        fails(&with("energy=-14.25", "forces=1"), "forces", 2, "a property of the sample and a column");
        fails(&with("0.76 -0.47    0.0", "0.76 x 0.0"), "energy", 4, "`pos` is `x`, which is no number");
        fails(&with("0.12", "inf"), "energy", 3, "`pos` is inf: numbers must be finite");
        fails(&with("0.12", ""), "energy", 3, "7 columns, and `Properties` says that there are 8");
        fails(&with("3\n", "4\n"), "energy", 5, "the file ends within the sample of 4 points that begins in line 1");
        fails(&with("3\n", "2\n"), "energy", 5, "a sample begins with its number of points");
        fails(&with("3\n", "0\n"), "energy", 1, "must have a point");
        fails(&with("\"F F F\"", "\"T T F\""), "energy", 2, "is periodic (its `pbc` says so)");
        fails(&with("pbc=\"F F F\"", "Lattice=\"1 0 0 0 1 0 0 0 1\""), "energy", 2, "it has a `Lattice` and no `pbc`");
        fails(&with("pos:R:3", "pos:R:2"), "energy", 2, "positions and velocities are R:3");
        fails(&with("pos:R:3", "pos:R"), "energy", 2, "three by three");
        fails(&with("pos:R:3", "pos:X:3"), "energy", 2, "types are S, I, R and L");
        fails(&with("pos:R:3", "pos:R:none"), "energy", 2, "the last part is a number of columns");
        fails(&with("pos:R:3", "place:R:3"), "energy", 2, "no column `pos:R:3`");
        fails(&with("forces:R:3", "pos:R:3"), "energy", 2, "`pos` is there twice");
        let free = with("pbc=\"F F F\"", "Lattice=\"1 0 0 0 1 0 0 0 1\" pbc=[False, False, False]");
        assert_eq!(parse(&free, "energy").unwrap().len(), 1);
        assert_eq!(parse("", "energy").unwrap(), []);
    }
}
