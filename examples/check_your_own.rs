//! Is a network equivariant? `cargo run --release --example check_your_own`
//!
//! The check takes any closure from feature maps to feature maps with the field types it claims. Here it looks at three ways to
//! halve the size of a feature map that look alike, of which two are equivariant to quarter turns.

use burn::tensor::module::{avg_pool2d, max_pool2d};
use burn::tensor::ops::{AvgPoolOptions, MaxPoolOptions};
use burn::tensor::{DType, Device, Tensor};
use equi::core::FieldType;
use equi::core::check::{FieldFn, outputs, probe};
use equi::core::group::D4;

type Map = fn(Tensor<4>) -> Tensor<4>;

fn main() {
    let scalars = FieldType::trivial(D4, 3);
    let maps: [(&str, usize, Map); 3] = [
        ("maximum, 2 x 2, stride 2, on 28 x 28", 28, |x| max_pool2d(x, MaxPoolOptions::new([2, 2]))),
        ("maximum, 2 x 2, stride 2, on 29 x 29", 29, |x| max_pool2d(x, MaxPoolOptions::new([2, 2]))),
        ("average, 3 x 3, stride 2, on 29 x 29", 29, |x| {
            avg_pool2d(x, AvgPoolOptions { stride: [2, 2], ..AvgPoolOptions::new([3, 3]) })
        }),
    ];
    for (name, side, map) in maps {
        let claimed = FieldFn::new(scalars.clone(), scalars.clone(), &Device::default(), DType::F32, map);
        let report = outputs(&claimed, D4, probe(&claimed, [4, side, side], 0));
        let verdict = if report.exact_error() < 1e-5 { "equivariant" } else { "NOT equivariant" };
        println!("{name}: {verdict}\n{report}");
    }
}
