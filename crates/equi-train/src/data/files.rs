//! Labelled images from the user's files.
//!
//! A data set is a folder with one folder of images for each class (PNG, JPEG, GIF, BMP, TIFF or WebP), or an `.npz` file with an array `images`,
//! `[images, height, width]` of grey ones or `[images, height, width, 3]` of red, green and blue, and an array `labels`, `[images]`, of whole numbers from 0.
//!
//! All images of a data set have three channels, red, green and blue, if one has colour, and else one channel ([`Colour`] says otherwise). Transparency is ignored. Values of
//! files become numbers from 0 to 1, and those of arrays of bytes do too; arrays of floating-point numbers stay as they are. An image that is smaller than the square asked for lies in its middle, with zeros around it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use image::imageops::FilterType;
use image::{DynamicImage, ImageBuffer, ImageReader, Luma, Rgb};
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::npz::{Archive, Array};
use super::{DataError, Images, luminance};

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

/// Which channels images have when they are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Colour {
    /// Red, green and blue if an image has colour, and luminance else. A file has colour if the red, green and blue of one of its pixels differ, an array if it has three channels.
    #[default]
    AsFound,
    /// Red, green and blue, which are equal in grey images.
    Rgb,
    /// One channel: `0.2126 R + 0.7152 G + 0.0722 B`.
    Luminance,
}

/// One image, as it is read.
struct Read {
    /// `[channels, height, width]`: three channels, or one where it is grey.
    pixels: Vec<f32>,
    height: usize,
    width: usize,
}

/// Endings of names of files with images.
const ENDINGS: [&str; 8] = ["png", "jpg", "jpeg", "gif", "bmp", "tif", "tiff", "webp"];

impl Read {
    fn planes(&self) -> std::slice::ChunksExact<'_, f32> {
        self.pixels.chunks_exact(self.height * self.width)
    }

    /// The same with `side` pixels along the longer side.
    fn scaled(self, side: usize) -> Self {
        let longest = self.height.max(self.width);
        if longest == side {
            return self;
        }
        let scaled = |length: usize| ((length as f64 * (side as f64 / longest as f64)).round() as usize).max(1);
        let (height, width) = (scaled(self.height), scaled(self.width));
        let one = |plane: &[f32]| resized(plane, [self.height, self.width], [height, width]);
        Self { pixels: self.planes().flat_map(one).collect(), height, width }
    }
}

/// Reads a folder of folders, or an `.npz` file. With `side`, images are scaled to it, their longer side; without, all must have one size. They have colour if one of them has.
///
/// # Errors
///
/// [`DataError`] naming the file: one that cannot be read, no or one class only, images of different sizes, one that is constant or not finite.
pub fn read(path: &Path, side: Option<usize>) -> Result<LabelledImages, DataError> {
    read_in(path, side, Colour::AsFound)
}

/// The same with the channels that are asked for.
///
/// # Errors
///
/// As [`read`].
pub fn read_in(path: &Path, side: Option<usize>, colour: Colour) -> Result<LabelledImages, DataError> {
    let found = if path.is_dir() { folder(path, side, colour)? } else { arrays(path, colour)? };
    let (reads, labels, classes, names) = found;
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
    for (read, name) in reads.iter().zip(&names) {
        let first = &reads[0];
        if (read.height, read.width) != (first.height, first.width) && side.is_none() {
            return Err(own(format!(
                "{name} has {} x {} pixels and {} {} x {}: give a `side` that all are scaled to",
                read.height, read.width, names[0], first.height, first.width
            )));
        }
        if let Some(at) = read.pixels.iter().position(|value| !value.is_finite()) {
            let pixel = at % (read.height * read.width);
            let (row, column) = (pixel / read.width, pixel % read.width);
            return Err(own(format!(
                "pixel ({row}, {column}) of {name} is {}: images must be finite",
                read.pixels[at]
            )));
        }
        if read.planes().all(|plane| plane.iter().all(|&value| value == plane[0])) {
            let values: Vec<String> = read.planes().map(|plane| plane[0].to_string()).collect();
            return Err(own(format!(
                "all pixels of {name} are {}: there is nothing to see; repair or remove it",
                values.join(", ")
            )));
        }
    }
    let channels = match colour {
        Colour::AsFound => reads.iter().map(|read| read.planes().len()).max().unwrap_or(1),
        Colour::Rgb => 3,
        Colour::Luminance => 1,
    };
    let reads: Vec<Read> = match side {
        Some(side) => reads.into_par_iter().map(|read| read.scaled(side)).collect(),
        None => reads,
    };
    let side = working_side(reads.iter().map(|read| read.height.max(read.width)).max().unwrap_or(0));
    let pixels: Vec<f32> = reads.par_iter().flat_map_iter(|read| centred(read, side, channels)).collect();
    Ok(LabelledImages::new(Images::with_channels(pixels, labels, channels, side, side)?, classes))
}

