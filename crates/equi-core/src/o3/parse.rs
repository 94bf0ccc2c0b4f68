//! Reading irreps.
//!
//! ```text
//! irreps = [ block { "+" block } ]     block = [ number "x" ] irrep     irrep = number ( "e" | "o" | "y" )
//! ```
//!
//! Spaces may stand before everything.

use super::{Irrep, MulIrrep, Parity};
use crate::error::{Error, Result};

/// The longest numbers taken; then the dimension of a block is a `u64` without overflow.
const DIGITS: usize = 9;

pub(super) fn irreps(text: &str) -> Result<Vec<MulIrrep>> {
    let mut cursor = Cursor { text, at: 0 };
    let mut blocks = Vec::new();
    if cursor.peek().is_none() {
        return Ok(blocks);
    }
    loop {
        blocks.push(cursor.block()?);
        match cursor.peek() {
            None => return Ok(blocks),
            Some('+') => cursor.advance('+'),
            Some(_) => return Err(cursor.error("`+`, or the end")),
        }
    }
}

pub(super) fn irrep(text: &str) -> Result<Irrep> {
    let mut cursor = Cursor { text, at: 0 };
    let l = cursor.number("a degree")?;
    let irrep = Irrep::new(l, cursor.parity(l)?);
    match cursor.peek() {
        None => Ok(irrep),
        Some(_) => Err(cursor.error("the end of the irrep")),
    }
}

struct Cursor<'a> {
    text: &'a str,
    /// In bytes.
    at: usize,
}

impl Cursor<'_> {
    fn block(&mut self) -> Result<MulIrrep> {
        let number = self.number("a multiplicity or a degree")?;
        if self.peek() == Some('x') {
            self.advance('x');
            let l = self.number("a degree")?;
            return Ok(MulIrrep::new(number, Irrep::new(l, self.parity(l)?)));
        }
        Ok(Irrep::new(number, self.parity(number)?).into())
    }

    fn number(&mut self, what: &str) -> Result<usize> {
        self.peek();
        let rest = &self.text[self.at..];
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let significant = rest[..digits].trim_start_matches('0');
        if digits == 0 {
            return Err(self.error(&format!("{what}, which is a number without sign")));
        }
        if significant.len() > DIGITS {
            return Err(self.error(&format!("{what} of at most {DIGITS} digits")));
        }
        self.at += digits;
        Ok(significant.bytes().fold(0, |number, digit| 10 * number + usize::from(digit - b'0')))
    }

    fn parity(&mut self, l: usize) -> Result<Parity> {
        let parity = match self.peek() {
            Some('e') => Parity::Even,
            Some('o') => Parity::Odd,
            Some('y') => Parity::of_degree(l),
            _ => return Err(self.error("a parity: `e`, `o`, or `y` for that of the spherical harmonics")),
        };
        self.at += 1;
        Ok(parity)
    }

    /// The next character that is not a space, and moves there.
    fn peek(&mut self) -> Option<char> {
        let rest = self.text[self.at..].trim_start();
        self.at = self.text.len() - rest.len();
        rest.chars().next()
    }

    /// Past a character that was seen.
    fn advance(&mut self, character: char) {
        self.at += character.len_utf8();
    }

    fn error(&self, expected: &str) -> Error {
        // On one line, so that the place can be shown below it.
        let text = self.text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).collect();
        Error::IrrepsSyntax { text, at: self.text[..self.at].chars().count(), expected: expected.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Irreps;
    use super::*;

    #[track_caller]
    fn refused(text: &str, place: usize, wanted: &str) {
        match Irreps::parse(text) {
            Err(Error::IrrepsSyntax { at, expected, .. }) => {
                assert_eq!(at, place, "{text}: {expected}");
                assert!(expected.starts_with(wanted), "{text}: {expected}");
            }
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn errors_point_at_the_character() {
        refused("1x", 2, "a degree");
        refused("x0e", 0, "a multiplicity or a degree");
        refused("1f", 1, "a parity");
        refused("-1x0e", 0, "a multiplicity or a degree");
        refused("0e++1o", 3, "a multiplicity or a degree");
        refused("1.5x0e", 1, "a parity");
        refused("0e + 2x1", 8, "a parity");
        refused("0e 1o", 3, "`+`, or the end");
        refused("2x1o+", 5, "a multiplicity or a degree");
        refused("1 0e", 2, "a parity");
        refused("1x2x3e", 3, "a parity");
        refused("1234567890x0e", 0, "a multiplicity or a degree of at most 9 digits");
        refused("äx", 0, "a multiplicity");
        refused("1eä", 2, "`+`");
        assert!("1o+0e".parse::<Irrep>().is_err() && "".parse::<Irrep>().is_err());
    }

    #[test]
    fn the_message_has_a_caret_under_the_character() {
        let message = Irreps::parse("4x0e+2x1f").unwrap_err().to_string();
        let lines: Vec<&str> = message.lines().collect();
        assert_eq!(lines[1].find('f'), lines[2].find('^'), "{message}");
        assert!(message.contains("a parity: `e`, `o`"), "{message}");
    }

    #[test]
    fn spaces_and_zeros_are_allowed() {
        for text in ["4x0e+1x1o", " 4 x 0e +1o ", "004x00e\n+\t1x 1 o"] {
            assert_eq!(Irreps::parse(text).unwrap().to_string(), "4x0e+1x1o");
        }
        assert_eq!(" 2 y".parse::<Irrep>(), Ok(Irrep::even(2)));
    }
}
