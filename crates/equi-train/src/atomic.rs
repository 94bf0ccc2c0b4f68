//! Files and folders that appear whole or not at all, whenever the process is killed.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// How the names of unfinished files and folders begin.
pub(crate) const UNFINISHED: &str = ".equi-tmp-";

/// Writes `bytes` to `path` through a temporary file in the same folder: after a crash, `path` holds either what it
/// held before or all of `bytes`.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = parent(path);
    let mut file = shared(tempfile::Builder::new().prefix(UNFINISHED), 0o666).tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    sync_folder(folder)
}

/// Makes the folder `path`, which must not exist, with `files` in it, all at once.
pub fn write_folder(path: &Path, files: &[(&str, &[u8])]) -> io::Result<()> {
    let parent = parent(path);
    let folder = shared(tempfile::Builder::new().prefix(UNFINISHED), 0o777).tempdir_in(parent)?;
    for (name, bytes) in files {
        let mut file = File::create_new(folder.path().join(name))?;
        file.write_all(bytes)?;
        file.sync_all()?;
    }
    sync_folder(folder.path())?;
    fs::rename(folder.keep(), path)?;
    sync_folder(parent)
}

/// Removes what a killed process left half-written in `folder`.
pub fn sweep(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else {
                fs::remove_file(entry.path())?;
            }
        }
    }
    Ok(())
}

/// Temporary files are private by default; these become results, so the umask decides, as for any other file.
#[cfg(unix)]
fn shared<'a, 'b>(builder: &'a mut tempfile::Builder<'b, 'b>, mode: u32) -> &'a tempfile::Builder<'b, 'b> {
    use std::os::unix::fs::PermissionsExt;
    builder.permissions(fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn shared<'a, 'b>(builder: &'a mut tempfile::Builder<'b, 'b>, _: u32) -> &'a tempfile::Builder<'b, 'b> {
    builder
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// A rename is durable once the folder is; Windows has no such call and needs none.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_a_file_and_sweeps_leftovers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");

        fs::write(folder.path().join(".equi-tmp-left"), b"half").unwrap();
        fs::create_dir(folder.path().join(".equi-tmp-folder")).unwrap();
        fs::write(folder.path().join(".tmp-of-somebody"), b"theirs").unwrap();
        sweep(folder.path()).unwrap();
        let mut names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, [".tmp-of-somebody", "a.json"]);
    }

    #[test]
    fn a_folder_appears_with_all_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("00001");
        write_folder(&path, &[("a", b"1"), ("b", b"2")]).unwrap();
        assert_eq!(fs::read(path.join("a")).unwrap(), b"1");
        assert_eq!(fs::read(path.join("b")).unwrap(), b"2");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
