//! What a load measured: answers by status, wrong answers, and how long each took.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// From 1 µs to 60 s, with three digits kept.
const NANOS_MIN: u64 = 1_000;
const NANOS_MAX: u64 = 60_000_000_000;

/// The counts and times of one load.
pub struct Tally {
    latencies: Histogram<u64>,
    /// Answers by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Answers other than the expected one.
    pub wrong: u64,
    /// Connections that ended before an answer.
    pub lost: u64,
    /// How long the load took.
    pub took: Duration,
}

impl Tally {
    /// Of a load that has done nothing yet.
    pub fn new() -> Tally {
        let latencies = Histogram::new_with_bounds(NANOS_MIN, NANOS_MAX, 3);
        Tally {
            latencies: latencies.expect("the bounds of the histogram are constants that it takes"),
            statuses: BTreeMap::new(),
            wrong: 0,
            lost: 0,
            took: Duration::ZERO,
        }
    }

    /// Counts an answer.
    pub fn record(&mut self, status: u16, right: bool, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.latencies.saturating_record(nanos);
        *self.statuses.entry(status).or_default() += 1;
        self.wrong += u64::from(!right);
    }

    /// Answers so far.
    pub fn answers(&self) -> u64 {
        self.latencies.len()
    }

    /// Answers that were not as expected, and none at all.
    pub fn failures(&self) -> u64 {
        self.wrong + self.lost
    }

    /// Answers in a second.
    pub fn per_second(&self) -> f64 {
        self.answers() as f64 / self.took.as_secs_f64().max(f64::EPSILON)
    }

    /// Adds what another load measured after this one.
    pub fn add(&mut self, later: &Tally) {
        // Both have the same bounds, so adding cannot fail.
        let _ = self.latencies.add(&later.latencies);
        for (status, count) in &later.statuses {
            *self.statuses.entry(*status).or_default() += count;
        }
        self.wrong += later.wrong;
        self.lost += later.lost;
        self.took += later.took;
    }

    /// Name and value of each measure, for people.
    pub fn rows(&self) -> Vec<[String; 2]> {
        let mut rows = vec![
            [String::from("requests"), self.answers().to_string()],
            [
                String::from("per second"),
                format!("{:.0}", self.per_second()),
            ],
        ];
        for (name, nanos) in self.percentiles() {
            rows.push([String::from(name), show_nanos(nanos)]);
        }
        for (status, count) in &self.statuses {
            rows.push([format!("status {status}"), count.to_string()]);
        }
        rows.push([String::from("not as expected"), self.wrong.to_string()]);
        rows.push([String::from("lost connections"), self.lost.to_string()]);
        rows
    }

    /// The same for machines; times in microseconds.
    pub fn json(&self) -> Value {
        let micros = self
            .percentiles()
            .map(|(name, nanos)| (String::from(name), Value::from(nanos as f64 / 1_000.0)));
        let statuses = self.statuses.iter();
        let statuses = statuses.map(|(status, count)| (status.to_string(), Value::from(*count)));
        json!({
            "requests": self.answers(),
            "per_second": self.per_second(),
            "seconds": self.took.as_secs_f64(),
            "latency_us": Value::Object(micros.into_iter().collect()),
            "statuses": Value::Object(statuses.collect()),
            "not_as_expected": self.wrong,
            "lost_connections": self.lost,
        })
    }

    fn percentiles(&self) -> [(&'static str, u64); 5] {
        let at = |quantile| self.latencies.value_at_quantile(quantile);
        [
            ("p50", at(0.5)),
            ("p90", at(0.9)),
            ("p99", at(0.99)),
            ("p99.9", at(0.999)),
            ("max", self.latencies.max()),
        ]
    }
}

fn show_nanos(nanos: u64) -> String {
    match nanos {
        0..1_000_000 => format!("{:.1} us", nanos as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.2} ms", nanos as f64 / 1e6),
        _ => format!("{:.2} s", nanos as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_counts_answers_failures_and_percentiles() {
        let mut tally = Tally::new();
        for ms in 1..=100 {
            tally.record(200, ms != 7, Duration::from_millis(ms));
        }
        let mut later = Tally::new();
        later.record(503, false, Duration::from_secs(2));
        later.lost = 1;
        later.took = Duration::from_secs(2);
        tally.add(&later);
        assert_eq!((tally.answers(), tally.failures()), (101, 3));
        assert_eq!(tally.statuses, BTreeMap::from([(200, 100), (503, 1)]));
        let p50 = tally.percentiles()[0].1;
        assert!((50_000_000..52_000_000).contains(&p50), "{p50}");
        assert_eq!(tally.json()["per_second"], 50.5);
    }

    #[test]
    fn times_are_shown_in_the_unit_that_fits() {
        for (nanos, shown) in [
            (900, "0.9 us"),
            (999_900, "999.9 us"),
            (1_500_000, "1.50 ms"),
            (2_000_000_000, "2.00 s"),
        ] {
            assert_eq!(show_nanos(nanos), shown);
        }
    }
}
