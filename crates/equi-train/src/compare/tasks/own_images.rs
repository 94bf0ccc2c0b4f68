//! Images of the user's: the same comparison, on other data.

use std::collections::BTreeMap;
use std::f64::consts::TAU;
use std::path::Path;

use burn::tensor::Device;
use equi_core::group::C8;
use equi_core::resample::rotation_inverse;
use rand::RngExt;
use rand::seq::SliceRandom;

use super::images::{ImageTrials, Shape, Source, augmentation, mirrored};
use super::own::{FEWEST, Own, OwnArms, quarters};
use crate::compare::cell::Work;
use crate::compare::results::{ArmSummary, Cell, DataSymmetry, Domain, Turning};
use crate::compare::{
    Arm, CellPlan, Checked, CompareError, Growth, Hyperparameters, Plan, Preset, Recipe, Setting, Symmetry, Task,
    Trials, view,
};
use crate::data::files::{self, Colour, LabelledImages};
use crate::data::{DataError, Images};
use crate::fit::{Classifier, Schedule, Session};
use crate::seed::{Purpose, stream};

/// Which class is it? On images of the user's, of folders or arrays ([`files`]), with the arms of `mnist-rot` and networks of the user's.
///
/// Training images are taken in an order of their own for every seed, the same ones first whatever their number; test images as they are. The three
/// poses are these: as they are, turned about the middle by a random angle each, and these mirrored. What turns out of the image is lost, and zeros come in.
#[derive(Clone, Debug)]
pub struct OwnImages {
    name: String,
    about: String,
    train: LabelledImages,
    test: LabelledImages,
    arms: OwnArms<ImageTrials<Images>>,
}

/// A network of the user's as an arm of a study of [images](OwnImages): what it is called, whether its training images are augmented, and how it is made.
#[derive(Debug)]
pub struct OwnArm(Own<ImageTrials<Images>>);

impl OwnArm {
    /// An arm that is called `name` and does what `about` says, with the network that `build` makes for a seed, on a device that keeps gradients.
    /// `flops` are the operations of one forward pass of one image, for the costs in the report; `augmented` turns training images at random.
    ///
    /// It is not made to match the other networks in cost; the report says what it costs.
    ///
    /// The network sees images `[batch, channels, side, side]`, of as many channels as [`OwnImages::channels`] says, and gives logits `[batch, classes]`, in the order of the labels.
    pub fn new<M: Classifier + 'static>(
        name: &'static str,
        about: &'static str,
        augmented: bool,
        flops: u64,
        build: impl Fn(u64, &Device) -> M + Send + Sync + 'static,
    ) -> Self {
        Self(Own::new(name, about, augmented, flops, build))
    }
}

impl OwnImages {
    /// A task called `name` on the images in `train` and `test`, scaled to `side` where one is given. All have three channels if a training image has colour, and else one.
    ///
    /// # Errors
    ///
    /// When the images cannot be used, or differ in their classes or sizes.
    pub fn read(name: &str, train: &Path, test: &Path, side: Option<usize>) -> Result<Self, CompareError> {
        Self::read_in(name, train, test, side, Colour::AsFound)
    }

