//! Spherical harmonics and tensor products: what networks on irreps of O(3) spend their time in.

mod alignment;
mod autodiff;
mod composed;
mod couplings;
#[cfg_attr(feature = "ndarray", allow(deprecated))] // Burn recommends flex; users ask for ndarray nevertheless.
mod extension;
mod harmonics;

use std::sync::Arc;

use burn::backend::Dispatch;
use burn::tensor::Tensor;

#[cfg(feature = "flex")]
pub(super) use alignment::{AlignedPath, Group};
pub use alignment::{HarmonicCouplings, MessageForm};
#[cfg(any(feature = "wgpu", feature = "cuda", feature = "rocm"))]
pub(super) use composed::only;
#[cfg(any(feature = "flex", feature = "wgpu", feature = "cuda", feature = "rocm"))]
pub(super) use composed::{
    direct_messages, direct_messages_gradient, harmonics as composed_harmonics,
    harmonics_gradient as composed_harmonics_gradient, uvu_messages as composed_uvu_messages,
    uvu_messages_gradient as composed_uvu_messages_gradient, uvu_product as composed_uvu_product,
    uvu_product_gradient as composed_uvu_product_gradient, uvw_product as composed_uvw_product,
    uvw_product_gradient as composed_uvw_product_gradient,
};
pub(super) use couplings::Block;
pub use couplings::{CoupledPath, Couplings};
pub use extension::{ProductGradients, ProductOps};
pub use harmonics::HarmonicRecursion;

use super::Segments;

/// The spherical harmonics of vectors, `Y_l(x)`; see [`SphericalHarmonics`](crate::o3::SphericalHarmonics), of which `recursion` is made.
///
/// # Shapes
/// - `vectors`: `[rows, 3]`
/// - output: `[rows, sum 2 l + 1]`
///
/// Without rows or degrees the output is a constant: there is no gradient.
///
/// # Panics
/// If there are not three columns.
pub fn spherical_harmonics(vectors: Tensor<2>, recursion: &Arc<HarmonicRecursion>) -> Tensor<2> {
    let [rows, columns] = vectors.dims();
    assert_eq!(columns, 3, "spherical harmonics are of vectors [rows, 3], not [{rows}, {columns}]");
    if rows * recursion.columns() == 0 {
        return Tensor::zeros([rows, recursion.columns()], (&vectors.device(), vectors.dtype()));
    }
    Tensor::from_dispatch(<Dispatch as ProductOps>::harmonics(vectors.into_dispatch(), recursion.clone()))
}

/// `z_uk = w_u sum_ij c C_ijk x_ui y_j` in every row, for every path of `couplings`, which are those of [`Couplings::uvu`].
///
/// # Shapes
/// - `first` (`x`): `[rows, first input]`
/// - `second` (`y`): `[rows, second input]`
/// - `weights` (`w`): `[1, weights]` or `[rows, weights]`
/// - output: `[rows, output]`
///
/// Where there is nothing to multiply, the output is a constant: there is no gradient.
///
/// # Panics
/// If the shapes do not fit the couplings.
pub fn uvu_product(first: Tensor<2>, second: Tensor<2>, weights: Tensor<2>, couplings: &Arc<Couplings>) -> Tensor<2> {
    let rows = first.dims()[0];
    check("uvu_product", [&first, &second, &weights], [rows, rows], couplings, false);
    if rows * couplings.weights() == 0 {
        return Tensor::zeros([rows, couplings.columns()[2]], (&first.device(), first.dtype()));
    }
    Tensor::from_dispatch(<Dispatch as ProductOps>::uvu_product(
        first.into_dispatch(),
        second.into_dispatch(),
        weights.into_dispatch(),
        couplings.clone(),
    ))
}

/// What the nodes of a graph receive: `z_i = sum over edges e from j to i of x_j (x)_(w_e) y_e` with the product of [`uvu_product`].
///
/// On flex no tensor has a row of features for every edge: features are taken from the sender and added to what the receiver gets edge by edge,
/// and so are gradients, in the order of the senders.
///
/// # Shapes
/// - `first` (`x`): `[nodes that send, first input]`
/// - `second` (`y`): `[edges, second input]`
/// - `weights` (`w`): `[1, weights]` or `[edges, weights]`
/// - output: `[nodes that receive, output]`
///
/// Where there is nothing to multiply, the output is a constant: there is no gradient.
///
/// # Panics
/// If the shapes do not fit the couplings and the edges, or `senders` and `receivers` are of different edges.
pub fn uvu_messages(
    first: Tensor<2>,
    second: Tensor<2>,
    weights: Tensor<2>,
    couplings: &Arc<Couplings>,
    senders: &Segments,
    receivers: &Segments,
) -> Tensor<2> {
    let edges = senders.rows();
    assert_eq!(edges, receivers.rows(), "every edge has a sender and a receiver");
    check("uvu_messages", [&first, &second, &weights], [senders.count(), edges], couplings, false);
    if edges * couplings.weights() == 0 {
        return Tensor::zeros([receivers.count(), couplings.columns()[2]], (&first.device(), first.dtype()));
    }
    Tensor::from_dispatch(<Dispatch as ProductOps>::uvu_messages(
        first.into_dispatch(),
        second.into_dispatch(),
        weights.into_dispatch(),
        couplings.clone(),
        senders.dispatch(),
        receivers.dispatch(),
    ))
}

