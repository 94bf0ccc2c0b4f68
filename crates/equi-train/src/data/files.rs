//! Labelled images from the user's files.
//!
//! A data set is a folder with one folder of images for each class (PNG, JPEG, GIF, BMP, TIFF or WebP), or an `.npz` file with an array `images`,
//! `[images, height, width]`, and an array `labels`, `[images]`, of whole numbers from 0.
//!
//! Colours become luminance, `0.2126 R + 0.7152 G + 0.0722 B`; transparency is ignored. Values of files become numbers from 0 to 1, and those of arrays of
//! bytes do too; arrays of floating-point numbers stay as they are. An image that is smaller than the square asked for lies in its middle, with zeros around it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use image::ImageReader;
use image::imageops::FilterType;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::npz::{Archive, Array};
use super::{DataError, Images};

/// Labelled images, and what their classes are called.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelledImages {
    /// The images, all of one size.
    pub images: Images,
    /// The name of every class, in the order of the labels.
    pub classes: Vec<String>,
    /// SHA-256 of all sizes, pixels and labels, in hexadecimal.
    pub digest: String,
}

/// One image, as it is read.
struct Read {
    pixels: Vec<f32>,
    height: usize,
    width: usize,
}

/// Endings of names of files with images.
const ENDINGS: [&str; 8] = ["png", "jpg", "jpeg", "gif", "bmp", "tif", "tiff", "webp"];

/// Reads a folder of folders, or an `.npz` file. With `side`, images are scaled to it, their longer side; without, all must have one size.
///
/// # Errors
///
/// [`DataError`] naming the file: one that cannot be read, no or one class only, images of different sizes, one that is constant or not finite.
pub fn read(path: &Path, side: Option<usize>) -> Result<LabelledImages, DataError> {
    let (reads, labels, classes, names) = if path.is_dir() { folder(path, side)? } else { arrays(path, side)? };
    let own = |message: String| DataError::Own { path: path.to_path_buf(), message };
    if classes.len() < 2 {
        let found = classes.first().map_or("none".to_string(), |name| format!("one, `{name}`"));
        return Err(own(format!(
            "there must be two classes at least, and there is {found}: a class is a folder of images, or a label"
        )));
    }
    if classes.len() > usize::from(u8::MAX) + 1 {
        return Err(own(format!("{} classes are more than the 256 that there can be", classes.len())));
    }
    if let Some((empty, name)) = classes.iter().enumerate().find(|(class, _)| !labels.contains(&(*class as u8))) {
        return Err(own(format!("class {empty}, `{name}`, has no image: add some, or remove it")));
    }
    let longest = reads.iter().map(|read| read.height.max(read.width)).max().unwrap_or(0);
    for (read, name) in reads.iter().zip(&names) {
        let first = &reads[0];
        if (read.height, read.width) != (first.height, first.width) && side.is_none() {
            return Err(own(format!(
                "{name} has {} x {} pixels and {} {} x {}: give a `side` that all are scaled to",
                read.height, read.width, names[0], first.height, first.width
            )));
        }
        if let Some(at) = read.pixels.iter().position(|value| !value.is_finite()) {
            let (row, column) = (at / read.width, at % read.width);
            return Err(own(format!(
                "pixel ({row}, {column}) of {name} is {}: images must be finite",
                read.pixels[at]
            )));
        }
        if read.pixels.iter().all(|&value| value == read.pixels[0]) {
            return Err(own(format!(
                "all pixels of {name} are {}: there is nothing to see; repair or remove it",
                read.pixels[0]
            )));
        }
    }
    let side = working_side(longest);
    let pixels: Vec<f32> = reads.par_iter().flat_map_iter(|read| centred(read, side)).collect();
    Ok(LabelledImages::new(Images::new(pixels, labels, side, side)?, classes))
}

/// The smallest side, of `longest` pixels at least, that halving twice keeps centred: pooling with a stride of 2 keeps the symmetry of 4 k + 1 pixels.
fn working_side(longest: usize) -> usize {
    (longest.max(1) - 1).next_multiple_of(4) + 1
}

