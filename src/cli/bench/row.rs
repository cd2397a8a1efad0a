//! One row of a measurement: what a scenario needs beforehand, its load, and what it costs.
//!
//! Preparation is neither timed nor metered. Metered is the processor time from the start of the
//! load until what it caused is over: expiry, archive and recycling of its messages.

use std::time::{Duration, Instant};

use super::load::{Target, drive};
use super::process::Server;
use super::tally::Tally;
use super::work::{BULK_MESSAGES, Scenario, Work};
use crate::cli::Failure;

/// Longer than any preparation: those end by their count.
const UNTIMED: Duration = Duration::from_secs(3_600);

/// The time-out of prepared messages: they must outlive their row.
const PREPARED_TIMEOUT_SECS: u64 = 3_600;

/// Mailboxes that are prepared at once to be read.
const MAILBOXES: u64 = 10_000;

/// Messages in each of them.
const MAILBOX_MESSAGES: u64 = 10;

/// Messages that are prepared to be looked up.
const LOOKUP_MESSAGES: u64 = 20_000;

/// By then what has ended is archived (2 s), with a second to spare.
const FLUSHED: Duration = Duration::from_secs(3);

/// A service to be loaded, again and again with new users.
pub struct Runner<'a> {
    target: Target,
    meter: Option<&'a Server>,
    timeout_secs: u64,
    next_user: u64,
}

/// What a row measured.
pub struct Row {
    /// Answers and their times.
    pub tally: Tally,
    /// Processor time of the server, zero without a meter.
    pub cpu: Duration,
    /// Messages of each request.
    pub messages: u64,
}

impl Row {
    /// Processor time of a request, or of each message of a bulk, in microseconds.
    pub fn cpu_us(&self) -> f64 {
        let messages = self.tally.answers().max(1) * self.messages;
        self.cpu.as_secs_f64() * 1e6 / messages as f64
    }
}

