//! How numbers are written for people.

use crate::compare::Recipe;

/// `12000` as `12,000`.
pub(super) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Three significant digits, in plain notation from a millionth to a billion: `0.0123`, `1.23`, `12.3`, `1,230`, and `1.23e-8`.
pub(super) fn plain(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-6..1e9).contains(&size) && size.is_finite() {
        return format!("{value:.2e}");
    }
    if size >= 100.0 {
        let whole = count(size.round() as u64);
        return if value < 0.0 { format!("-{whole}") } else { whole };
    }
    if size == 0.0 {
        return "0".into();
    }
    let decimals = (2 - size.log10().floor() as i32).clamp(0, 12) as usize;
    format!("{value:.decimals$}")
}

/// A number among others that differ by up to `range`, with three digits of that: `-39.50` beside `-40.00`.
pub(super) fn among(value: f64, range: f64) -> String {
    if range <= 0.0 || !range.is_finite() {
        return plain(value);
    }
    let decimals = (2 - range.log10().floor() as i32).clamp(0, 12) as usize;
    let text = format!("{value:.decimals$}");
    // No sign of a zero.
    match text.strip_prefix('-') {
        Some(size) if size.chars().all(|digit| matches!(digit, '0' | '.')) => size.to_string(),
        _ => text,
    }
}

/// A round number as it labels an axis: `0.5`, `20`, `1,000`.
pub(super) fn tick(value: f64) -> String {
    if value.abs() >= 1000.0 {
        return plain(value);
    }
    // Sums and powers of ten leave dust in the last digits.
    let rounded: f64 = format!("{value:.9e}").parse().unwrap_or(value);
    format!("{rounded}")
}

/// Two significant digits, with a power of ten outside 0.01 to 100: `0.34`, `3.1e-7`.
pub(super) fn magnitude(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        "not finite".into()
    } else if size == 0.0 {
        "0".into()
    } else if (0.01..100.0).contains(&size) {
        format!("{value:.*}", (1 - size.log10().floor() as i32).max(0) as usize)
    } else {
        format!("{value:.1e}")
    }
}

/// [`magnitude`] with a typeset power: `3.1 × 10⁻⁷`.
pub(super) fn typeset(value: f64) -> String {
    let text = magnitude(value);
    match text.split_once('e') {
        Some((mantissa, exponent)) if value.is_finite() => {
            format!("{mantissa}\u{202f}×\u{202f}10{}", superscript(exponent))
        }
        _ => text,
    }
}

/// Digits and minus signs raised.
pub(super) fn superscript(exponent: &str) -> String {
    exponent
        .chars()
        .map(|c| match c {
            '-' => '⁻',
            '0'..='9' => ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'][c as usize - '0' as usize],
            other => other,
        })
        .collect()
}

/// Seconds, or minutes and hours when there are many.
pub(super) fn duration(seconds: f64) -> String {
    if seconds < 60.0 {
        return format!("{} s", plain(seconds));
    }
    let whole = seconds.round() as u64;
    if whole < 3600 {
        format!("{} min {:02} s", whole / 60, whole % 60)
    } else {
        format!("{} h {:02} min", whole / 3600, whole % 3600 / 60)
    }
}

/// The exponent of a learning curve: `0.46`, and no `-0.00`.
pub(super) fn exponent(value: f64) -> String {
    format!("{:.2}", if value.abs() < 0.005 { 0.0 } else { value })
}

/// A metric: percentages to two decimals, everything else to three digits.
pub(super) fn metric(name: &str, value: f64) -> String {
    if name.ends_with('%') { format!("{value:.2}") } else { plain(value) }
}

/// The peak learning rates: `0.001; equivariant 0.0005`.
pub(super) fn rates(recipe: &Recipe) -> String {
    let own: String = recipe.arm_rates.iter().map(|(arm, rate)| format!("; {arm} {rate}")).collect();
    format!("{}{own}", recipe.learning_rate)
}

/// A metric's name without its unit, and the unit with a leading space: `("test error", " %")`.
pub(super) fn quantity(name: &str) -> (&str, &str) {
    match name.strip_suffix('%') {
        Some(rest) => (rest.trim_end(), " %"),
        None => (name, ""),
    }
}

/// The same with a capital letter first.
pub(super) fn capital(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

/// `a`, `a and b`, `a, b and c`.
pub(super) fn enumeration(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!([count(0), count(999), count(1000), count(1_234_567)], ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [plain(0.0123), plain(1.234), plain(12.34), plain(1234.4), plain(-0.5)],
            ["0.0123", "1.23", "12.3", "1,234", "-0.500"]
        );
        assert_eq!([tick(0.1 + 0.2), tick(20.0), tick(0.0), tick(5000.0)], ["0.3", "20", "0", "5,000"]);
        assert_eq!(
            [magnitude(3.12e-7), magnitude(0.0), magnitude(0.345), magnitude(12.3)],
            ["3.1e-7", "0", "0.34", "12"]
        );
        assert_eq!([magnitude(f64::NAN), typeset(f64::INFINITY)], ["not finite", "not finite"]);
        assert_eq!(typeset(3.12e-7), "3.1\u{202f}×\u{202f}10⁻⁷");
        assert_eq!([duration(4.0), duration(245.2), duration(7260.0)], ["4.00 s", "4 min 05 s", "2 h 01 min"]);
        assert_eq!([metric("test error %", 2.71234), metric("force MSE", 0.00271234)], ["2.71", "0.00271"]);
        assert_eq!(
            [among(-40.0, 1.0), among(-1e-4, 0.5), among(123_456.7, 999.0), among(1.5, 0.0)],
            ["-40.00", "0.000", "123457", "1.50"]
        );
        assert_eq!([plain(1.234e-8), plain(-5.6e12), plain(1.5e-6)], ["1.23e-8", "-5.60e12", "0.00000150"]);
        assert_eq!([exponent(0.456), exponent(-0.004), exponent(-0.12)], ["0.46", "0.00", "-0.12"]);
        assert_eq!([quantity("test error %"), quantity("force MSE")], [("test error", " %"), ("force MSE", "")]);
        assert_eq!(enumeration(&["a".into(), "b".into(), "c".into()]), "a, b and c");
    }
}
