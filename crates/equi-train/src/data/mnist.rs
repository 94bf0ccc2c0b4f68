//! MNIST: 70,000 handwritten digits of 28 x 28 grey pixels, read from the four original files.
//!
//! Y. LeCun, C. Cortes and C. J. C. Burges, *The MNIST database of handwritten digits*, 1998.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use rayon::prelude::*;

use super::{DataError, idx};

/// Where the files lie in a checkout, from the root of the repository.
pub const FOLDER: &str = "data/mnist";
/// Rows and columns of a digit.
pub const SIDE: usize = 28;
/// Digits in the training and the test files together.
pub const DIGITS: usize = 70_000;

/// One of the four files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MnistFile {
    /// Its name in the folder.
    pub name: &'static str,
    /// What it holds.
    pub content: &'static str,
    /// SHA-256 of the decompressed bytes.
    pub sha256: &'static str,
    /// Digits in it.
    pub count: usize,
    /// Whether it holds labels; images otherwise.
    labels: bool,
}

/// The four files: training images and labels, test images and labels.
pub const FILES: [MnistFile; 4] = [
    MnistFile {
        name: "train-images.idx3-ubyte.gz",
        content: "60,000 training images",
        sha256: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        count: 60_000,
        labels: false,
    },
    MnistFile {
        name: "train-labels.idx1-ubyte.gz",
        content: "60,000 training labels",
        sha256: "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        count: 60_000,
        labels: true,
    },
    MnistFile {
        name: "t10k-images.idx3-ubyte.gz",
        content: "10,000 test images",
        sha256: "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        count: 10_000,
        labels: false,
    },
    MnistFile {
        name: "t10k-labels.idx1-ubyte.gz",
        content: "10,000 test labels",
        sha256: "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        count: 10_000,
        labels: true,
    },
];

/// All digits as they lie in the files, the 60,000 for training first.
#[derive(Clone, Debug)]
pub struct Digits {
    /// `[70000, 28, 28]`; 0 is background, 255 is ink.
    pixels: Vec<u8>,
    /// `[70000]`, each 0 to 9.
    labels: Vec<u8>,
}

impl Digits {
    /// One digit, `[28, 28]`, row-major.
    ///
    /// # Panics
    ///
    /// When `index` is not below [`DIGITS`].
    pub fn image(&self, index: usize) -> &[u8] {
        &self.pixels[index * SIDE * SIDE..(index + 1) * SIDE * SIDE]
    }

    /// Which digit it is, 0 to 9.
    ///
    /// # Panics
    ///
    /// When `index` is not below [`DIGITS`].
    pub fn label(&self, index: usize) -> u8 {
        self.labels[index]
    }
}

/// Reads the four files in `folder`; every byte is verified by its SHA-256.
pub fn load(folder: &Path) -> Result<Digits, DataError> {
    // All are read before one may fail, so that the error is that of the first file, whoever reads it when.
    let files: Vec<Result<_, _>> = FILES.par_iter().map(|file| file.read(folder)).collect();
    let mut digits = Digits { pixels: Vec::new(), labels: Vec::new() };
    for (file, entries) in FILES.iter().zip(files) {
        if file.labels { &mut digits.labels } else { &mut digits.pixels }.extend(entries?);
    }
    Ok(digits)
}

impl MnistFile {
    fn sizes(&self) -> Vec<usize> {
        if self.labels { vec![self.count] } else { vec![self.count, SIDE, SIDE] }
    }

    /// Reads and verifies this file. The kind and the sizes come first, for they say more about what happened.
    fn read(&self, folder: &Path) -> Result<Vec<u8>, DataError> {
        let path = folder.join(self.name);
        let expected = self.sizes();
        let found = idx::read(&path, expected.len())?;
        if found.sizes != expected {
            return Err(DataError::Dimensions { path, found: found.sizes, expected });
        }
        if found.sha256 != self.sha256 {
            return Err(DataError::Hash { path, found: found.sha256, expected: self.sha256.into() });
        }
        Ok(found.entries)
    }
}

/// What MNIST is, where it comes from, and whether the files in a folder are the real ones. Prints as a text.
#[derive(Debug)]
pub struct Description {
    /// Full name.
    pub name: &'static str,
    /// Who made it.
    pub source: &'static str,
    /// Under which terms it may be used.
    pub licence: &'static str,
    /// The folder examined.
    pub folder: PathBuf,
    /// Every file with what was found.
    pub files: Vec<(MnistFile, Result<(), DataError>)>,
}

/// Examines the files in `folder`. A missing or damaged file is part of the answer; see [`Description::verified`].
pub fn describe(folder: &Path) -> Description {
    Description {
        name: "MNIST database of handwritten digits",
        source: "Yann LeCun, Corinna Cortes, Christopher J. C. Burges (1998), from NIST Special Databases 1 and 3",
        licence: "Creative Commons Attribution-ShareAlike 3.0 (CC BY-SA 3.0)",
        folder: folder.into(),
        files: FILES.par_iter().map(|file| (*file, file.read(folder).map(drop))).collect(),
    }
}

