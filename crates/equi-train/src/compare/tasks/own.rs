//! What tasks on data of the user's have in common: the sizes of their training sets, and networks of the user's as arms.

use std::fmt;
use std::sync::Arc;

use burn::module::Module;
use burn::tensor::Device;

use crate::compare::cell::Work;
use crate::compare::results::{ArmSummary, Cell};
use crate::compare::{ARMS, Arm, CompareError, Network, Preset, View};
use crate::cost::parameters;

/// Fewest training samples: a fifth of them choose the epoch.
pub(super) const FEWEST: usize = 10;

/// Up to three sizes, each a quarter of the next, the largest `all`; the smallest of them for `smoke`.
pub(super) fn quarters(all: usize, preset: Preset) -> Vec<usize> {
    let sizes = [all / 16, all / 4, all].into_iter().filter(|&size| size >= 2 * FEWEST || size == all);
    sizes.take(if preset == Preset::Smoke { 1 } else { 3 }).collect()
}

/// Samples in memory that networks of a kind are trained on, and tested.
pub(super) trait Trains<M> {
    /// Where they are trained.
    fn device(&self) -> &Device;

    /// Trains and tests one network, the work of one cell.
    fn train(&self, model: M, work: Work<'_>) -> Result<Cell, CompareError>;
}

type Train<T> = dyn Fn(&T, Work<'_>) -> Result<Cell, CompareError> + Send + Sync;

/// A network of the user's as an arm of a task whose samples are `T`.
pub(super) struct Own<T> {
    arm: Arm,
    flops: u64,
    parameters: Box<dyn Fn(&Device) -> usize + Send + Sync>,
    train: Box<Train<T>>,
}

impl<T> Own<T> {
    /// An arm that is called `name` and does what `about` says, with the network that `build` makes for a seed.
    pub fn new<M: Module + 'static>(
        name: &'static str,
        about: &'static str,
        augmented: bool,
        flops: u64,
        build: impl Fn(u64, &Device) -> M + Send + Sync + 'static,
    ) -> Self
    where
        T: Trains<M>,
    {
        let build = Arc::new(build);
        let counted = build.clone();
        Self {
            arm: Arm { name, about, network: Network::Own(name), augmented, view: View::AsIs },
            flops,
            parameters: Box::new(move |device| parameters(&counted(0, device))),
            train: Box::new(move |trials, work| trials.train(build(work.cell.seed, trials.device()), work)),
        }
    }

    /// What it costs, and `augmentation`, what is done to its training samples.
    pub fn summary(&self, device: &Device, augmentation: impl fmt::Display) -> ArmSummary {
        let network = (self.arm.about.to_string(), (self.parameters)(device), self.flops);
        ArmSummary::new(&self.arm, network, 1, augmentation)
    }

    /// Trains and tests it.
    pub fn train(&self, trials: &T, work: Work<'_>) -> Result<Cell, CompareError> {
        (self.train)(trials, work)
    }
}

impl<T> fmt::Debug for Own<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.arm.fmt(f)
    }
}

/// The arms of a task on data of the user's: all that are trained, and the user's.
pub(super) struct OwnArms<T> {
    all: Vec<Arm>,
    quick: Vec<&'static str>,
    own: Vec<Arc<Own<T>>>,
}

impl<T> OwnArms<T> {
    /// Without networks of the user's; `quick` are those of the presets `smoke` and `quick`.
    pub fn new(quick: &[&'static str]) -> Self {
        let all = ARMS.iter().take_while(|arm| arm.is_trained()).copied().collect();
        Self { all, quick: quick.to_vec(), own: Vec::new() }
    }

    /// With another one.
    ///
    /// # Errors
    ///
    /// If there is an arm of this name.
    pub fn with(mut self, own: Own<T>) -> Result<Self, CompareError> {
        let name = own.arm.name;
        if self.all.iter().chain(&ARMS).any(|known| known.name == name) {
            return Err(CompareError::Request(format!("there is an arm `{name}` already; choose another name")));
        }
        self.all.push(own.arm);
        self.quick.push(name);
        self.own.push(Arc::new(own));
        Ok(self)
    }

    /// All of them, in the order of the tables.
    pub fn all(&self) -> &[Arm] {
        &self.all
    }

    /// The names of those of the presets `smoke` and `quick`.
    pub fn quick(&self) -> &[&'static str] {
        &self.quick
    }

    /// The network of the user's that `arm` is, if it is one.
    pub fn own(&self, arm: &Arm) -> Option<&Own<T>> {
        self.own.iter().find(|own| own.arm == *arm).map(Arc::as_ref)
    }
}

impl<T> Clone for OwnArms<T> {
    fn clone(&self) -> Self {
        Self { all: self.all.clone(), quick: self.quick.clone(), own: self.own.clone() }
    }
}

impl<T> fmt::Debug for OwnArms<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.all.fmt(f)
    }
}
