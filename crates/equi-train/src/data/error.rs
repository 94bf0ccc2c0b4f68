use std::path::PathBuf;

use thiserror::Error;

/// What can be wrong with a data set, and what to do about it.
#[derive(Debug, Error)]
pub enum DataError {
    /// A file is not there.
    #[error(
        "{path} is missing: run from the root of the repository, where data/mnist lies, or name the folder with \
         --data DIR; `equi data mnist` lists the files it must hold"
    )]
    Missing {
        /// The file looked for.
        path: PathBuf,
    },
    /// The operating system would not hand the file over.
    #[error("{path} cannot be read: {source}; check its permissions and that it is a plain file")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The reason given.
        source: std::io::Error,
    },
    /// The gzip stream is cut off or damaged.
    #[error("{path} is not a whole gzip file ({source}): {RESTORE}")]
    Compression {
        /// The file.
        path: PathBuf,
        /// What the decompressor said.
        source: std::io::Error,
    },
    /// The decompressed bytes end before the header says, or go on after it.
    #[error("{path} holds {found} bytes after decompression where its header announces {announced}: {RESTORE}")]
    Length {
        /// The file.
        path: PathBuf,
        /// Bytes present.
        found: u64,
        /// Bytes that the header announces, itself included.
        announced: u64,
    },
    /// The first four bytes are not those of the expected kind of IDX file.
    #[error(
        "{path} starts with {found:#010x}, and {expected:#010x} marks an IDX file of bytes in {rank} dimension(s): \
         it may be another file under this name (images and labels exchanged?); {RESTORE}"
    )]
    Magic {
        /// The file.
        path: PathBuf,
        /// The first four bytes, big-endian.
        found: u32,
        /// The first four bytes of a good file.
        expected: u32,
        /// Dimensions of a good file.
        rank: usize,
    },
    /// The sizes in the header are not those of this data set.
    #[error("{path} holds {found:?} entries, and this data set has {expected:?}: {RESTORE}")]
    Dimensions {
        /// The file.
        path: PathBuf,
        /// Sizes in the header.
        found: Vec<usize>,
        /// Sizes of a good file.
        expected: Vec<usize>,
    },
    /// The content is not that of this data set.
    #[error("{path} has SHA-256 {found} after decompression, and this data set has {expected}: {RESTORE}")]
    Hash {
        /// The file.
        path: PathBuf,
        /// SHA-256 of the decompressed bytes, in hexadecimal.
        found: String,
        /// SHA-256 of a good file.
        expected: String,
    },
    /// Images and labels do not belong together.
    #[error("{images} images and {labels} labels: every image needs one label, so one of the two is incomplete")]
    Count {
        /// Images given.
        images: usize,
        /// Labels given.
        labels: usize,
    },
    /// Pixels that do not fill whole images.
    #[error(
        "{pixels} pixels do not fill whole images of {}{height} x {width}: check the size that is passed with them",
        several(*channels)
    )]
    Pixels {
        /// Pixels given.
        pixels: usize,
        /// Channels of an image.
        channels: usize,
        /// Height of an image.
        height: usize,
        /// Width of an image.
        width: usize,
    },
    /// A pixel is NaN or infinite.
    #[error("pixel ({row}, {column}) of image {image} is {value}: images must be finite, so repair or drop this one")]
    NotFinite {
        /// Index of the image.
        image: usize,
        /// Row of the pixel.
        row: usize,
        /// Column of the pixel.
        column: usize,
        /// Its value.
        value: f32,
    },
    /// More images were asked for than there are.
    #[error(
        "images {start}..{end} of the {part} part were asked for, which has {available}: ask for at most that many"
    )]
    TooMany {
        /// First image asked for.
        start: usize,
        /// One past the last image asked for.
        end: usize,
        /// `training` or `test`.
        part: &'static str,
        /// Images there are.
        available: usize,
    },
    /// Data of the user's that cannot be used.
    #[error("{}: {message}", path.display())]
    Own {
        /// The folder or file.
        path: PathBuf,
        /// What is wrong with it, and what to do about it.
        message: String,
    },
    /// A system of particles that cannot be simulated.
    #[error("the simulation is impossible: {message}")]
    Simulation {
        /// The setting, and what it must be.
        message: String,
    },
}

/// The cure for a damaged file.
const RESTORE: &str = "restore it: a file of the repository with `git checkout -- data/mnist`, one in \
                       a folder of --data by copying it again from its source";

/// The channels before the size of an image, where there are several.
fn several(channels: usize) -> String {
    if channels == 1 { String::new() } else { format!("{channels} x ") }
}