    /// The same with the channels that are asked for; test images have those of the training images.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn read_in(
        name: &str,
        train: &Path,
        test: &Path,
        side: Option<usize>,
        colour: Colour,
    ) -> Result<Self, CompareError> {
        let trained = files::read_in(train, side, colour)?;
        let colour = if trained.images.channels() == 1 { Colour::Luminance } else { Colour::Rgb };
        let tested = files::read_in(test, side, colour)?;
        Self::of(name, (train, trained), (test, tested))
    }

    /// The same on images that are in memory, squares of `4 k + 1` pixels, with any number of channels.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read), and when training and test images differ in their channels.
    pub fn new(name: &str, train: LabelledImages, test: LabelledImages) -> Result<Self, CompareError> {
        Self::of(name, (Path::new("training images"), train), (Path::new("test images"), test))
    }

    fn of(
        name: &str,
        (train_path, train): (&Path, LabelledImages),
        (test_path, test): (&Path, LabelledImages),
    ) -> Result<Self, CompareError> {
        let own = |path: &Path, message: String| {
            Err(CompareError::Data(DataError::Own { path: path.to_path_buf(), message }))
        };
        if train.classes != test.classes {
            let beyond = |a: &LabelledImages, b: &LabelledImages| {
                a.classes.iter().find(|class| !b.classes.contains(class)).cloned()
            };
            let (path, problem) = match (beyond(&train, &test), beyond(&test, &train)) {
                (Some(class), _) => (test_path, format!("class `{class}` is missing")),
                (None, Some(class)) => (train_path, format!("class `{class}` is missing")),
                (None, None) => (test_path, "classes are in another order".to_string()),
            };
            return own(path, format!("{problem}: training and test images must have the same classes"));
        }
        let sizes = [&train, &test].map(|data| [data.images.height(), data.images.width()]);
        let [side, width] = sizes[0];
        if sizes[0] != sizes[1] || side != width || side % 4 != 1 {
            let message = format!(
                "test images have {:?} pixels and training images {:?}, and all must be squares of one size, 4 k + 1 pixels; a `side` scales \
                 files to one",
                sizes[1], sizes[0]
            );
            return own(test_path, message);
        }
        let channels = [&train, &test].map(|data| data.images.channels());
        if channels[0] != channels[1] {
            let message = format!(
                "test images have {} channel(s) and training images {}, and all must have as many",
                channels[1], channels[0]
            );
            return own(test_path, message);
        }
        let (trained, tested) = (train.images.len(), test.images.len());
        if trained < FEWEST || tested == 0 {
            let few = format!(
                "{trained} training and {tested} test images are too few: there must be {FEWEST} and 1 at least"
            );
            return own(train_path, few);
        }
        let classes = train.classes.len();
        let channels = if channels[0] == 1 { String::new() } else { format!("{} channels of ", channels[0]) };
        Ok(Self {
            name: name.to_string(),
            about: format!(
                "which of {classes} classes is it? ({trained} training and {tested} test images, {channels}{side} x {side})"
            ),
            train,
            test,
            arms: OwnArms::new(&["plain", "augmented", "augmented-tta", "equivariant"]),
        })
    }

    /// With a network of the user's as an arm, too.
    ///
    /// # Errors
    ///
    /// If there is an arm of this name.
    pub fn with_arm(mut self, arm: OwnArm) -> Result<Self, CompareError> {
        self.arms = self.arms.with(arm.0)?;
        Ok(self)
    }

    /// Channels of the images that networks see: 1 of grey ones, 3 of those with colour.
    pub fn channels(&self) -> usize {
        self.train.images.channels()
    }

    fn shape(&self) -> Shape {
        Shape { channels: self.channels(), side: self.train.images.width(), classes: self.train.classes.len() }
    }
}

impl Task for OwnImages {
    fn name(&self) -> &str {
        &self.name
    }

    fn about(&self) -> &str {
        &self.about
    }

    fn domain(&self) -> Domain {
        Domain::Images
    }

    fn arms(&self) -> &[Arm] {
        self.arms.all()
    }

    fn quick_arms(&self) -> &[&'static str] {
        self.arms.quick()
    }

    fn data(&self) -> Option<String> {
        let of = |data: &LabelledImages| {
            let counts: Vec<String> = data.counts().iter().map(|(class, count)| format!("{count} {class}")).collect();
            format!("{} (SHA-256 {})", counts.join(", "), data.digest)
        };
        Some(format!("training images: {}; test images: {}", of(&self.train), of(&self.test)))
    }

    fn poses(&self) -> [&'static str; 3] {
        ["as they are", "any angle", "turned and mirrored"]
    }

    fn symmetry(&self) -> Symmetry {
        Symmetry::Planar { group: C8, flips: 0.0 }
    }

    fn train_sizes(&self) -> (usize, usize) {
        (FEWEST, self.train.images.len())
    }

