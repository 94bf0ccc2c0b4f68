//! Arrays of numbers in `.npz` files.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use npyz::npz::NpzArchive;

/// An `.npz` file.
pub(super) struct Archive {
    file: NpzArchive<BufReader<File>>,
    names: Vec<String>,
}

/// An array of one.
pub(super) struct Array {
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its numbers, the last dimension side by side.
    pub numbers: Vec<f64>,
    /// Whether they are bytes without a sign.
    pub bytes: bool,
}

impl Archive {
    /// Opens a file, or says why that is not possible.
    pub fn open(path: &Path) -> Result<Self, String> {
        let file = NpzArchive::open(path).map_err(|error| format!("it is no .npz file ({error})"))?;
        let names = file.array_names().map(str::to_string).collect();
        Ok(Self { file, names })
    }

    /// The first of these names that there is an array of.
    pub fn named<'a>(&self, names: &[&'a str]) -> Option<&'a str> {
        names.iter().copied().find(|name| self.names.iter().any(|known| known == name))
    }

    /// The array called `name`, or why it cannot be had.
    pub fn array(&mut self, name: &str) -> Result<Array, String> {
        let known = self.names.join(", ");
        self.numbers(name).map_err(|message| format!("{message}; it holds: {known}"))
    }

    fn numbers(&mut self, name: &str) -> Result<Array, String> {
        let file = self.file.by_name(name).map_err(|error| format!("`{name}` cannot be read ({error})"))?;
        let file = file.ok_or_else(|| format!("there is no array `{name}`"))?;
        if file.order() != npyz::Order::C {
            return Err(format!("`{name}` is in Fortran's order: save np.ascontiguousarray of it"));
        }
        let shape = file.shape().iter().map(|&length| length as usize).collect();
        let described = file.dtype().descr();
        let kind = described.trim_matches(['\'', '"']).trim_start_matches(['<', '|', '=']).to_string();
        macro_rules! read {
            ($($code:literal => $number:ty;)*) => {
                match kind.as_str() {
                    $($code => file.into_vec::<$number>().map(|numbers| numbers.into_iter().map(|x| x as f64).collect::<Vec<f64>>()),)*
                    _ => return Err(format!("`{name}` holds {described}: save bytes, whole numbers, or floating-point numbers")),
                }
            };
        }
        let numbers = read! {
            "u1" => u8; "i1" => i8; "u2" => u16; "i2" => i16; "u4" => u32; "i4" => i32; "u8" => u64; "i8" => i64; "f4" => f32; "f8" => f64;
        };
        let numbers = numbers.map_err(|error| format!("`{name}` is damaged ({error})"))?;
        Ok(Array { shape, numbers, bytes: kind == "u1" })
    }
}
