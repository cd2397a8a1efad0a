//! Which members to reckon with: what the registry says, read with caution.
//!
//! A registry that was away, or lost its data, has lost leases of members that live; until these have
//! had time to register again nobody is taken for gone. Pure: readings and the time come in, the
//! view comes out. Who of the view does not answer is for `failure` to say.

use std::time::Duration;

use crate::member::{Generation, Member, State, View};
use crate::registry::{Origin, Reading};

/// For how long the serving members must be the same before anything that nobody owns is claimed.
pub const STABLE_FOR: Duration = Duration::from_secs(2);

/// The members as one node sees them. Times are those of one monotonic clock.
#[derive(Clone, Debug)]
pub struct Membership {
    lease: Duration,
    expect_members: Option<usize>,
    view: View,
    last: Option<Heard>,
    /// Until then members that the registry does not name stay in the view.
    hold_until: Duration,
    /// Since when the same members serve.
    serving_since: Duration,
}

/// When the registry answered last, and which one it was.
#[derive(Clone, Debug)]
struct Heard {
    at: Duration,
    origin: Origin,
    number: u64,
}

/// Why members that the registry does not name stay in the view for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// It is another process, or has lost its data.
    AnotherOrigin,
    /// It has forgotten changes.
    WentBackwards,
    /// It had not answered for so long that members could not renew their leases in time.
    WasAway,
}

impl Membership {
    /// Nobody is known yet. `expect_members` that serve are enough to begin with at once.
    pub fn new(lease: Duration, expect_members: Option<usize>) -> Membership {
        Membership {
            lease,
            expect_members,
            view: View::default(),
            last: None,
            hold_until: Duration::ZERO,
            serving_since: Duration::ZERO,
        }
    }

    /// The registry answered. Tells why evictions are suspended for one lease from now, if they are.
    pub fn heard(&mut self, reading: Reading, now: Duration) -> Option<Hold> {
        let hold = self.distrust(&reading, now);
        if hold.is_some() {
            self.hold_until = now + self.lease;
        }
        self.last = Some(Heard {
            at: now,
            origin: reading.origin,
            number: reading.view.number,
        });
        let view = if now < self.hold_until {
            self.with_the_missing(reading.view)
        } else {
            reading.view
        };
        if !serving(&self.view).eq(serving(&view)) {
            self.serving_since = now;
        }
        self.view = view;
        hold
    }

    /// The members to reckon with: those of the last answer, and those held.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// Whether what nobody owns may be claimed: the same members have been seen to serve for
    /// [`STABLE_FOR`], or as many serve as are expected.
    pub fn is_stable(&self) -> bool {
        let Some(last) = &self.last else { return false };
        let is_complete = |expected| serving(&self.view).count() >= expected;
        last.at >= self.serving_since + STABLE_FOR || self.expect_members.is_some_and(is_complete)
    }

    /// Whether the view is only what was heard last: the registry has not answered for a lease, or
    /// never did.
    pub fn is_frozen(&self, now: Duration) -> bool {
        self.last
            .as_ref()
            .is_none_or(|last| now >= last.at + self.lease)
    }

    /// Whether members that the registry does not name are kept.
    pub fn is_holding(&self, now: Duration) -> bool {
        now < self.hold_until
    }

    fn distrust(&self, reading: &Reading, now: Duration) -> Option<Hold> {
        let last = self.last.as_ref()?;
        // Who renewed just before the silence needs the rest of its lease to come back.
        let silence_max = self.lease / 2;
        if reading.origin != last.origin {
            Some(Hold::AnotherOrigin)
        } else if reading.view.number < last.number {
            Some(Hold::WentBackwards)
        } else if now >= last.at + silence_max {
            Some(Hold::WasAway)
        } else {
            None
        }
    }

    /// The view with those of the last one who are missing in it, but for whom another start of the
    /// node has replaced.
    fn with_the_missing(&self, view: View) -> View {
        let is_replaced = |member: &Member| {
            let mut members = view.members().iter();
            members.any(|other| other.address == member.address)
        };
        let missing = self.view.members().iter().filter(|m| !is_replaced(m));
        let members = view.members().iter().chain(missing);
        View::new(view.number, members.cloned().collect())
    }
}

fn serving(view: &View) -> impl Iterator<Item = Generation> {
    let serving = view.members().iter().filter(|m| m.state == State::Serving);
    serving.map(|member| member.generation)
}

#[cfg(test)]
#[path = "membership_tests.rs"]
mod tests;
