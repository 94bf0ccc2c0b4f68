//! The sums of a tensor field network: radial functions times angular ones, on the features of the sender.

use burn::backend::Dispatch;
use burn::tensor::Tensor;

use super::Segments;
use super::extension::RowOps;

/// `y_e = sum over h of a_e[h] B_e (W_h x_j)` for every edge `e` that `j` sends.
///
/// In a convolution with kernels `K_e = sum over F, h of a_e[h] W_h[F] B_e[F]`, `a_e` are the last hidden values of the radial network of
/// edge `e`, `W` its last layer and `B_e[F]` the angular kernels. The kernel of an edge is never made. `W` is multiplied with the features
/// once for every node, and the radial and angular parts follow edge by edge: `p h i F o` multiplications a node and `p h F o` an
/// edge, against `h i F o` an edge for its kernel.
///
/// On the CPU (flex), where the hidden values of all edges are combinations of `r` of them up to rounding (each within 8 units in the last place of
/// its length), these take the place of the `h`, for `r h i F o` multiplications more. Radial functions of the distance alone have `r` between 10
/// and 20 for `h = 129`.
///
/// # Shapes
/// With `p = 2 l_in + 1` components and `i` channels coming in, `q = 2 l_out + 1` components and `o` channels going out, `h` hidden values
/// and `F` angular kernels:
/// - `features` (`x`): `[nodes, p, i]`
/// - `hidden` (`a`): `[edges, h]`
/// - `angular` (`B`): `[edges, q, p * F]`
/// - `weight` (`W`): `[i, h * F * o]`
/// - output: `[edges, q, o]`
///
/// Where there is nothing to multiply, the output is a constant: there is no gradient.
///
/// # Panics
/// If the shapes do not fit each other and the segments.
pub fn radial_product(
    features: Tensor<3>,
    hidden: Tensor<2>,
    angular: Tensor<3>,
    weight: Tensor<2>,
    senders: &Segments,
) -> Tensor<3> {
    let ([nodes, p, inputs], [edges, width], [rows, q, kernels], [taken, columns]) =
        (features.dims(), hidden.dims(), angular.dims(), weight.dims());
    assert!(
        [nodes, edges, rows, inputs] == [senders.count(), senders.rows(), senders.rows(), taken]
            && p * width > 0
            && kernels % p == 0
            && columns % (width * (kernels / p).max(1)) == 0,
        "radial_product over {} edges that {} nodes send takes features [nodes, p, i], hidden values [edges, h], angular kernels \
         [edges, q, p * F] and a weight [i, h * F * o]; it was given {:?}, {:?}, {:?} and {:?}",
        senders.rows(),
        senders.count(),
        features.dims(),
        hidden.dims(),
        angular.dims(),
        weight.dims()
    );
    let outputs = columns / (width * (kernels / p).max(1));
    if edges * q * outputs * kernels * inputs == 0 {
        return Tensor::zeros([edges, q, outputs], (&features.device(), features.dtype()));
    }
    Tensor::from_dispatch(<Dispatch as RowOps>::radial_product(
        features.into_dispatch(),
        hidden.into_dispatch(),
        angular.into_dispatch(),
        weight.into_dispatch(),
        senders.dispatch(),
    ))
}
