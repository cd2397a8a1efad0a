//! How long to wait before the next attempt to connect: pure.

use std::time::Duration;

/// The waits of one connection, each at most twice as long as the one before.
#[derive(Debug)]
pub(super) struct Backoff {
    first: Duration,
    last: Duration,
    next: Duration,
}

impl Backoff {
    pub(super) fn new(first: Duration, last: Duration) -> Backoff {
        Backoff {
            first,
            last,
            next: first,
        }
    }

    /// The next wait: from half of its length to all of it, by a random number from 0 to 1, so that
    /// the nodes that lost a peer together do not come back together.
    pub(super) fn wait(&mut self, random: f64) -> Duration {
        let wait = self.next.mul_f64(0.5 + random / 2.0);
        self.next = (self.next * 2).min(self.last);
        wait
    }

    /// There was a connection: begin anew.
    pub(super) fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_last_and_begin_anew_after_a_connection() {
        let ms = Duration::from_millis;
        let mut backoff = Backoff::new(ms(50), ms(300));

        let waits: Vec<_> = (0..5).map(|_| backoff.wait(1.0)).collect();
        assert_eq!(waits, [ms(50), ms(100), ms(200), ms(300), ms(300)]);
        assert_eq!(backoff.wait(0.0), ms(150));
        backoff.reset();
        assert_eq!(backoff.wait(0.0), ms(25));
    }
}
