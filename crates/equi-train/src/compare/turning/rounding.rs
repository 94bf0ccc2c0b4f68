//! Fewer digits, which keep the files small.

/// The size of the largest of these numbers.
pub fn largest<'a>(numbers: impl IntoIterator<Item = &'a f64>) -> f64 {
    numbers.into_iter().fold(0.0, |largest, x| largest.max(x.abs()))
}

/// Decimals that leave numbers of a size six digits.
pub fn digits(size: f64) -> i32 {
    (5 - size.max(f64::MIN_POSITIVE).log10().floor() as i32).clamp(0, 12)
}

/// Vectors rounded to this many decimals.
pub fn rounded(vectors: &[[f64; 3]], decimals: i32) -> Vec<[f64; 3]> {
    vectors.iter().map(|x| x.map(|x| round(x, decimals))).collect()
}

/// Rounded to this many decimals, without the sign of a zero.
pub fn round(value: f64, decimals: i32) -> f64 {
    let unit = 10f64.powi(decimals);
    (value * unit).round() / unit + 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_keeps_what_is_not_finite_and_no_sign_of_zero() {
        assert_eq!([round(0.12349, 3), round(-2.5e-9, 4), round(12.0, 2)], [0.123, 0.0, 12.0]);
        assert!(round(-1e-9, 3).is_sign_positive() && round(f64::NAN, 3).is_nan());
    }
}