impl<'a> Runner<'a> {
    /// Loads `target`, and meters `meter` if it is the server behind it.
    pub fn new(target: Target, meter: Option<&'a Server>, timeout_secs: u64) -> Runner<'a> {
        Runner {
            target,
            meter,
            timeout_secs,
            next_user: 0,
        }
    }

    /// Runs a scenario for about `duration`.
    ///
    /// # Errors
    /// The service is away or silent, or cannot be prepared.
    pub async fn run(&mut self, scenario: Scenario, duration: Duration) -> Result<Row, Failure> {
        let name = scenario.name();
        let aftermath = Duration::from_secs(self.timeout_secs) + FLUSHED;
        match scenario {
            Scenario::Post => {
                let work = self.posts(u64::MAX, 1, self.timeout_secs, false);
                self.measure(work, duration, aftermath, name).await
            }
            Scenario::Bulk => {
                let work = Work::Bulk {
                    next: self.next_user,
                    timeout_secs: self.timeout_secs,
                };
                let target = self.target.for_bulks();
                let usual = std::mem::replace(&mut self.target, target);
                let row = self.measure(work, duration, aftermath, name).await;
                self.target = usual;
                row.map(|row| Row {
                    messages: BULK_MESSAGES,
                    ..row
                })
            }
            Scenario::Mixed => {
                let work = Work::Mixed {
                    next: self.next_user,
                    posted: vec![None; self.target.connections],
                    timeout_secs: self.timeout_secs,
                };
                self.measure(work, duration, aftermath, name).await
            }
            Scenario::ReadTen => self.read_ten(duration).await,
            Scenario::Lookup | Scenario::LookupArchived => {
                let ids = self.prepare_lookups(scenario).await?;
                let work = Work::Lookup { ids, next: 0 };
                self.measure(work, duration, Duration::ZERO, name).await
            }
        }
    }

    /// Posts for `duration` without measuring, and lets the messages expire.
    ///
    /// # Errors
    /// The service is away, silent or refuses.
    pub async fn warm_up(&mut self, duration: Duration) -> Result<(), Failure> {
        let posts = self.posts(u64::MAX, 1, 1, false);
        let aftermath = Duration::from_secs(1) + FLUSHED;
        self.measure(posts, duration, aftermath, "warm-up").await?;
        Ok(())
    }

    /// Posts one message each to `users` new users, and returns how that went.
    ///
    /// # Errors
    /// The service is away, silent or refuses.
    pub async fn fill(&mut self, users: u64) -> Result<Tally, Failure> {
        let work = self.posts(users, 1, PREPARED_TIMEOUT_SECS, false);
        Ok(self.prepare(work, "fill").await?.0)
    }

    /// Fills mailboxes and reads them, again until the time is over; only the reads are measured.
    async fn read_ten(&mut self, duration: Duration) -> Result<Row, Failure> {
        let deadline = Instant::now() + duration;
        let mut total = Row {
            tally: Tally::new(),
            cpu: Duration::ZERO,
            messages: 1,
        };
        while total.tally.answers() == 0 || Instant::now() < deadline {
            let reads = self.prepare_mailboxes(MAILBOXES, MAILBOX_MESSAGES).await?;
            let row = self.measure(reads, UNTIMED, FLUSHED, "read-ten").await?;
            total.tally.add(&row.tally);
            total.cpu += row.cpu;
        }
        Ok(total)
    }

    async fn prepare_mailboxes(&mut self, users: u64, each: u64) -> Result<Work, Failure> {
        let first = self.next_user;
        let posts = self.posts(users, each, PREPARED_TIMEOUT_SECS, false);
        self.prepare(posts, "prepare").await?;
        Ok(Work::Read {
            next: first,
            end: first + users,
            messages: usize::try_from(each).unwrap_or(usize::MAX),
        })
    }

    async fn prepare_lookups(&mut self, scenario: Scenario) -> Result<Vec<String>, Failure> {
        let first = self.next_user;
        let posts = self.posts(LOOKUP_MESSAGES, 1, PREPARED_TIMEOUT_SECS, true);
        let (_, posted) = self.prepare(posts, "prepare").await?;
        let Work::Post { ids: Some(ids), .. } = posted else {
            return Err(Failure::Failed(String::from("the preparation kept no ids")));
        };
        if scenario == Scenario::LookupArchived {
            let reads = Work::Read {
                next: first,
                end: first + LOOKUP_MESSAGES,
                messages: 1,
            };
            self.prepare(reads, "prepare").await?;
            tokio::time::sleep(FLUSHED).await;
        }
        Ok(ids)
    }

    fn posts(&mut self, users: u64, each: u64, timeout_secs: u64, keeps_ids: bool) -> Work {
        let first = self.next_user;
        self.next_user = first.saturating_add(users);
        Work::Post {
            next: first * each,
            end: first.saturating_add(users).saturating_mul(each),
            each,
            timeout_secs,
            ids: keeps_ids.then(Vec::new),
        }
    }

    async fn prepare(&self, work: Work, name: &str) -> Result<(Tally, Work), Failure> {
        let (tally, work) = drive(&self.target, work, UNTIMED, name).await?;
        if tally.failures() > 0 {
            return Err(Failure::Failed(format!(
                "the preparation failed: {} of {} answers were not as expected, by status {:?}",
                tally.failures(),
                tally.answers(),
                tally.statuses
            )));
        }
        Ok((tally, work))
    }

    async fn measure(
        &mut self,
        work: Work,
        longest: Duration,
        aftermath: Duration,
        name: &str,
    ) -> Result<Row, Failure> {
        let before = self.meter.map(Server::cpu).transpose()?;
        let (tally, work) = drive(&self.target, work, longest, name).await?;
        if let Work::Post { next, .. } | Work::Bulk { next, .. } | Work::Mixed { next, .. } = work {
            self.next_user = next;
        }
        let Some((meter, before)) = self.meter.zip(before) else {
            return Ok(Row {
                tally,
                cpu: Duration::ZERO,
                messages: 1,
            });
        };
        tokio::time::sleep(aftermath).await;
        Ok(Row {
            tally,
            cpu: meter.cpu()?.since(before),
            messages: 1,
        })
    }
}
