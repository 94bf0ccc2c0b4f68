//! Networks without a result, in words: those that diverged, and those that panicked.

use crate::compare::results::{Cell, CellStatus, Results};

/// The most characters of a message that are told within a sentence.
const LONGEST: usize = 160;

/// How many networks have no result, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lost {
    /// The loss left the finite numbers.
    pub diverged: usize,
    /// They panicked.
    pub panicked: usize,
}

impl Lost {
    pub fn of<'a>(cells: impl IntoIterator<Item = &'a Cell>) -> Self {
        let mut lost = Self::default();
        for cell in cells {
            match cell.status {
                CellStatus::Done => {}
                CellStatus::Diverged => lost.diverged += 1,
                CellStatus::Panicked => lost.panicked += 1,
            }
        }
        lost
    }

    pub fn is_none(self) -> bool {
        self == Self::default()
    }

    /// The reasons that there are, each with the number of networks.
    pub fn reasons(self) -> impl Iterator<Item = (usize, &'static str)> {
        let all = [(self.diverged, CellStatus::Diverged), (self.panicked, CellStatus::Panicked)];
        all.into_iter().filter(|(count, _)| *count > 0).map(|(count, reason)| (count, reason.name()))
    }

    /// The reason if there is one, and else both with their numbers and `between` between them.
    pub fn word(self, between: &str) -> String {
        match (self.diverged, self.panicked) {
            (_, 0) => CellStatus::Diverged.name().to_string(),
            (0, _) => CellStatus::Panicked.name().to_string(),
            _ => self.counted().join(between),
        }
    }

    /// `2 diverged`, `1 panicked`.
    pub fn counted(self) -> Vec<String> {
        self.reasons().map(|(count, reason)| format!("{count} {reason}")).collect()
    }
}

/// What is to be said of networks without a result when a comparison is over; none if every network has one.
pub fn lost(results: &Results) -> Option<String> {
    let lost = Lost::of(&results.cells);
    let networks = format!(" of {} networks", results.cells.len());
    let counted = lost.reasons().enumerate().map(|(place, (count, reason))| {
        let of = if place == 0 { networks.as_str() } else { "" };
        format!("{count}{of} {reason}")
    });
    let counted: Vec<String> = counted.collect();
    let slower = (lost.diverged > 0).then(|| {
        let which = if lost.panicked > 0 { " for those that diverged" } else { "" };
        format!("lower --learning-rate{which}")
    });
    let cures: Vec<String> = slower.into_iter().chain(panics(&results.cells)).collect();
    (!lost.is_none())
        .then(|| format!("{}; they are left out of the means; {}", counted.join(" and "), cures.join("; ")))
}

/// What the panics said; none if there were none.
pub(super) fn panics(cells: &[Cell]) -> Option<String> {
    let panicked: Vec<&Cell> = cells.iter().filter(|cell| cell.status == CellStatus::Panicked).collect();
    let said = |cell: &Cell| cell.message.as_deref().map_or("nothing".to_string(), in_a_line);
    let first = said(panicked.first()?);
    Some(match (panicked.len(), panicked.iter().all(|cell| said(cell) == first)) {
        (1, _) => format!("the panic said: {first}"),
        (_, true) => format!("the panics said: {first}"),
        (_, false) => format!("the first panic said: {first}; results.json has what the others said"),
    })
}

/// A message without breaks of lines, which ends before it is long.
pub(crate) fn in_a_line(message: &str) -> String {
    let line = message.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", line[..end].trim_end()),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample::{crash, diverge, sample};

    #[test]
    fn the_cure_is_that_of_what_went_wrong() {
        let mut results = sample(2);
        assert_eq!(lost(&results), None);
        diverge(&mut results.cells[0]);
        let diverged = "1 of 18 networks diverged; they are left out of the means; lower --learning-rate";
        assert_eq!(lost(&results).unwrap(), diverged);
        crash(&mut results.cells[3]);
        assert_eq!(
            lost(&results).unwrap(),
            "1 of 18 networks diverged and 1 panicked; they are left out of the means; lower --learning-rate for those that \
             diverged; the panic said: no such shape"
        );
        results.cells[..6].iter_mut().for_each(crash);
        let panicked = "6 of 18 networks panicked; they are left out of the means; the panics said: no such shape";
        assert_eq!(lost(&results).unwrap(), panicked);
    }

    #[test]
    fn reasons_are_counted_apart() {
        let mut cells = sample(2).cells;
        assert!(Lost::of(&cells).is_none());
        cells[..2].iter_mut().for_each(crash);
        assert_eq!(Lost::of(&cells).word("\n"), "panicked");
        diverge(&mut cells[4]);
        let lost = Lost::of(&cells);
        assert_eq!(lost, Lost { diverged: 1, panicked: 2 });
        assert_eq!(
            (lost.word("\n"), lost.word(", ")),
            ("1 diverged\n2 panicked".into(), "1 diverged, 2 panicked".into())
        );
        assert_eq!(Lost::of(&cells[3..]).word("\n"), "diverged");
    }

    #[test]
    fn messages_of_panics_are_told_in_a_line() {
        let mut cells = sample(2).cells;
        assert_eq!(panics(&cells), None);
        cells[..2].iter_mut().for_each(crash);
        cells[0].message = Some("two\n  lines".into());
        assert_eq!(panics(&cells[..1]).unwrap(), "the panic said: two lines");
        assert_eq!(panics(&cells).unwrap(), "the first panic said: two lines; results.json has what the others said");
        cells[1].message = None;
        assert_eq!(panics(&cells[1..]).unwrap(), "the panic said: nothing");
        // Characters, not bytes.
        assert_eq!(in_a_line(&"é".repeat(LONGEST)), "é".repeat(LONGEST));
        assert_eq!(in_a_line(&"é".repeat(LONGEST + 1)), "é".repeat(LONGEST) + "…");
    }
}