/// The smallest side, of `longest` pixels at least, that halving twice keeps centred: pooling with a stride of 2 keeps the symmetry of 4 k + 1 pixels.
fn working_side(longest: usize) -> usize {
    (longest.max(1) - 1).next_multiple_of(4) + 1
}

/// The image in the middle of a square of zeros, `[channels, side, side]`; all channels of a grey one are equal.
fn centred(read: &Read, side: usize, channels: usize) -> Vec<f32> {
    let (top, left) = ((side - read.height) / 2, (side - read.width) / 2);
    let mut squares = vec![0.0; channels * side * side];
    for (square, plane) in squares.chunks_exact_mut(side * side).zip(read.planes().cycle()) {
        for (row, pixels) in plane.chunks_exact(read.width).enumerate() {
            square[(top + row) * side + left..][..read.width].copy_from_slice(pixels);
        }
    }
    squares
}

/// Pixels `[height, width, channels]` as `[channels, height, width]`.
fn planes(pixels: &[f32], channels: usize) -> Vec<f32> {
    (0..channels).flat_map(|channel| pixels.iter().skip(channel).step_by(channels)).copied().collect()
}

/// Whether the red, green and blue of a pixel differ.
fn has_colour(image: &DynamicImage) -> bool {
    image.color().has_color() && image.to_rgb32f().pixels().any(|Rgb([red, green, blue])| red != green || green != blue)
}

/// Images, labels, names of the classes, and names of the images.
type Found = (Vec<Read>, Vec<u8>, Vec<String>, Vec<String>);

fn folder(path: &Path, side: Option<usize>, colour: Colour) -> Result<Found, DataError> {
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
        let coloured = colour != Colour::Luminance && has_colour(&image);
        let image = match side {
            Some(side) => image.resize(side as u32, side as u32, FilterType::Triangle),
            None => image,
        };
        let (height, width) = (image.height() as usize, image.width() as usize);
        let pixels = if coloured { planes(&image.into_rgb32f(), 3) } else { image.to_luma32f().into_raw() };
        Ok(Read { pixels, height, width })
    };
    let reads = files.par_iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let names = files.iter().map(|(file, _)| file.display().to_string()).collect();
    Ok((reads, files.into_iter().map(|(_, label)| label).collect(), classes, names))
}