impl Description {
    /// Whether all four files are there and are the real ones.
    pub fn verified(&self) -> bool {
        self.files.iter().all(|(_, found)| found.is_ok())
    }
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.name)?;
        writeln!(f, "  source   {}", self.source)?;
        writeln!(f, "  licence  {}", self.licence)?;
        writeln!(f, "  folder   {}", self.folder.display())?;
        writeln!(f, "  files    SHA-256 of the decompressed bytes")?;
        for (file, found) in &self.files {
            let mark = if found.is_ok() { "verified" } else { "NOT USABLE" };
            writeln!(f, "    {:<26}  {:<22}  {mark}", file.name, file.content)?;
            writeln!(f, "      {}", file.sha256)?;
            if let Err(error) = found {
                writeln!(f, "      {error}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use flate2::{Compression, read::GzDecoder, write::GzEncoder};
    use std::{
        fs,
        io::{Read, Write},
        sync::LazyLock,
    };

    pub(crate) fn folder() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(FOLDER)
    }

    /// Read once for all tests.
    pub(crate) static REAL: LazyLock<Digits> = LazyLock::new(|| load(&folder()).expect("the committed files are good"));

    /// A folder with the real files, in which `name` is replaced by what `change` makes of its decompressed bytes.
    fn damaged(name: &str, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> tempfile::TempDir {
        let copy = tempfile::tempdir().unwrap();
        for file in FILES {
            fs::copy(folder().join(file.name), copy.path().join(file.name)).unwrap();
        }
        let mut bytes = Vec::new();
        GzDecoder::new(fs::File::open(folder().join(name)).unwrap()).read_to_end(&mut bytes).unwrap();
        let mut encoder = GzEncoder::new(fs::File::create(copy.path().join(name)).unwrap(), Compression::fast());
        encoder.write_all(&change(bytes)).unwrap();
        encoder.finish().unwrap();
        copy
    }

    #[test]
    fn the_committed_files_are_mnist() {
        assert_eq!(REAL.pixels.len(), DIGITS * SIDE * SIDE);
        // The class counts of the two parts, as published with the data set.
        let count = |labels: &[u8]| {
            let mut counts = [0; 10];
            labels.iter().for_each(|&label| counts[usize::from(label)] += 1);
            counts
        };
        assert_eq!(count(&REAL.labels[..60_000]), [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]);
        assert_eq!(count(&REAL.labels[60_000..]), [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]);
    }

    /// The fact on which the padding to 29 x 29 in `rotated` rests.
    #[test]
    fn digits_are_centred_on_pixel_14() {
        let (mut row, mut column) = (0.0, 0.0);
        for index in 0..DIGITS {
            let (mut mass, mut down, mut right) = (0.0, 0.0, 0.0);
            for (pixel, &ink) in REAL.image(index).iter().enumerate() {
                mass += f64::from(ink);
                down += f64::from(ink) * (pixel / SIDE) as f64;
                right += f64::from(ink) * (pixel % SIDE) as f64;
            }
            // Whole-pixel shifts put every centre of mass within half a pixel; one digit of 70,000 is 0.520 off.
            assert!((down / mass - 14.0).abs() < 0.521 && (right / mass - 14.0).abs() < 0.521, "digit {index}");
            row += down / mass / DIGITS as f64;
            column += right / mass / DIGITS as f64;
        }
        assert!((row - 14.0).abs() < 0.02 && (column - 14.0).abs() < 0.02, "mean centre ({row}, {column})");
    }

    #[test]
    fn a_changed_pixel_fails_the_hash() {
        let name = FILES[2].name;
        let copy = damaged(name, |mut bytes| {
            bytes[100_000] ^= 1;
            bytes
        });
        let error = load(copy.path()).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains("has SHA-256") && error.contains(FILES[2].sha256), "{error}");
        let description = describe(copy.path());
        assert!(!description.verified());
        assert_eq!(description.files.iter().filter(|(_, found)| found.is_ok()).count(), 3);
        assert!(description.to_string().contains("NOT USABLE"));
    }

    #[test]
    fn recompressed_files_are_as_good_as_the_originals() {
        let copy = damaged(FILES[1].name, |bytes| bytes);
        assert_ne!(fs::read(copy.path().join(FILES[1].name)).unwrap(), fs::read(folder().join(FILES[1].name)).unwrap());
        assert!(describe(copy.path()).verified());
    }

    #[test]
    fn labels_for_fewer_images_are_refused() {
        let copy = damaged(FILES[3].name, |mut bytes| {
            bytes[4..8].copy_from_slice(&9_999u32.to_be_bytes());
            bytes.truncate(8 + 9_999);
            bytes
        });
        let error = load(copy.path()).unwrap_err().to_string();
        assert!(error.contains("holds [9999] entries, and this data set has [10000]"), "{error}");
    }

    #[test]
    fn truncated_exchanged_and_missing_files_are_refused() {
        let copy = damaged(FILES[1].name, |bytes| bytes);
        let path = copy.path().join(FILES[1].name);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        assert!(matches!(load(copy.path()), Err(DataError::Compression { .. })));
        fs::copy(folder().join(FILES[0].name), &path).unwrap();
        assert!(matches!(load(copy.path()), Err(DataError::Magic { found: 0x803, .. })));
        fs::remove_file(&path).unwrap();
        let error = load(copy.path()).unwrap_err().to_string();
        assert!(error.contains("--data DIR") && error.contains("equi data mnist"), "{error}");
        assert!(describe(Path::new("no such folder")).files.iter().all(|(_, found)| found.is_err()));
    }
}
