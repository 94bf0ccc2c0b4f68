//! Clebsch-Gordan coefficients of real irreps.
//!
//! The complex coefficients are Racah's sum. With `a = l1 + l2 - l3`, `b = l1 - l2 + l3`, `c = l2 + l3 - l1` and `m3 = m1 + m2`
//! they are, up to a positive factor that depends on the degrees only,
//!
//! ```text
//! sum_k (-1)^k C(a, k) C(b, l1 - m1 - k) C(c, l2 + m2 - k) / sqrt(C(2 l1, l1 - m1) C(2 l2, l2 - m2) C(2 l3, l3 - m3))
//! ```
//!
//! whose sum is an integer and is taken as one, so that high degrees lose no digits. The real components are
//!
//! ```text
//! i^-l { (i z_-m - i (-1)^m z_m) / sqrt 2,  z_0,  (z_-m + (-1)^m z_m) / sqrt 2 }     (of orders -m, 0, m)
//! ```
//!
//! of complex ones `z`, where the phase `i^-l` makes all coefficients real.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use crate::error::{Error, Result};

/// Degrees that sum to more need integers beyond 128 bits.
const HIGHEST_SUM: usize = 120;

/// The real tensor `C` with `C_ijk = sum D1_ia D2_jb D3_kc C_abc` for every rotation: the one way, up to a factor, to multiply
/// an irrep of degree `l1` by one of degree `l2` to give one of degree `l3`.
///
/// Its squares sum to 1; the sign is e3nn's.
#[derive(Clone, Debug, PartialEq)]
pub struct Wigner3j {
    degrees: [usize; 3],
    values: Vec<f64>,
}

/// The coefficients of three degrees, computed once in a process.
///
/// # Errors
/// [`Error::NotATriangle`] unless `|l1 - l2| <= l3 <= l1 + l2`, and [`Error::DegreesTooHigh`] if the degrees sum to more than
/// 120.
pub fn wigner_3j(l1: usize, l2: usize, l3: usize) -> Result<Arc<Wigner3j>> {
    static KNOWN: OnceLock<Mutex<HashMap<[usize; 3], Arc<Wigner3j>>>> = OnceLock::new();
    if l3 < l1.abs_diff(l2) || l1.saturating_add(l2) < l3 {
        return Err(Error::NotATriangle { l1, l2, l3 });
    }
    if l1.saturating_add(l2).saturating_add(l3) > HIGHEST_SUM {
        return Err(Error::DegreesTooHigh { l1, l2, l3, highest: HIGHEST_SUM });
    }
    let mut known = KNOWN.get_or_init(Mutex::default).lock().expect("no panic while the cache is held");
    Ok(known.entry([l1, l2, l3]).or_insert_with(|| Arc::new(Wigner3j::new([l1, l2, l3]))).clone())
}

impl Wigner3j {
    fn new(degrees: [usize; 3]) -> Self {
        let [l1, l2, l3] = degrees.map(|l| l as i64);
        let mut values = Vec::with_capacity(degrees.iter().map(|l| 2 * l + 1).product());
        for i in -l1..=l1 {
            for j in -l2..=l2 {
                for k in -l3..=l3 {
                    values.push(real(degrees, [i, j, k]));
                }
            }
        }
        let norm = values.iter().map(|v| v * v).sum::<f64>().sqrt();
        values.iter_mut().for_each(|v| *v /= norm);
        Self { degrees, values }
    }

    /// `l1`, `l2`, `l3`.
    pub fn degrees(&self) -> [usize; 3] {
        self.degrees
    }

    /// The coefficient of components `i`, `j` and `k`, which are numbered from 0 to `2 l`.
    ///
    /// # Panics
    /// If there is no such component.
    pub fn get(&self, i: usize, j: usize, k: usize) -> f64 {
        let [d1, d2, d3] = self.degrees.map(|l| 2 * l + 1);
        assert!(i < d1 && j < d2 && k < d3, "no coefficient [{i}, {j}, {k}] in a table [{d1}, {d2}, {d3}]");
        self.values[(i * d2 + j) * d3 + k]
    }

    /// All coefficients, `[2 l1 + 1, 2 l2 + 1, 2 l3 + 1]`, row-major.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// The coefficients that are not zero, `(i, j, k, value)`, in the order of [`values`](Self::values).
    pub fn nonzeros(&self) -> impl Iterator<Item = (usize, usize, usize, f64)> {
        let [_, d2, d3] = self.degrees.map(|l| 2 * l + 1);
        let nonzero = self.values.iter().enumerate().filter(|(_, value)| **value != 0.0);
        nonzero.map(move |(place, &value)| (place / (d2 * d3), place / d3 % d2, place % d3, value))
    }
}

