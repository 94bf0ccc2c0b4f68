//! Dropout draws from the random numbers of the device, which are global to the process: this test is alone in its own.
#![cfg(feature = "flex")]

use burn::Tensor;
use burn::module::{Module, ModuleVisitor, Param};
use burn::nn::{Dropout, DropoutConfig};
use burn::tensor::Device;
use equi_train::data::Images;
use equi_train::fit::{Checkpoints, Classification, Classifier, Event, FitConfig, FitError, Outcome, Session, fit};
use equi_train::model::{PlainCnn, PlainCnnConfig};
use equi_train::stop::Stop;

#[derive(Module, Debug)]
struct Noisy {
    dropout: Dropout,
    body: PlainCnn,
}

impl Classifier for Noisy {
    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        self.body.forward(self.dropout.forward(images))
    }
}

fn model() -> Noisy {
    Noisy { dropout: DropoutConfig::new(0.3).init(), body: PlainCnnConfig::new(2, 2).init(1, &Device::flex()) }
}

fn weights(model: &Noisy) -> Vec<u32> {
    struct Bits(Vec<u32>);
    impl ModuleVisitor for Bits {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.extend(param.val().into_data().iter::<f32>().map(f32::to_bits));
        }
    }
    let mut bits = Bits(Vec::new());
    model.visit(&mut bits);
    bits.0
}

#[test]
fn dropout_draws_the_same_after_a_resume() {
    let pixels = (0..32 * 81).map(|i| ((i * i) % 97) as f32 / 97.0).collect();
    let images = Images::new(pixels, (0..32).map(|i| i % 2).collect(), 9, 9).unwrap();
    let problem = Classification::new(&images, (0..24).collect(), (24..32).collect(), 5);
    let config = FitConfig { batch_size: 8, steps_per_epoch: 4, ..FitConfig::new(5, 12) };
    let run = |session: &Session, stop_after: usize| {
        let mut epochs = 0;
        fit(&problem, model(), &config, &Device::flex(), session, |event| {
            if matches!(event, Event::Epoch(_)) {
                epochs += 1;
                if epochs == stop_after {
                    session.stop.raise();
                }
            }
        })
    };
    let fitted = |outcome| match outcome {
        Ok(Outcome::Trained(fitted)) => fitted,
        other => panic!("{other:?}"),
    };

    let whole = fitted(run(&Session::default(), usize::MAX));
    let folder = tempfile::tempdir().unwrap();
    let session = Session { checkpoints: Some(Checkpoints::new(folder.path())), ..Session::default() };
    assert!(matches!(run(&session, 2), Err(FitError::Interrupted { epoch: 2, .. })));
    let resumed = fitted(run(&Session { stop: Stop::new(), ..session }, usize::MAX));
    assert_eq!(weights(&whole.model), weights(&resumed.model));
    assert_eq!(whole.history, resumed.history);
}
