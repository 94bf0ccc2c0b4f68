//! The frame of an edge, whose polar axis `y` is the direction of its vector: that of the rotation `R_y(alpha) R_x(beta)`.
//!
//! A rotation about `y` only joins the components of an order `m`. One about `x` commutes with the reflection of `x`, so it joins cosines (orders from 0 on) to cosines
//! and sines to sines, half of the matrix. With a rotation `K` that takes `y` to `x`, `D_x(beta) = K D_y(beta) K^T`: every entry is a sum of cosines or, between
//! even and odd orders, of sines of multiples of `beta`.

use std::collections::HashMap;
use std::f64::consts::FRAC_PI_2;
use std::sync::{Arc, Mutex, OnceLock};

use pulp::Simd;

use crate::o3::{SHORTEST, wigner_d};
use crate::ops::flex::o3::vector::Vector;

/// The matrices of rotations about `x` as sums of cosines and sines, for the degrees that are turned.
pub(super) struct Series<F> {
    degrees: Vec<Degree<F>>,
    highest: usize,
    /// Numbers of the matrices of all degrees.
    size: usize,
    /// One at even places and zero at odd ones, as far as a vector or two numbers reach, then the other way round.
    alternating: [Vec<F>; 2],
}

/// The matrices of a degree.
struct Degree<F> {
    l: usize,
    /// Numbers of a row, whole patterns.
    row: usize,
    place: usize,
    /// `[2, l + 1, l + 1, row]`: of cosines and sines, by output, multiple of `beta` and input.
    terms: Vec<F>,
}

/// `D_x` of degree `l` as [`Degree::terms`], rows not filled up.
fn terms(l: usize) -> Arc<Vec<f64>> {
    static KNOWN: OnceLock<Mutex<HashMap<usize, Arc<Vec<f64>>>>> = OnceLock::new();
    let mut known = KNOWN.get_or_init(Mutex::default).lock().expect("no panic while the cache is held");
    let entry = known.entry(l).or_insert_with(|| {
        let k = wigner_d(l, FRAC_PI_2, FRAC_PI_2, 0.0);
        let orders = l + 1;
        let mut terms = vec![0.0; 2 * orders * orders * orders];
        for sine in [false, true] {
            for (out, inner) in (0..orders).flat_map(|out| (0..orders).map(move |inner| (out, inner))) {
                if sine && (out == 0 || inner == 0) {
                    continue;
                }
                let [a, b] = [out, inner].map(|order| if sine { l - order } else { l + order });
                for q in 0..orders {
                    let entry = |i: usize, j: usize| k[(a, i)] * k[(b, j)];
                    let term = match (q, (out + inner) % 2) {
                        (0, 0) => entry(l, l),
                        (0, _) => 0.0,
                        (_, 0) => entry(l + q, l + q) + entry(l - q, l - q),
                        _ => entry(l - q, l + q) - entry(l + q, l - q),
                    };
                    terms[((usize::from(sine) * orders + out) * orders + q) * orders + inner] = term;
                }
            }
        }
        Arc::new(terms)
    });
    entry.clone()
}

impl<F: Vector> Series<F> {
    pub fn new(degrees: &[usize], width: usize) -> Self {
        let period = width.max(2);
        let mut size = 0;
        let degree = |&l: &usize| {
            let (orders, row) = (l + 1, (l + 1).next_multiple_of(period));
            let mut filled = vec![F::ZERO; 2 * orders * orders * row];
            for (filled, terms) in filled.chunks_exact_mut(row).zip(terms(l).chunks_exact(orders)) {
                filled.iter_mut().zip(terms).for_each(|(to, from)| *to = F::from_elem(*from));
            }
            let degree = Degree { l, row, place: size, terms: filled };
            size += 2 * orders * row;
            degree
        };
        let degrees: Vec<_> = degrees.iter().map(degree).collect();
        let highest = degrees.iter().map(|degree| degree.l).max().unwrap_or(0);
        let ones = |parity| (0..period).map(|place| if place % 2 == parity { F::ONE } else { F::ZERO }).collect();
        Self { degrees, highest, size, alternating: [0, 1].map(ones) }
    }
}

/// The length of a vector, and its direction however short it is: the first axis where there is none.
#[inline(always)]
fn polar<F: Vector>([x, y]: [F; 2]) -> (F, [F; 2]) {
    let size = |number: F| if number < F::ZERO { -number } else { number };
    let largest = if size(x) < size(y) { size(y) } else { size(x) };
    if largest == F::ZERO {
        return (F::ZERO, [F::ONE, F::ZERO]);
    }
    let (x, y) = (x / largest, y / largest);
    let length = (x * x + y * y).square_root();
    (largest * length, [x / length, y / length])
}

