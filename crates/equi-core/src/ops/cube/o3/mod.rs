//! Spherical harmonics and products `uvu`. Which numbers are multiplied is known when a kernel is compiled: there is one for every list of degrees and for
//! every block of a product, without loops over coefficients and without tables.

mod harmonics;
mod uvu;

use std::sync::Arc;

use burn::backend::tensor::FloatTensor;
use burn_cubecl::CubeBackend;

use super::applies;
use crate::ops::BackendSegments;
use crate::ops::o3::{self, Couplings, HarmonicRecursion, ProductOps};
use uvu::Graph;

impl ProductOps for CubeBackend {
    fn harmonics(points: FloatTensor<Self>, recursion: Arc<HarmonicRecursion>) -> FloatTensor<Self> {
        if !applies([&points]) {
            return o3::composed_harmonics::<Self>(points, recursion);
        }
        harmonics::values(points, &recursion)
    }

    fn harmonics_gradient(
        points: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        recursion: Arc<HarmonicRecursion>,
    ) -> FloatTensor<Self> {
        if !applies([&points, &gradient]) {
            return o3::composed_harmonics_gradient::<Self>(points, gradient, recursion);
        }
        harmonics::gradient(points, gradient, &recursion)
    }

    fn uvu_product(
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        couplings: Arc<Couplings>,
    ) -> FloatTensor<Self> {
        if !applies([&first, &second, &weights]) {
            return o3::composed_uvu_product::<Self>(first, second, weights, couplings);
        }
        uvu::product([first, second, weights], &couplings, None)
    }

    fn uvu_product_gradient_by(
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        couplings: Arc<Couplings>,
        gradient: FloatTensor<Self>,
        argument: usize,
    ) -> FloatTensor<Self> {
        if !applies([&first, &second, &weights, &gradient]) {
            let needed = [0, 1, 2].map(|place| place == argument);
            let all = o3::composed_uvu_product_gradient::<Self>(first, second, weights, couplings, gradient, needed);
            return o3::only(all);
        }
        uvu::gradient([first, second, weights], &couplings, None, gradient, argument)
    }

    fn uvu_messages(
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        couplings: Arc<Couplings>,
        senders: BackendSegments<Self>,
        receivers: BackendSegments<Self>,
    ) -> FloatTensor<Self> {
        if !applies([&first, &second, &weights]) {
            return o3::composed_uvu_messages::<Self>(first, second, weights, couplings, senders, receivers);
        }
        uvu::product([first, second, weights], &couplings, Some(Graph { senders, receivers }))
    }

    fn uvu_messages_gradient_by(
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        couplings: Arc<Couplings>,
        senders: BackendSegments<Self>,
        receivers: BackendSegments<Self>,
        gradient: FloatTensor<Self>,
        argument: usize,
    ) -> FloatTensor<Self> {
        if !applies([&first, &second, &weights, &gradient]) {
            let needed = [0, 1, 2].map(|place| place == argument);
            return o3::only(o3::composed_uvu_messages_gradient::<Self>(
                first, second, weights, couplings, senders, receivers, gradient, needed,
            ));
        }
        uvu::gradient([first, second, weights], &couplings, Some(Graph { senders, receivers }), gradient, argument)
    }
}
