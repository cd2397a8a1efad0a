//! From operations to a verdict: takes them one by one, and judges when all are there.

use std::io::BufRead;

use serde::Serialize;

use super::evidence::Evidence;
use super::facts::{Facts, Known};
use super::history::{self, HistoryError, Operation};
use super::violation::{Violation, Violations};
use super::{counts, deliveries, lookups, losses, order};

/// Takes the operations of one history.
#[derive(Default)]
pub struct Checker {
    facts: Facts,
    violations: Violations,
}

/// What a history proves.
#[derive(Debug, Serialize)]
pub struct Verdict {
    /// Lines, repeats too.
    pub operations: u64,
    /// Posts that were acknowledged.
    pub acknowledged: usize,
    /// Of these the ones that a read delivered.
    pub delivered: usize,
    /// Posts and reads of which nobody knows whether they were done.
    pub in_doubt: usize,
    /// Broken promises; 0 is a service that kept its word.
    pub violations_total: u64,
    /// The first of them, at most 1,000.
    pub violations: Vec<Violation>,
}

/// Judges a whole history.
///
/// # Errors
/// When it cannot be read or is none.
pub fn check(source: impl BufRead) -> Result<Verdict, HistoryError> {
    let mut checker = Checker::default();
    history::for_each(source, |line, operation| checker.add(line, &operation))?;
    Ok(checker.finish())
}

impl Checker {
    /// Adds the operation of a line (from 1).
    ///
    /// # Errors
    /// When it contradicts itself.
    pub fn add(&mut self, line: u32, operation: &Operation) -> Result<(), HistoryError> {
        self.facts.add(line, operation, &mut self.violations)
    }

    /// Judges all that was added.
    pub fn finish(self) -> Verdict {
        let mut violations = self.violations;
        let evidence = Evidence::new(self.facts, &mut violations);
        deliveries::check(&evidence, &mut violations);
        losses::check(&evidence, &mut violations);
        lookups::check(&evidence, &mut violations);
        order::check(&evidence, &mut violations);
        counts::check(&evidence, &mut violations);

        let facts = &evidence.facts;
        let posts_in_doubt = facts.posts.iter().filter(|post| post.id == Known::Unknown);
        let reads_in_doubt = facts.reads.iter().filter(|read| read.set == Known::Unknown);
        let was_delivered = |id| evidence.taken_by(id).is_some();
        Verdict {
            operations: facts.operations,
            acknowledged: evidence.acknowledged().count(),
            delivered: evidence
                .acknowledged()
                .filter(|(id, _)| was_delivered(*id))
                .count(),
            in_doubt: posts_in_doubt.count() + reads_in_doubt.count(),
            violations_total: violations.total,
            violations: violations.kept,
        }
    }
}