/// [`uvu_messages`] with the spherical harmonics of a vector for every edge as the second input, `z_i = sum over e from j to i of x_j (x)_(w_e) Y(r_e)`.
///
/// On flex it has two forms, of which [`HarmonicCouplings`] chooses the one that costs less: matrices for every path, as in [`uvu_messages`], or features
/// turned into the frame where the vector is the polar axis. There the harmonics have one component for each degree, a path from degree `l1` to `l3` takes
/// `2 min(l1, l3) + 1` multiplications instead of `(2 l1 + 1) (2 l3 + 1)`, and the sum of the paths to a block is turned back. Vectors shorter than 1e-12 and
/// the gradients there are as in [`spherical_harmonics`].
///
/// # Shapes
/// - `features` (`x`): `[nodes that send, first input]`
/// - `vectors` (`r`): `[edges, 3]`
/// - `weights` (`w`): `[1, weights]` or `[edges, weights]`
/// - output: `[nodes that receive, output]`
///
/// Where there is nothing to multiply, the output is a constant: there is no gradient.
///
/// # Panics
/// If the shapes do not fit the couplings and the edges, or `senders` and `receivers` are of different edges.
pub fn harmonic_messages(
    features: Tensor<2>,
    vectors: Tensor<2>,
    weights: Tensor<2>,
    couplings: &Arc<HarmonicCouplings>,
    senders: &Segments,
    receivers: &Segments,
) -> Tensor<2> {
    let (edges, all) = (senders.rows(), couplings.couplings());
    assert_eq!(edges, receivers.rows(), "every edge has a sender and a receiver");
    let [first, _, out] = all.columns();
    let (given, shapes) = ([&features, &vectors, &weights].map(Tensor::dims), [[senders.count(), first], [edges, 3]]);
    let rows = given[2][0];
    assert!(
        given[..2] == shapes && (rows == 1 || rows == edges) && given[2][1] == all.weights(),
        "harmonic_messages takes {shapes:?} and {} weights, the same or others for each edge, not {given:?}",
        all.weights()
    );
    if edges * all.weights() == 0 {
        return Tensor::zeros([receivers.count(), out], (&features.device(), features.dtype()));
    }
    Tensor::from_dispatch(<Dispatch as ProductOps>::harmonic_messages(
        features.into_dispatch(),
        vectors.into_dispatch(),
        weights.into_dispatch(),
        couplings.clone(),
        senders.dispatch(),
        receivers.dispatch(),
    ))
}

/// `z_wk = sum_uv W_uvw sum_ij c C_ijk x_ui y_vj` in every row, for every path of `couplings`, which are those of [`Couplings::uvw`].
///
/// # Shapes
/// - `first` (`x`): `[rows, first input]`
/// - `second` (`y`): `[rows, second input]`
/// - `weights` (`W`): `[1, weights]`
/// - output: `[rows, output]`
///
/// Where there is nothing to multiply, the output is a constant: there is no gradient.
///
/// # Panics
/// If the shapes do not fit the couplings.
pub fn uvw_product(first: Tensor<2>, second: Tensor<2>, weights: Tensor<2>, couplings: &Arc<Couplings>) -> Tensor<2> {
    let rows = first.dims()[0];
    check("uvw_product", [&first, &second, &weights], [rows, rows], couplings, true);
    if rows * couplings.weights() == 0 {
        return Tensor::zeros([rows, couplings.columns()[2]], (&first.device(), first.dtype()));
    }
    Tensor::from_dispatch(<Dispatch as ProductOps>::uvw_product(
        first.into_dispatch(),
        second.into_dispatch(),
        weights.into_dispatch(),
        couplings.clone(),
    ))
}

fn check(what: &str, tensors: [&Tensor<2>; 3], [nodes, rows]: [usize; 2], couplings: &Couplings, mixed: bool) {
    let [first, second, weights] = tensors.map(Tensor::dims);
    let [a, b, _] = couplings.columns();
    let shared = weights[0] == 1 || (weights[0] == rows && !mixed);
    assert_eq!(couplings.mixed(), mixed, "{what} takes couplings of its own mode");
    assert!(
        first == [nodes, a] && second == [rows, b] && shared && weights[1] == couplings.weights(),
        "{what} takes [{nodes}, {a}] and [{rows}, {b}] and {} weights, not {first:?}, {second:?} and {weights:?}",
        couplings.weights()
    );
}