    /// As for `mnist-rot`, with up to three sizes, each a quarter of the next; the largest is that of the data.
    fn recipe(&self, preset: Preset, _model: Option<&str>) -> Recipe {
        let (seeds, steps_per_100, epochs, batch_size) = match preset {
            Preset::Smoke => (1, 17, 4, 8),
            Preset::Quick => (2, 120, 10, 32),
            Preset::Standard => (5, 120, 10, 32),
            Preset::Paper => (5, 1000, 40, 64),
        };
        let tuning_trials = match preset {
            Preset::Smoke | Preset::Quick => 0,
            Preset::Standard => 6,
            Preset::Paper => 16,
        };
        Recipe {
            sizes: quarters(self.train.images.len(), preset),
            seeds,
            test_size: self.test.images.len(),
            steps_per_100,
            growth: Growth::SquareRoot,
            epochs,
            batch_size,
            learning_rate: 2e-2,
            arm_rates: BTreeMap::new(),
            schedule: Schedule::default(),
            weight_decay: 1e-4,
            clip_norm: None,
            weight_average: None,
            validation_one_in: 5,
            validation_size: 0,
            tuning_trials,
        }
    }

    fn contestant(
        &self,
        arm: &Arm,
        setting: &Setting,
        hyperparameters: &Hyperparameters,
        device: &Device,
    ) -> Result<ArmSummary, CompareError> {
        match self.arms.own(arm) {
            Some(own) => Ok(own.summary(device, augmentation(arm, setting.symmetry, hyperparameters))),
            None => self.shape().contestant(arm, setting, hyperparameters, device),
        }
    }

    fn width_by_time(&self, setting: &Setting, device: &Device) -> Result<usize, CompareError> {
        self.shape().width_by_time(setting, device)
    }

    fn open(&self, plan: &Plan, _data: Option<&Path>, device: &Device) -> Result<Box<dyn Trials>, CompareError> {
        let test = spread(&self.test.images, plan.recipe.test_size);
        let few = view::posed(test.len());
        let turned = turned(&test, few);
        let mirrored = mirrored(&turned, 0..few);
        let trials = ImageTrials {
            source: self.train.images.clone(),
            shape: self.shape(),
            test,
            poses: [None, Some(turned), Some(mirrored)],
            plan: plan.clone(),
            device: device.clone(),
        };
        Ok(Box::new(OwnTrials { trials, classes: self.test.classes.clone(), arms: self.arms.clone() }))
    }
}

/// Images in memory, what their classes are called, and the user's arms.
struct OwnTrials {
    trials: ImageTrials<Images>,
    classes: Vec<String>,
    arms: OwnArms<ImageTrials<Images>>,
}

impl Trials for OwnTrials {
    fn data_symmetry(&self) -> Result<Option<DataSymmetry>, CompareError> {
        self.trials.data_symmetry()
    }

    fn turning(&self) -> Option<Turning> {
        Some(Turning::of_images(&self.trials.test, &self.classes))
    }

    fn check(&self, arm: &Arm, weights: Option<&Path>) -> Result<Checked, CompareError> {
        self.trials.check(arm, weights)
    }

    fn run(&self, cell: &CellPlan, session: &Session, progress: &mut dyn FnMut(usize)) -> Result<Cell, CompareError> {
        let Self { trials, arms, .. } = self;
        match arms.own(&cell.arm) {
            Some(own) => {
                own.train(trials, Work { cell, plan: &trials.plan, device: &trials.device, session, progress })
            }
            None => trials.run(cell, session, progress),
        }
    }
}

impl Source for Images {
    fn training(&self, seed: u64, count: usize) -> Result<Images, DataError> {
        if count > self.len() {
            return Err(DataError::TooMany { start: 0, end: count, part: "training", available: self.len() });
        }
        let mut order: Vec<usize> = (0..self.len()).collect();
        order.shuffle(&mut stream(seed, Purpose::Choice, 0));
        Ok(self.select(&order[..count]))
    }
}

/// At most `count` images, from all over a set that may be sorted by class.
fn spread(images: &Images, count: usize) -> Images {
    let count = count.min(images.len());
    let places: Vec<usize> = (0..count).map(|place| place * images.len() / count).collect();
    images.select(&places)
}