/// The frame of an edge.
pub(super) struct Frame<F> {
    /// `cos(m alpha)`, `sin(m alpha)` and `-sin(m alpha)`, order by order.
    around: Vec<[F; 3]>,
    /// `D_x(beta)` of all degrees: `[2, l + 1, row]` for each.
    matrices: Vec<F>,
    /// Cosines and sines of multiples of `beta`, in turn: for even outputs and for odd ones.
    patterns: Vec<F>,
    /// Where the frame's axes lie.
    axes: [[F; 3]; 3],
    /// The length of the vector.
    pub length: F,
}

/// What turns components of a degree.
#[derive(Clone, Copy)]
pub(super) struct Turn<'a, F> {
    pub l: usize,
    /// Cosines and sines of order after order from 1.
    pub around: &'a [[F; 3]],
    /// `[2, l + 1, row]`
    pub matrices: &'a [F],
    pub row: usize,
}

impl<F: Vector> Frame<F> {
    pub fn new(series: &Series<F>) -> Self {
        let orders = series.highest + 1;
        Self {
            around: vec![[F::ONE, F::ZERO, F::ZERO]; orders],
            matrices: vec![F::ZERO; series.size],
            patterns: vec![F::ZERO; 2 * orders * series.alternating[0].len()],
            axes: [[F::ZERO; 3]; 3],
            length: F::ZERO,
        }
    }

    /// The frame of a vector; of none that is too short for a direction, if it is to have one. Without a length it is that of the axis `y`.
    #[inline(always)]
    pub fn set<S: Simd>(&mut self, simd: S, series: &Series<F>, [x, y, z]: [F; 3], directed: bool) -> bool {
        let (zero, one) = (F::ZERO, F::ONE);
        if directed && x * x + y * y + z * z < F::from_elem(SHORTEST * SHORTEST) {
            return false;
        }
        let (side, [cos_alpha, sin_alpha]) = polar([z, x]);
        let (length, [cos_beta, sin_beta]) = polar([y, side]);
        self.length = length;
        self.axes = [
            [cos_alpha, zero, -sin_alpha],
            [sin_beta * sin_alpha, cos_beta, sin_beta * cos_alpha],
            [cos_beta * sin_alpha, -sin_beta, cos_beta * cos_alpha],
        ];
        let (mut cosine, mut sine) = (one, zero);
        for around in &mut self.around {
            *around = [cosine, sine, -sine];
            (cosine, sine) = (cosine * cos_alpha - sine * sin_alpha, sine * cos_alpha + cosine * sin_alpha);
        }
        let (width, patterns) = (F::width::<S>(), F::vectors_mut::<S>(&mut self.patterns));
        let alternating = series.alternating.each_ref().map(|numbers| F::vectors::<S>(numbers));
        let period = alternating[0].len();
        let (mut cosine, mut sine) = (one, zero);
        for patterns in patterns.chunks_exact_mut(2 * period) {
            let (c, s) = (F::splat(simd, cosine), F::splat(simd, sine));
            for place in 0..period {
                let [even, odd] = alternating.map(|vectors| vectors[place]);
                patterns[place] = F::fma(simd, c, even, F::times(simd, s, odd));
                patterns[period + place] = F::fma(simd, s, even, F::times(simd, c, odd));
            }
            (cosine, sine) = (cosine * cos_beta - sine * sin_beta, sine * cos_beta + cosine * sin_beta);
        }
        let matrices = F::vectors_mut::<S>(&mut self.matrices);
        for degree in &series.degrees {
            let (orders, row) = (degree.l + 1, degree.row / width);
            let matrix = &mut matrices[degree.place / width..][..2 * orders * row];
            let terms = F::vectors::<S>(&degree.terms);
            for (number, (matrix, terms)) in
                matrix.chunks_exact_mut(row).zip(terms.chunks_exact(orders * row)).enumerate()
            {
                let odd = number % orders % 2;
                for (place, entry) in matrix.iter_mut().enumerate() {
                    let mut sum = F::splat(simd, zero);
                    for q in 0..orders {
                        let pattern = patterns[(2 * q + odd) * period + place % period];
                        sum = F::fma(simd, terms[q * row + place], pattern, sum);
                    }
                    *entry = sum;
                }
            }
        }
        true
    }

    /// What turns the degree of this number in the series.
    #[inline(always)]
    pub fn turn<'a>(&'a self, series: &Series<F>, number: usize) -> Turn<'a, F> {
        let &Degree { l, row, place, .. } = &series.degrees[number];
        Turn { l, around: &self.around[1..=l], matrices: &self.matrices[place..][..2 * (l + 1) * row], row }
    }

    /// The vector with these components in the frame.
    #[inline(always)]
    pub fn vector(&self, components: [F; 3]) -> [F; 3] {
        let [a, b, c] = &self.axes;
        [0, 1, 2].map(|axis| components[0] * a[axis] + components[1] * b[axis] + components[2] * c[axis])
    }
}
