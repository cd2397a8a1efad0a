//! One change of a claim row, repeated until its fate is known (R1).
//!
//! It owns what an answer, or none, to a compare-and-set means. It does not know what the change is
//! for.

use super::claim::{ClaimRow, Expected, Swap};
use super::tenure::{Effect, Input, NoAnswer};

/// A compare-and-set whose fate is not known yet.
#[derive(Clone, Debug)]
pub(super) struct Change {
    expected: Expected,
    pub(super) row: ClaimRow,
}

/// What is known of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// The row is as wanted.
    Applied,
    /// Not known yet; the next step was asked for.
    Open,
    /// The row has gone another way: this change will never be applied.
    Overtaken,
}

impl Change {
    /// Begins to turn the row that is `expected` into `row`.
    pub(super) fn begin<F>(
        expected: Expected,
        row: ClaimRow,
        effects: &mut Vec<Effect<F>>,
    ) -> Change {
        let change = Change { expected, row };
        change.swap(effects);
        change
    }

    /// Takes what became of the last step.
    pub(super) fn handle<F>(&self, input: Input<F>, effects: &mut Vec<Effect<F>>) -> Fate {
        match input {
            Input::Swapped(answer) => self.swapped(answer, effects),
            Input::Row(answer) => self.row_read(answer, effects),
            _ => Fate::Open,
        }
    }

    /// Takes the answer to the compare-and-set. A refusal may be that of a repeat whose first try
    /// was applied, so only the row tells.
    fn swapped<F>(&self, answer: Result<Swap, NoAnswer>, effects: &mut Vec<Effect<F>>) -> Fate {
        if let Ok(Swap::Applied) = answer {
            return Fate::Applied;
        }
        effects.push(Effect::ReadRow);
        Fate::Open
    }

    /// Takes the row as read at SERIAL.
    fn row_read<F>(
        &self,
        answer: Result<Option<ClaimRow>, NoAnswer>,
        effects: &mut Vec<Effect<F>>,
    ) -> Fate {
        let Ok(row) = answer else {
            effects.push(Effect::ReadRow);
            return Fate::Open;
        };
        let found = row.as_ref().map_or(Expected::Absent, ClaimRow::expected);
        if found == self.row.expected() {
            return Fate::Applied;
        }
        if found != self.expected {
            return Fate::Overtaken;
        }
        self.swap(effects);
        Fate::Open
    }

    fn swap<F>(&self, effects: &mut Vec<Effect<F>>) {
        effects.push(Effect::Swap {
            expected: self.expected,
            row: self.row.clone(),
        });
    }
}
