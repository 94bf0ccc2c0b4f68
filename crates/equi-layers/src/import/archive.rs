//! Archives of `torch.save` that the zip reader takes for damaged.
//!
//! PyTorch ends every archive with ZIP64 records, 76 bytes long, whether it needs them or not. zip 9.8 overlooks them where it does not need
//! them, and then expects the central directory to begin 76 bytes later than it does. If the first entry there is 76 bytes long, which it is
//! for files whose name has 21 characters before `.pt`, it reads on from the second entry and finds one too few.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use tempfile::NamedTempFile;

/// Sizes of the records after the central directory: ZIP64 end, its locator, end.
const RECORDS: [usize; 3] = [56, 20, 22];
/// What they begin with.
const MAGIC: [&[u8]; 3] = [b"PK\x06\x06", b"PK\x06\x07", b"PK\x05\x06"];

/// A copy of the archive without ZIP64 records, if it has some and does not need them.
pub(super) fn without_zip64(path: &Path) -> io::Result<Option<NamedTempFile>> {
    let mut file = File::open(path)?;
    let mut records = [0; RECORDS[0] + RECORDS[1] + RECORDS[2]];
    let Some(before) = file.metadata()?.len().checked_sub(records.len() as u64) else {
        return Ok(None);
    };
    file.seek(SeekFrom::Start(before))?;
    file.read_exact(&mut records)?;
    let (zip64, rest) = records.split_at(RECORDS[0]);
    let (locator, end) = rest.split_at(RECORDS[1]);
    // Numbers of entries, size and offset of the directory: all ones stand for the larger numbers of the ZIP64 records.
    let needed =
        end[8..12].chunks(2).chain(end[12..20].chunks(4)).any(|number| number.iter().all(|byte| *byte == 0xff));
    if needed || ![zip64, locator, end].iter().zip(MAGIC).all(|(record, magic)| record.starts_with(magic)) {
        return Ok(None);
    }
    let mut copy = NamedTempFile::new()?;
    file.seek(SeekFrom::Start(0))?;
    io::copy(&mut file.take(before), &mut copy)?;
    copy.write_all(end)?;
    Ok(Some(copy))
}