/// A plane `[height, width]` scaled to `[rows, columns]` by weights that add up to one.
pub(crate) fn resized(plane: &[f32], [height, width]: [usize; 2], [rows, columns]: [usize; 2]) -> Vec<f32> {
    let (low, high) = plane.iter().fold((0f32, 1f32), |(low, high), &value| (low.min(value), high.max(value)));
    // The library cuts numbers off below 0 and above 1: these are taken there first, and back after.
    let inside = low == 0.0 && high == 1.0;
    let given = plane.iter().map(|&value| if inside { value } else { (value - low) / (high - low) }).collect();
    let given = ImageBuffer::<Luma<f32>, Vec<f32>>::from_raw(width as u32, height as u32, given);
    let given = given.expect("a whole plane");
    let mut scaled = image::imageops::resize(&given, columns as u32, rows as u32, FilterType::Triangle).into_raw();
    if !inside {
        scaled.iter_mut().for_each(|value| *value = low + (high - low) * *value);
    }
    scaled
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn arrays(path: &Path, colour: Colour) -> Result<Found, DataError> {
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
    let (count, height, width, channels) = match shape[..] {
        [count, height, width] => (count, height, width, 1),
        [count, height, width, 3] => (count, height, width, 3),
        _ => {
            let message = format!(
                "`images` must be [images, height, width], or [images, height, width, 3] with red, green and blue, and it is {shape:?}{}",
                cure(&shape)
            );
            return Err(own(message));
        }
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
    let one = |image: &[f64]| {
        let image: Vec<f32> = image.iter().map(|&value| value as f32).collect();
        let image = planes(&image, channels);
        let grey = colour == Colour::Luminance;
        Read { pixels: if grey { luminance(&image, channels).into_owned() } else { image }, height, width }
    };
    Ok((
        pixels.chunks(channels * height * width).map(one).collect(),
        labels.iter().map(|&label| label as u8).collect(),
        classes.map(|class| class.to_string()).collect(),
        (0..count).map(|image| format!("image {image}")).collect(),
    ))
}

/// What to do about an array of images of another shape.
fn cure(shape: &[usize]) -> &'static str {
    match shape {
        [_, _, _, 1] => ": a single channel has no dimension of its own, so save images[..., 0]",
        [_, _, _, 4] => ": transparency is not used, so save images[..., :3]",
        [_, 3, _, _] => ": channels come last, so save np.moveaxis(images, 1, -1)",
        _ => "",
    }
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
        // Grey images have the sum that they had when there was no colour.
        let channels = Some(images.channels()).filter(|&channels| channels != 1);
        let sizes = channels.into_iter().chain([images.height(), images.width()]);
        sizes.for_each(|size| digest.update((size as u64).to_le_bytes()));
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
    use image::{GrayImage, RgbImage};
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
    fn colours_become_luminance_where_that_is_asked_for() {
        let folder = bars(9);
        let path = folder.path().join("down").join("0.png");
        RgbImage::from_fn(9, 9, |x, _| Rgb([255 * u8::from(x == 0), 0, 0])).save(&path).unwrap();
        let data = read_in(folder.path(), None, Colour::Luminance).unwrap();
        assert_eq!(data.images.channels(), 1);
        assert!((data.images.image(3)[0] - 0.2126).abs() < 1e-3, "{}", data.images.image(3)[0]);
    }

    #[test]
    fn one_image_with_colour_makes_all_have_three_channels() {
        let folder = bars(9);
        let grey = read(folder.path(), None).unwrap();
        assert_eq!(grey.images.channels(), 1);
        // Files of three channels whose pixels are all grey have no colour.
        let path = folder.path().join("down").join("0.png");
        let level = |x, y| bar(9, true, 0).get_pixel(x, y).0[0];
        RgbImage::from_fn(9, 9, |x, y| Rgb([level(x, y); 3])).save(&path).unwrap();
        let still = read(folder.path(), None).unwrap();
        assert_eq!(still.images.channels(), 1);
        assert!(still.images.image(3).iter().zip(grey.images.image(3)).all(|(a, b)| (a - b).abs() < 1e-6));

        RgbImage::from_fn(9, 9, |x, y| Rgb([255 * u8::from(x == 0), 51 * u8::from(y == 2), 0])).save(&path).unwrap();
        let data = read(folder.path(), None).unwrap();
        assert_eq!((data.images.channels(), data.images.height(), data.images.labels()), (3, 9, grey.images.labels()));
        let planes: Vec<&[f32]> = data.images.planes(3).collect();
        for (pixel, ((red, green), blue)) in planes[0].iter().zip(planes[1]).zip(planes[2]).enumerate() {
            let of = |on: bool, value: f32| if on { value } else { 0.0 };
            let want = [of(pixel % 9 == 0, 1.0), of(pixel / 9 == 2, 0.2), 0.0];
            assert!([*red, *green, *blue].iter().zip(want).all(|(got, want)| (got - want).abs() < 1e-6), "{pixel}");
        }
        // The others are as they were, three times.
        for place in [0, 1, 2, 4, 5] {
            assert!(data.images.planes(place).all(|plane| plane == grey.images.image(place)));
        }
        assert_ne!(data.digest, grey.digest);
        assert_eq!(read_in(folder.path(), None, Colour::Rgb).unwrap(), data);
    }

    #[test]
    fn grey_images_can_be_given_three_channels_and_the_middle_of_squares_is_that_of_every_channel() {
        let folder = bars(11);
        let grey = read(folder.path(), None).unwrap().images;
        let three = read_in(folder.path(), None, Colour::Rgb).unwrap().images;
        assert_eq!((three.channels(), three.height(), three.width()), (3, 13, 13));
        for place in 0..grey.len() {
            assert!(three.planes(place).all(|plane| plane == grey.image(place)));
        }
        // Four pixels of colour in the middle of a larger one: every channel is scaled.
        let path = folder.path().join("across").join("0.png");
        let inside = |x: u32, y: u32| (8..24).contains(&x) && (8..24).contains(&y);
        RgbImage::from_fn(32, 32, |x, y| Rgb([0, 0, 255 * u8::from(inside(x, y))])).save(&path).unwrap();
        let scaled = read(folder.path(), Some(9)).unwrap().images;
        let middle: Vec<f32> = scaled.planes(0).map(|plane| plane[4 * 9 + 4]).collect();
        assert_eq!((scaled.channels(), scaled.width(), middle), (3, 9, vec![0.0, 0.0, 1.0]));
    }

    /// Python's `hashlib.sha256` of the sizes as integers of 64 bits, the pixels as floating-point numbers of 32 bits, and the labels, little-endian.
    #[test]
    fn the_sum_of_grey_images_is_that_of_sizes_pixels_and_labels_and_the_sum_of_others_has_channels_before() {
        let sum = |channels: usize, height: usize, width: usize| {
            let pixels = (0..12u8).map(f32::from).collect();
            let images = Images::with_channels(pixels, vec![1], channels, height, width).unwrap();
            LabelledImages::new(images, vec!["a".to_string(), "b".to_string()]).digest
        };
        assert_eq!(sum(1, 3, 4), "dc8ec9c8dc47c823e98f52844bfc764dd3c2ecf1ef706d8a03ce8a9b6da2e229");
        assert_eq!(sum(3, 2, 2), "78665d512a218f2598db3c60ea941c970ac81d37e2815bd3afdbd9ef46d00860");
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
        RgbImage::from_pixel(9, 9, Rgb([255, 0, 51])).save(at("down/9.png")).unwrap();
        assert!(message(folder.path(), None).contains("down/9.png are 1, 0, 0.2"));
        RgbImage::from_fn(9, 9, |x, _| Rgb([255, 0, x as u8])).save(at("down/9.png")).unwrap();
        assert!(read(folder.path(), None).is_ok(), "one channel is enough to see");
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
        for (shape, hint) in
            [([2, 9, 9, 1], "images[..., 0]"), ([1, 3, 6, 9], "np.moveaxis"), ([2, 3, 6, 4], "images[..., :3]")]
        {
            let count = shape.iter().product::<u64>() as usize;
            npz(&path, (&shape, &pixels.repeat(2)[..count]), (&[2], &[1, 0]));
            assert!(message(&path, None).contains(&format!("and it is {shape:?}: ")), "{shape:?}");
            assert!(message(&path, None).contains(hint), "{shape:?}");
        }
        npz(&path, (&[2, 9, 9], &pixels), (&[1], &[1]));
        assert!(message(&path, None).contains("must be [2]"));
        npz(&path, (&[2, 9, 9], &pixels), (&[2], &[-1, 0]));
        assert!(message(&path, None).contains("label 0 is -1"));
        npz(&path, (&[2, 9, 9], &pixels), (&[2], &[2, 0]));
        assert!(message(&path, None).contains("class 1, `1`, has no image"));
        fs::write(&path, b"no archive").unwrap();
        assert!(message(&path, None).contains("no .npz file"));
    }

    #[test]
    fn arrays_with_three_channels_have_colour() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.npz");
        let value = |image: usize, channel: usize, pixel: usize| (image + pixel % 7) as f32 - 2.5 * channel as f32;
        let all = |image: usize| (0..81 * 3).map(move |at| value(image, at % 3, at / 3));
        let mut pixels: Vec<f32> = all(0).chain(all(1)).collect();
        npz(&path, (&[2, 9, 9, 3], &pixels), (&[2], &[1, 0]));
        let data = read(&path, None).unwrap();
        assert_eq!((data.images.channels(), data.images.height(), data.images.len()), (3, 9, 2));
        for (image, channel) in [(0, 0), (0, 2), (1, 0), (1, 1)] {
            let want: Vec<f32> = (0..81).map(|pixel| value(image, channel, pixel)).collect();
            assert_eq!(data.images.planes(image).nth(channel).unwrap(), want);
        }
        // Three numbers of one pixel, and what they weigh.
        let grey = read_in(&path, None, Colour::Luminance).unwrap().images;
        let want = 0.2126 * value(1, 0, 5) + 0.7152 * value(1, 1, 5) + 0.0722 * value(1, 2, 5);
        assert!(grey.channels() == 1 && (grey.image(1)[5] - want).abs() < 1e-5, "{}", grey.image(1)[5]);
        // Channels are scaled one by one: this one differs from the first by a constant.
        let scaled = read(&path, Some(13)).unwrap().images;
        let planes: Vec<&[f32]> = scaled.planes(0).collect();
        assert_eq!((scaled.width(), planes.len()), (13, 3));
        assert!(planes[0].iter().zip(planes[1]).all(|(red, green)| (red - green - 2.5).abs() < 1e-5));

        pixels[(81 + 9 + 4) * 3 + 2] = f32::NAN;
        npz(&path, (&[2, 9, 9, 3], &pixels), (&[2], &[1, 0]));
        for side in [None, Some(13)] {
            assert!(message(&path, side).contains("pixel (1, 4) of image 1 is NaN"), "{side:?}");
        }
        pixels[(81 + 9 + 4) * 3 + 2] = f32::INFINITY;
        npz(&path, (&[2, 9, 9, 3], &pixels), (&[2], &[1, 0]));
        assert!(message(&path, Some(5)).contains("pixel (1, 4) of image 1 is inf"));
    }
}
