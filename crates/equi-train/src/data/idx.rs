//! IDX files: the container of MNIST and its relatives.
//!
//! ```text
//! u16 0 | u8 type (8: bytes) | u8 rank | rank times u32 size | the entries, row-major        (big-endian)
//! ```

use std::{
    fs::File,
    io::{ErrorKind, Read},
    path::Path,
};

use flate2::read::GzDecoder;
use sha2::{Digest, Sha256};

use super::DataError;

/// The content of an IDX file of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idx {
    /// The size of every dimension.
    pub sizes: Vec<usize>,
    /// The entries, row-major.
    pub entries: Vec<u8>,
    /// SHA-256 of the whole decompressed file, header included, in lower-case hexadecimal. Compression may differ
    /// between mirrors of a data set; the decompressed bytes do not.
    pub sha256: String,
}

/// Reads a gzip-compressed IDX file of bytes in `rank` dimensions, and hashes it on the way.
pub fn read(path: &Path, rank: usize) -> Result<Idx, DataError> {
    let file = File::open(path).map_err(|source| match source.kind() {
        ErrorKind::NotFound => DataError::Missing { path: path.into() },
        _ => DataError::Unreadable { path: path.into(), source },
    })?;
    let damaged = |source| DataError::Compression { path: path.into(), source };
    let mut stream = GzDecoder::new(file);

    let header_length = 4 + 4 * rank;
    let mut bytes = Vec::new();
    stream.by_ref().take(header_length as u64).read_to_end(&mut bytes).map_err(damaged)?;
    let word = |at: usize| bytes.get(at..at + 4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
    let expected = 0x0800 | rank as u32;
    let found = word(0).unwrap_or(0);
    if bytes.len() >= 4 && found != expected {
        return Err(DataError::Magic { path: path.into(), found, expected, rank });
    }
    let too_short =
        |found: usize, announced: u64| DataError::Length { path: path.into(), found: found as u64, announced };
    let sizes: Option<Vec<u32>> = (0..rank).map(|i| word(4 + 4 * i)).collect();
    let sizes = sizes.ok_or_else(|| too_short(bytes.len(), header_length as u64))?;
    let announced = sizes
        .iter()
        .try_fold(1u64, |product, &size| product.checked_mul(u64::from(size)))
        .and_then(|entries| entries.checked_add(header_length as u64))
        .unwrap_or(u64::MAX);

    // One byte more than announced is enough to know that there is too much.
    let rest = announced.saturating_sub(header_length as u64).saturating_add(1);
    stream.take(rest).read_to_end(&mut bytes).map_err(damaged)?;
    if bytes.len() as u64 != announced {
        return Err(too_short(bytes.len(), announced));
    }
    let sha256 = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let entries = bytes.split_off(header_length);
    Ok(Idx { sizes: sizes.into_iter().map(|size| size as usize).collect(), entries, sha256 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::{fs, io::Write};

    fn compressed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn read_bytes(file: &[u8], rank: usize) -> Result<Idx, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.gz");
        fs::write(&path, file).unwrap();
        read(&path, rank).map_err(|error| error.to_string())
    }

    /// Two images of 2 x 3.
    const GOOD: [u8; 28] = [0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

    #[test]
    fn a_good_file_is_read_and_hashed() {
        let idx = read_bytes(&compressed(&GOOD), 3).unwrap();
        assert_eq!(idx.sizes, [2, 2, 3]);
        assert_eq!(idx.entries, (1..=12).collect::<Vec<u8>>());
        // `printf '\0\0\10\3...' | sha256sum` of the 28 bytes above.
        assert_eq!(idx.sha256, "f7169b91c01c82a1c0c44aee0f6db5b5a609be8d0ba16e2ded674fe748c45dfe");
    }

    #[test]
    fn every_fault_has_its_message_and_cure() {
        let fault = |file: &[u8], rank| read_bytes(file, rank).unwrap_err();
        let good = compressed(&GOOD);

        let cut = fault(&good[..good.len() - 10], 3);
        assert!(cut.contains("not a whole gzip file") && cut.contains("git checkout"), "{cut}");
        let mut damaged = good.clone();
        let middle = damaged.len() - 6;
        damaged[middle] ^= 0xff;
        assert!(fault(&damaged, 3).contains("not a whole gzip file"), "a wrong checksum counts");
        assert!(fault(&GOOD, 3).contains("not a whole gzip file"), "not compressed at all");
        assert!(fault(&[], 3).contains("not a whole gzip file"), "empty");

        let labels_expected = fault(&good, 1);
        assert!(labels_expected.contains("starts with 0x00000803, and 0x00000801"), "{labels_expected}");
        assert!(labels_expected.contains("images and labels exchanged?"), "{labels_expected}");

        assert!(
            fault(&compressed(&GOOD[..20]), 3)
                .contains("holds 20 bytes after decompression where its header announces 28")
        );
        assert!(fault(&compressed(&GOOD[..10]), 3).contains("holds 10 bytes after decompression"), "cut in the header");
        assert!(fault(&compressed(&[]), 3).contains("holds 0 bytes after decompression"));
        let mut long = GOOD.to_vec();
        long.extend([0; 9]);
        assert!(fault(&compressed(&long), 3).contains("announces 28"), "trailing bytes");
        let mut vast = GOOD;
        vast[4..16].fill(0xff);
        assert!(fault(&compressed(&vast), 3).contains("holds 28 bytes"), "sizes whose product overflows");
    }

    #[test]
    fn a_missing_file_and_a_folder_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let missing = read(&folder.path().join("none.gz"), 3).unwrap_err();
        assert!(matches!(missing, DataError::Missing { .. }));
        assert!(missing.to_string().contains("--data DIR"), "{missing}");
        // Opening a folder works on Linux and reading it fails; elsewhere opening fails. Both are refused.
        assert!(!matches!(read(folder.path(), 3), Ok(_) | Err(DataError::Missing { .. })));
    }
}