/// The first `count` images, each turned by an angle of its own.
fn turned(images: &Images, count: usize) -> Images {
    images.resampled(count, |at| rotation_inverse(TAU * stream(0, Purpose::Poses, at as u64).random::<f64>()))
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::compare::results::CellStatus;
    use crate::compare::{Request, compare_on};
    use crate::report;
    use crate::stop::Stop;
    use burn::Tensor;
    use burn::module::Module;
    use burn::nn::{Linear, LinearConfig};
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn data(count: usize) -> LabelledImages {
        let pixels = (0..count * 81).map(|i| (i % 83) as f32 / 83.0).collect();
        let images = Images::new(pixels, (0..count).map(|i| (i % 2) as u8).collect(), 9, 9).unwrap();
        LabelledImages::new(images, vec!["even".to_string(), "odd".to_string()])
    }

    /// How often a network that does not work was asked.
    static TRIED: AtomicUsize = AtomicUsize::new(0);

    /// A network that does not work.
    #[derive(Module, Debug)]
    struct Broken {
        linear: Linear,
    }

    impl Classifier for Broken {
        fn forward(&self, _: Tensor<4>) -> Tensor<2> {
            TRIED.fetch_add(1, Ordering::Relaxed);
            panic!("no such shape")
        }
    }

    fn broken() -> OwnArm {
        let build = |_, device: &Device| Broken { linear: LinearConfig::new(2, 2).init(device) };
        OwnArm::new("broken", "panics", false, 1, build)
    }

    #[test]
    fn a_network_that_panics_is_recorded_and_the_study_goes_on() {
        let task = OwnImages::new("numbers", data(20), data(6)).unwrap().with_arm(broken()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut request = Request {
            preset: Some("smoke".to_string()),
            arms: Some(vec!["broken".to_string(), "plain".to_string()]),
            device: Some("flex".to_string()),
            out: Some(folder.path().join("out")),
            ..Request::default()
        };
        let results = compare_on(&task, &request, &Stop::new()).unwrap().results;
        let status: Vec<CellStatus> = results.cells.iter().map(|cell| cell.status).collect();
        assert_eq!(status, [CellStatus::Panicked, CellStatus::Done]);
        assert_eq!(results.cells[0].message.as_deref(), Some("no such shape"));
        assert!(results.command.starts_with("equi compare numbers "), "{}", results.command);
        assert!(results.verdict.contains("1 of 2 networks panicked and is left out of the means: broken with "));
        assert!(results.verdict.ends_with(" The panic said: no such shape."), "{}", results.verdict);
        assert_eq!(
            report::lost(&results).unwrap(),
            "1 of 2 networks panicked; they are left out of the means; the panic said: no such shape"
        );

        // What panicked is a result, which a resumed study keeps.
        let out = request.out.clone().unwrap();
        std::fs::remove_file(out.join(report::JSON)).unwrap();
        request.resume = true;
        let tried = TRIED.load(Ordering::Relaxed);
        let resumed = compare_on(&task, &request, &Stop::new()).unwrap();
        assert!(!resumed.found_finished && resumed.results.cells[0] == results.cells[0]);
        assert_eq!(report::csv(&resumed.results).unwrap(), report::csv(&results).unwrap());
        assert_eq!(TRIED.load(Ordering::Relaxed), tried);
        // One whose file is gone is tried again.
        std::fs::remove_file(out.join(report::JSON)).unwrap();
        for file in std::fs::read_dir(out.join("cells")).unwrap().map(|file| file.unwrap().path()) {
            if file.file_name().unwrap().to_string_lossy().starts_with("broken") {
                std::fs::remove_file(file).unwrap();
            }
        }
        assert_eq!(compare_on(&task, &request, &Stop::new()).unwrap().results.cells[0].status, CellStatus::Panicked);
        assert!(TRIED.load(Ordering::Relaxed) > tried);
    }

    #[test]
    fn names_are_taken_once_and_few_images_come_from_all_over() {
        let task = OwnImages::new("numbers", data(20), data(6)).unwrap().with_arm(broken()).unwrap();
        assert!(task.with_arm(broken()).unwrap_err().to_string().contains("`broken` already"));
        let images = data(6).images;
        let few = spread(&images, 3);
        assert_eq!([few.image(0), few.image(1), few.image(2)], [images.image(0), images.image(2), images.image(4)]);
        assert_eq!(spread(&images, 9), images);
    }

    #[test]
    fn training_and_test_images_have_the_same_channels() {
        let coloured = |count: usize| {
            let LabelledImages { images, classes, .. } = data(3 * count);
            let pixels = (0..3 * count).flat_map(|at| images.image(at)).copied().collect();
            let labels = images.labels()[..count].to_vec();
            LabelledImages::new(Images::with_channels(pixels, labels, 3, 9, 9).unwrap(), classes)
        };
        assert_eq!(OwnImages::new("numbers", data(20), data(6)).unwrap().channels(), 1);
        let task = OwnImages::new("colours", coloured(20), coloured(6)).unwrap();
        assert_eq!((task.channels(), task.shape().channels), (3, 3));
        assert!(task.about().ends_with("3 channels of 9 x 9)"), "{}", task.about());
        let error = OwnImages::new("both", coloured(20), data(6)).unwrap_err().to_string();
        assert!(error.contains("test images have 1 channel(s) and training images 3"), "{error}");
    }

    #[test]
    fn test_images_follow_the_training_images() {
        use image::{Rgb, RgbImage};
        let folder = tempfile::tempdir().unwrap();
        let write = |part: &str, tint: u8| {
            for class in ["a", "b"] {
                let inside = folder.path().join(part).join(class);
                std::fs::create_dir_all(&inside).unwrap();
                for number in 0..FEWEST as u32 / 2 {
                    let image = RgbImage::from_fn(9, 9, |x, y| {
                        let ink = ((7 * x + 5 * y + number) % 90) as u8;
                        Rgb([ink + tint, ink, ink])
                    });
                    image.save(inside.join(format!("{number}.png"))).unwrap();
                }
            }
        };
        write("colour", 50);
        write("grey", 0);
        let [colour, grey] = ["colour", "grey"].map(|part| folder.path().join(part));
        let task = OwnImages::read("one", &colour, &grey, None).unwrap();
        assert_eq!((task.channels(), task.test.images.channels()), (3, 3));
        let tested = files::read(&grey, None).unwrap();
        assert_eq!(tested.images.channels(), 1);
        for at in 0..tested.images.len() {
            assert!(task.test.images.planes(at).all(|plane| plane == tested.images.image(at)));
        }
        let task = OwnImages::read("other", &grey, &colour, None).unwrap();
        assert_eq!((task.channels(), task.test.images.channels()), (1, 1));
        let both = |colour_of| OwnImages::read_in("both", &colour, &grey, None, colour_of).unwrap().channels();
        assert_eq!([both(Colour::Luminance), both(Colour::Rgb)], [1, 3]);
        let three = OwnImages::read_in("three", &grey, &colour, None, Colour::Rgb).unwrap();
        assert_eq!(three.channels(), 3);
        let [red, green, _] = [0, 1, 2].map(|channel| three.test.images.planes(0).nth(channel).unwrap()[4]);
        assert!((red - green - 50.0 / 255.0).abs() < 1e-6, "{red} {green}");
    }

    #[test]
    fn colours_are_chosen_turned_and_mirrored_channel_by_channel() {
        let pixels: Vec<f32> = (0..12 * 3 * 81).map(|at| (at * at % 89) as f32 / 89.0).collect();
        let images = Images::with_channels(pixels, (0..12).map(|at| at % 2).collect(), 3, 9, 9).unwrap();
        let plane = |channel: usize| {
            let pixels = (0..12).flat_map(|at| images.planes(at).nth(channel).unwrap()).copied().collect();
            Images::new(pixels, images.labels().to_vec(), 9, 9).unwrap()
        };
        type Change = fn(&Images) -> Images;
        let changes: [Change; 4] =
            [|x| x.training(3, 7).unwrap(), |x| spread(x, 5), |x| turned(x, 6), |x| mirrored(x, 2..9)];
        for change in changes {
            let all = change(&images);
            for channel in 0..3 {
                let alone = change(&plane(channel));
                assert_eq!(all.labels(), alone.labels());
                for at in 0..all.len() {
                    assert_eq!(all.planes(at).nth(channel).unwrap(), alone.image(at));
                }
            }
        }
    }
}
