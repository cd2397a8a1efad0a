//! `mayfly bench --against-noop`: what a request costs the server, as a multiple of what the no-op
//! server pays for a post.
//!
//! Rounds alternate between the two, so that both see the same machine; the ratio is of their
//! processor time, which the load generator does not share.

use std::time::Duration;

use serde_json::{Value, json};

use super::load::Target;
use super::process::{Server, Setup};
use super::row::{Row, Runner};
use super::work::Scenario;
use crate::cli::scratch::Scratch;
use crate::cli::{Failure, terminal};

/// Load before the first round, which fills caches and pools; not measured.
const WARM_UP: Duration = Duration::from_secs(1);

/// What is measured: each scenario for `duration` in all, in so many rounds.
pub struct Paired<'a> {
    /// The servers.
    pub setup: &'a Setup,
    /// The load; its address is replaced by the servers'.
    pub load: &'a Target,
    /// The time-out of posted messages, in seconds.
    pub timeout_secs: u64,
    /// Rounds of each server.
    pub rounds: u32,
    /// Load on each server, over all rounds.
    pub duration: Duration,
}

/// The rounds of one scenario.
struct Comparison {
    scenario: Scenario,
    rounds: Vec<Round>,
}

struct Round {
    noop_us: f64,
    mayfly_us: f64,
    requests: u64,
    failures: u64,
}

impl Paired<'_> {
    /// Measures and prints; fails if an answer was not as expected, for such a ratio says nothing.
    ///
    /// # Errors
    /// A server that does not start, is silent, or answers otherwise than expected.
    pub async fn run(&self, scenarios: &[Scenario], as_json: bool) -> Result<(), Failure> {
        if cfg!(debug_assertions) {
            terminal::remark("this is a debug build: its ratios say little");
        }
        let mut comparisons = Vec::new();
        for scenario in scenarios {
            comparisons.push(self.compare(*scenario).await?);
        }
        if as_json {
            let values = comparisons.iter().map(|comparison| self.json(comparison));
            terminal::json(&Value::from_iter(values))?;
        } else {
            let head = [
                "SCENARIO",
                "DURABILITY",
                "WORKERS",
                "NO-OP us",
                "MAYFLY us",
                "RATIO",
                "ROUNDS",
            ];
            let rows: Vec<_> = comparisons
                .iter()
                .map(|comparison| self.cells(comparison))
                .collect();
            terminal::table(head, &rows)?;
        }
        let failures: u64 = comparisons.iter().map(Comparison::failures).sum();
        if failures > 0 {
            return Err(Failure::Failed(format!(
                "{failures} answers were not as expected; these ratios do not count"
            )));
        }
        Ok(())
    }

    async fn compare(&self, scenario: Scenario) -> Result<Comparison, Failure> {
        let scratch = Scratch::new(&self.setup.scratch, "bench")?;
        let noop = Server::noop(self.setup.workers).await?;
        let mayfly = Server::mayfly(&scratch, self.setup).await?;
        // The no-op has nothing to expire, so nothing is waited for after its rounds.
        let mut noop_runner = Runner::new(self.target_at(&noop), Some(&noop), 0);
        let mut runner = Runner::new(self.target_at(&mayfly), Some(&mayfly), self.timeout_secs);
        noop_runner.warm_up(WARM_UP).await?;
        runner.warm_up(WARM_UP).await?;
        let mut rounds = Vec::new();
        for _ in 0..self.rounds {
            let duration = self.duration / self.rounds;
            let noop_row = noop_runner.run(Scenario::Post, duration).await?;
            let row = runner.run(scenario, duration).await?;
            rounds.push(Round::of(&noop_row, &row));
        }
        Ok(Comparison { scenario, rounds })
    }

    fn target_at(&self, server: &Server) -> Target {
        Target {
            address: server.address,
            ..self.load.clone()
        }
    }

    fn cells(&self, comparison: &Comparison) -> [String; 7] {
        let rounds = comparison
            .rounds
            .iter()
            .map(|round| format!("{:.2}", round.ratio()));
        [
            String::from(comparison.scenario.name()),
            String::from(self.setup.durability),
            self.setup.workers.to_string(),
            format!("{:.2}", comparison.median(|round| round.noop_us)),
            format!("{:.2}", comparison.median(|round| round.mayfly_us)),
            format!("{:.2}", comparison.median(Round::ratio)),
            rounds.collect::<Vec<_>>().join(" "),
        ]
    }

    fn json(&self, comparison: &Comparison) -> Value {
        let rounds = comparison.rounds.iter().map(|round| {
            json!({
                "noop_us": round.noop_us,
                "mayfly_us": round.mayfly_us,
                "ratio": round.ratio(),
                "requests": round.requests,
                "not_as_expected": round.failures,
            })
        });
        json!({
            "scenario": comparison.scenario.name(),
            "durability": self.setup.durability,
            "workers": self.setup.workers,
            "ratio": comparison.median(Round::ratio),
            "rounds": Value::from_iter(rounds),
        })
    }
}

impl Comparison {
    /// The median of the rounds' values; of an even number the mean of the middle two.
    fn median(&self, value: impl Fn(&Round) -> f64) -> f64 {
        let mut values: Vec<f64> = self.rounds.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        let (below, above) = (values.len().saturating_sub(1) / 2, values.len() / 2);
        match (values.get(below), values.get(above)) {
            (Some(below), Some(above)) => f64::midpoint(*below, *above),
            _ => f64::NAN,
        }
    }

    fn failures(&self) -> u64 {
        self.rounds.iter().map(|round| round.failures).sum()
    }
}

impl Round {
    fn of(noop: &Row, mayfly: &Row) -> Round {
        Round {
            noop_us: noop.cpu_us(),
            mayfly_us: mayfly.cpu_us(),
            requests: mayfly.tally.answers(),
            failures: noop.tally.failures() + mayfly.tally.failures(),
        }
    }

    fn ratio(&self) -> f64 {
        self.mayfly_us / self.noop_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_of_a_comparison_is_the_median_of_its_rounds() {
        let round = |noop_us, mayfly_us| Round {
            noop_us,
            mayfly_us,
            requests: 1,
            failures: 1,
        };
        let mut comparison = Comparison {
            scenario: Scenario::Post,
            rounds: vec![round(2.0, 4.0), round(2.0, 20.0), round(2.0, 2.0)],
        };
        assert_eq!(comparison.median(Round::ratio), 2.0);
        assert_eq!(comparison.failures(), 3);
        comparison.rounds.push(round(1.0, 4.0));
        assert_eq!(comparison.median(Round::ratio), 3.0);
    }
}