/// The coefficient of real components, not normalised. What cancels does so exactly, since equal terms are computed alike.
fn real(degrees: [usize; 3], orders: [i64; 3]) -> f64 {
    let [first, second, third] = std::array::from_fn(|n| complex_components(degrees[n], orders[n]));
    let mut sum = 0.0;
    for &(m1, phase1) in &first {
        for &(m2, phase2) in &second {
            for &(_, phase3) in third.iter().filter(|(m3, _)| *m3 == m1 + m2) {
                // The third index is that of the conjugate.
                match (phase1 + phase2 - phase3).rem_euclid(4) {
                    0 => sum += complex(degrees, m1, m2),
                    2 => sum -= complex(degrees, m1, m2),
                    // Imaginary terms cancel.
                    _ => {}
                }
            }
        }
    }
    let halves = orders.iter().filter(|order| **order != 0).count();
    sum * 0.5f64.powi(halves as i32).sqrt()
}

/// The complex components `(m, phase)` that the real one of an order consists of, each times `i^phase`, and times `1 / sqrt 2`
/// if there are two.
fn complex_components(l: usize, order: i64) -> Vec<(i64, i64)> {
    let (m, phase) = (order.abs(), -(l as i64));
    match order {
        0 => vec![(0, phase)],
        1.. => vec![(-m, phase), (m, phase + 2 * m)],
        _ => vec![(-m, phase - 1), (m, phase + 1 + 2 * m)],
    }
}

/// The coefficient of complex components with `m3 = m1 + m2`, up to a positive factor.
fn complex([l1, l2, l3]: [usize; 3], m1: i64, m2: i64) -> f64 {
    let (a, b, c) = (l1 + l2 - l3, l1 + l3 - l2, l2 + l3 - l1);
    let from = |l: usize, m: i64| l as i64 + m;
    let term = |k: i64| {
        let product = binomial(a, k) * binomial(b, from(l1, -m1) - k) * binomial(c, from(l2, m2) - k);
        if k % 2 == 0 { product } else { -product }
    };
    let sum: i128 = (0..=a as i64).map(term).sum();
    let weight = |l: usize, m: i64| binomial(2 * l, from(l, m)) as f64;
    sum as f64 / (weight(l1, m1) * weight(l2, m2) * weight(l3, m1 + m2)).sqrt()
}

/// Zero outside `0 <= k <= n`.
fn binomial(n: usize, k: i64) -> i128 {
    let n = n as i128;
    match i128::from(k) {
        k if k < 0 || k > n => 0,
        k => (0..k.min(n - k)).fold(1, |product, i| product * (n - i) / (i + 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cross_product_and_the_dot_product() {
        let cross = wigner_3j(1, 1, 1).unwrap();
        let found: Vec<_> = cross.nonzeros().map(|(i, j, k, v)| (i, j, k, v * 6f64.sqrt())).collect();
        let expected = [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)];
        let signs = [1.0, -1.0, -1.0, 1.0, 1.0, -1.0];
        assert_eq!(found.len(), 6);
        for ((found, place), sign) in found.into_iter().zip(expected).zip(signs) {
            assert_eq!((found.0, found.1, found.2), place);
            assert!((found.3 - sign).abs() < 1e-15);
        }
        let dot: Vec<_> =
            wigner_3j(1, 1, 0).unwrap().nonzeros().map(|(i, j, k, v)| (i, j, k, v * 3f64.sqrt())).collect();
        assert!(dot.iter().enumerate().all(|(n, &(i, j, k, v))| (i, j, k) == (n, n, 0) && (v - 1.0).abs() < 1e-15));
        assert_eq!(dot.len(), 3);
    }

    /// `sum_ij C_ijk C_ijk' = delta_kk' / (2 l3 + 1)`, up to the degrees where the integers need 120 bits.
    #[test]
    fn coefficients_are_orthogonal_at_high_degrees() {
        for degrees in [[11, 11, 11], [11, 11, 22], [11, 3, 9], [40, 40, 40], [60, 0, 60], [12, 30, 20]] {
            let [l1, l2, l3] = degrees;
            let table = wigner_3j(l1, l2, l3).unwrap();
            let width = 2 * l3 + 1;
            let mut gram = vec![0.0; width * width];
            for row in table.values().chunks(width) {
                for (k, a) in row.iter().enumerate().filter(|(_, a)| **a != 0.0) {
                    gram[k * width..][..width].iter_mut().zip(row).for_each(|(sum, b)| *sum += a * b);
                }
            }
            for (place, entry) in gram.into_iter().enumerate() {
                let expected = if place / width == place % width { 1.0 / width as f64 } else { 0.0 };
                assert!((entry - expected).abs() < 1e-14, "{degrees:?}: {entry} at {place}");
            }
        }
    }

    #[test]
    fn a_table_is_computed_once() {
        assert!(Arc::ptr_eq(&wigner_3j(3, 2, 4).unwrap(), &wigner_3j(3, 2, 4).unwrap()));
    }

    #[test]
    fn degrees_without_coefficients_are_named() {
        assert_eq!(wigner_3j(1, 1, 3), Err(Error::NotATriangle { l1: 1, l2: 1, l3: 3 }));
        assert_eq!(wigner_3j(2, 0, 1), Err(Error::NotATriangle { l1: 2, l2: 0, l3: 1 }));
        assert!(matches!(wigner_3j(41, 40, 40), Err(Error::DegreesTooHigh { highest: 120, .. })));
        assert!(wigner_3j(usize::MAX, 1, usize::MAX).is_err());
    }
}