/// The image in the middle of a square of zeros.
fn centred(read: &Read, side: usize) -> Vec<f32> {
    let (top, left) = ((side - read.height) / 2, (side - read.width) / 2);
    let mut square = vec![0.0; side * side];
    for (row, pixels) in read.pixels.chunks_exact(read.width).enumerate() {
        square[(top + row) * side + left..][..read.width].copy_from_slice(pixels);
    }
    square
}

/// Images, labels, names of the classes, and names of the images.
type Found = (Vec<Read>, Vec<u8>, Vec<String>, Vec<String>);

fn folder(path: &Path, side: Option<usize>) -> Result<Found, DataError> {
    let own = |path: &Path, message: String| DataError::Own { path: path.to_path_buf(), message };
    let inside = |path: &Path| -> Result<Vec<PathBuf>, DataError> {
        let unreadable = |source| DataError::Unreadable { path: path.to_path_buf(), source };
        let entries = fs::read_dir(path).map_err(unreadable)?.map(|entry| entry.map(|entry| entry.path()));
        let mut paths = entries.collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
        paths.retain(|path| !name_of(path).starts_with('.'));
        paths.sort();
        Ok(paths)
    };
    let (mut files, mut classes) = (Vec::new(), Vec::new());
    for class in inside(path)?.into_iter().filter(|path| path.is_dir()) {
        let label = classes.len();
        classes.push(name_of(&class));
        for file in inside(&class)? {
            let ending = file.extension().map(|ending| ending.to_string_lossy().to_lowercase()).unwrap_or_default();
            if !ENDINGS.contains(&ending.as_str()) {
                return Err(own(
                    &file,
                    format!("it is no image: a folder of a class holds {} files only", ENDINGS.join(", ")),
                ));
            }
            files.push((file, label as u8));
        }
    }
    let read = |(file, _): &(PathBuf, u8)| -> Result<Read, DataError> {
        let reader = ImageReader::open(file).and_then(ImageReader::with_guessed_format);
        let reader = reader.map_err(|source| DataError::Unreadable { path: file.clone(), source })?;
        let image = reader
            .decode()
            .map_err(|error| own(file, format!("it cannot be decoded ({error}): restore or remove it")))?;
        let image = match side {
            Some(side) => image.resize(side as u32, side as u32, FilterType::Triangle),
            None => image,
        };
        let grey = image.to_luma32f();
        Ok(Read { height: grey.height() as usize, width: grey.width() as usize, pixels: grey.into_raw() })
    };
    let reads = files.par_iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let names = files.iter().map(|(file, _)| file.display().to_string()).collect();
    Ok((reads, files.into_iter().map(|(_, label)| label).collect(), classes, names))
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn arrays(path: &Path, side: Option<usize>) -> Result<Found, DataError> {
    let own = |message: String| DataError::Own { path: path.to_path_buf(), message };
    if !path.exists() {
        return Err(own("there is no such folder or file".to_string()));
    }
    if path.extension().is_none_or(|ending| ending != "npz") {
        return Err(own("it is neither a folder nor an .npz file".to_string()));
    }
    let mut archive = Archive::open(path).map_err(own)?;
    let Array { shape, numbers: mut pixels, bytes } = archive.array("images").map_err(own)?;
    let Array { shape: counts, numbers: labels, .. } = archive.array("labels").map_err(own)?;
    if bytes {
        pixels.iter_mut().for_each(|value| *value *= 1.0 / 255.0);
    }
    let &[count, height, width] = &shape[..] else {
        return Err(own(format!("`images` must be [images, height, width], and it is {shape:?}")));
    };
    if counts != [count] {
        return Err(own(format!("`labels` must be [{count}], one for each image, and it is {counts:?}")));
    }
    if let Some((at, label)) =
        labels.iter().enumerate().find(|(_, label)| label.fract() != 0.0 || !(0.0..=255.0).contains(*label))
    {
        return Err(own(format!("label {at} is {label}, and labels are whole numbers from 0 to 255")));
    }
    if height * width == 0 {
        return Err(own(format!("images of {height} x {width} have no pixel")));
    }
    let classes = 0..labels.iter().fold(0.0, |most: f64, &label| most.max(label + 1.0)) as usize;
    let scaled = |pixels: Vec<f32>| match side {
        Some(side) if height.max(width) != side => {
            let grey = image::ImageBuffer::<image::Luma<f32>, _>::from_raw(width as u32, height as u32, pixels)
                .expect("a whole image");
            let scale = side as f64 / height.max(width) as f64;
            let [height, width] = [height, width].map(|length| ((length as f64 * scale).round() as usize).max(1));
            let small = image::imageops::resize(&grey, width as u32, height as u32, FilterType::Triangle);
            Read { pixels: small.into_raw(), height, width }
        }
        _ => Read { pixels, height, width },
    };
    let images = pixels.chunks(height * width).map(|image| scaled(image.iter().map(|&value| value as f32).collect()));
    Ok((
        images.collect(),
        labels.iter().map(|&label| label as u8).collect(),
        classes.map(|class| class.to_string()).collect(),
        (0..count).map(|image| format!("image {image}")).collect(),
    ))
}

impl LabelledImages {
    /// Images whose labels are numbers of `classes`.
    ///
    /// # Panics
    ///
    /// If a label has no class.
    pub fn new(images: Images, classes: Vec<String>) -> Self {
        assert!(
            images.labels().iter().all(|&label| usize::from(label) < classes.len()),
            "labels must be below {}, the number of classes",
            classes.len()
        );
        let mut digest = Sha256::new();
        [images.height(), images.width()].iter().for_each(|side| digest.update((*side as u64).to_le_bytes()));
        for at in 0..images.len() {
            images.image(at).iter().for_each(|value| digest.update(value.to_le_bytes()));
        }
        digest.update(images.labels());
        let digest = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Self { images, classes, digest }
    }

    /// Images of every class, by the names of the classes.
    pub fn counts(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for &label in self.images.labels() {
            *counts.entry(self.classes[usize::from(label)].as_str()).or_default() += 1;
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{GrayImage, Luma, Rgb, RgbImage};
    use npyz::WriterBuilder;
    use tempfile::TempDir;

    /// A bar across the middle or down it, with something of each image's own.
    fn bar(side: u32, down: bool, number: u32) -> GrayImage {
        GrayImage::from_fn(side, side, |x, y| {
            let along = if down { x } else { y };
            Luma([if along == side / 2 { 255 } else { ((x + 3 * y + number) % 5) as u8 }])
        })
    }

    fn bars(side: u32) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (class, down) in [("across", false), ("down", true)] {
            fs::create_dir(folder.path().join(class)).unwrap();
            for number in 0..3 {
                bar(side, down, number).save(folder.path().join(class).join(format!("{number}.png"))).unwrap();
            }
        }
        folder
    }

    fn message(path: &Path, side: Option<usize>) -> String {
        read(path, side).unwrap_err().to_string()
    }

    #[test]
    fn a_folder_of_folders_is_a_data_set() {
        let folder = bars(11);
        let data = read(folder.path(), None).unwrap();
        assert_eq!(
            (data.classes, data.images.labels()),
            (vec!["across".to_string(), "down".to_string()], &[0, 0, 0, 1, 1, 1][..])
        );
        // 11 pixels lie in 13, in the middle.
        assert_eq!((data.images.height(), data.images.width()), (13, 13));
        let first = data.images.image(0);
        assert_eq!((first[6 * 13 + 1], first[6 * 13 + 11], first[6 * 13]), (1.0, 1.0, 0.0));
        assert!((first[13 + 2] - 1.0 / 255.0).abs() < 1e-6);
        let scaled = read(folder.path(), Some(9)).unwrap();
        assert_eq!(scaled.images.width(), 9);
        assert_ne!(scaled.digest, data.digest);
        assert_eq!(read(folder.path(), None).unwrap().digest, data.digest);
    }

    #[test]
    fn colours_become_luminance() {
        let folder = bars(9);
        let path = folder.path().join("down").join("0.png");
        RgbImage::from_fn(9, 9, |x, _| Rgb([255 * u8::from(x == 0), 0, 0])).save(&path).unwrap();
        let data = read(folder.path(), None).unwrap();
        assert!((data.images.image(3)[0] - 0.2126).abs() < 1e-3, "{}", data.images.image(3)[0]);
    }

    #[test]
    fn what_cannot_be_compared_is_named() {
        let folder = bars(9);
        let at = |name: &str| folder.path().join(name);
        bar(10, true, 0).save(at("down/9.png")).unwrap();
        assert!(message(folder.path(), None).contains("down/9.png has 10 x 10 pixels"));
        assert!(read(folder.path(), Some(9)).is_ok());
        GrayImage::from_pixel(9, 9, Luma([7])).save(at("down/9.png")).unwrap();
        assert!(message(folder.path(), None).contains("down/9.png are 0.02"));
        fs::write(at("down/9.png"), b"no image").unwrap();
        assert!(message(folder.path(), None).contains("cannot be decoded"));
        fs::rename(at("down/9.png"), at("down/notes.txt")).unwrap();
        assert!(message(folder.path(), None).contains("notes.txt: it is no image"));
        fs::remove_file(at("down/notes.txt")).unwrap();
        fs::create_dir(at("empty")).unwrap();
        assert!(message(folder.path(), None).contains("`empty`, has no image"));
        fs::remove_dir(at("empty")).unwrap();
        fs::remove_dir_all(at("down")).unwrap();
        assert!(message(folder.path(), None).contains("there is one, `across`"));
        assert!(message(&at("nowhere"), None).contains("no such folder or file"));
        assert!(message(&at("across/0.png"), None).contains("neither a folder nor an .npz file"));
    }

    fn npz(path: &Path, images: (&[u64], &[f32]), labels: (&[u64], &[i64])) {
        let mut file = npyz::npz::NpzWriter::create(path).unwrap();
        let options = npyz::zip::write::FileOptions::default();
        let mut writer = file.array("images", options).unwrap().default_dtype().shape(images.0).begin_nd().unwrap();
        writer.extend(images.1).unwrap();
        writer.finish().unwrap();
        let mut writer = file.array("labels", options).unwrap().default_dtype().shape(labels.0).begin_nd().unwrap();
        writer.extend(labels.1).unwrap();
        writer.finish().unwrap();
    }

    #[test]
    fn arrays_are_a_data_set() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.npz");
        let pixels: Vec<f32> = (0..2 * 81).map(|i| (i % 7) as f32 - 2.5).collect();
        npz(&path, (&[2, 9, 9], &pixels), (&[2], &[1, 0]));
        let data = read(&path, None).unwrap();
        assert_eq!((data.images.image(1), data.images.labels()), (&pixels[81..], &[1, 0][..]));
        assert_eq!(read(&path, Some(13)).unwrap().images.width(), 13);

        let mut broken = pixels.clone();
        broken[81 + 9 + 4] = f32::NAN;
        npz(&path, (&[2, 9, 9], &broken), (&[2], &[1, 0]));
        assert!(message(&path, None).contains("pixel (1, 4) of image 1 is NaN"));
        npz(&path, (&[2, 81], &pixels), (&[2], &[1, 0]));
        assert!(message(&path, None).contains("must be [images, height, width]"));
        npz(&path, (&[2, 9, 9], &pixels), (&[1], &[1]));
        assert!(message(&path, None).contains("must be [2]"));
        npz(&path, (&[2, 9, 9], &pixels), (&[2], &[-1, 0]));
        assert!(message(&path, None).contains("label 0 is -1"));
        npz(&path, (&[2, 9, 9], &pixels), (&[2], &[2, 0]));
        assert!(message(&path, None).contains("class 1, `1`, has no image"));
        fs::write(&path, b"no archive").unwrap();
        assert!(message(&path, None).contains("no .npz file"));
    }
}
