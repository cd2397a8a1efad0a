//! Commands that wait while their shard is handed over: nothing was done for them yet.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::call::Refusal;
use super::command::Command;
use crate::domain::username::ShardId;

/// Commands that may wait on one host; more are refused with 503.
const HELD_MAX: usize = 4_096;

/// The waiting commands in the order they came.
#[derive(Debug, Default)]
pub struct Held {
    commands: VecDeque<(Instant, Command)>,
}

impl Held {
    /// Keeps a command until its shard is somewhere.
    pub fn hold(&mut self, command: Command) {
        if self.commands.len() < HELD_MAX {
            self.commands.push_back((Instant::now(), command));
        } else {
            command.refuse(Refusal::Overloaded);
        }
    }

    /// The commands of one shard, in the order they came.
    pub fn release(&mut self, shard: ShardId) -> Vec<Command> {
        let (mut released, mut kept) = (Vec::new(), VecDeque::new());
        for (since, command) in self.commands.drain(..) {
            if command.shard() == shard {
                released.push(command);
            } else {
                kept.push_back((since, command));
            }
        }
        self.commands = kept;
        released
    }

    /// Refuses what has waited longer than `timeout`.
    pub fn give_up(&mut self, timeout: Duration) {
        while let Some((_, command)) = self
            .commands
            .pop_front_if(|(since, _)| since.elapsed() >= timeout)
        {
            command.refuse(Refusal::NotHere);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::domain::username::Username;

    fn count(
        name: &str,
    ) -> (
        Command,
        oneshot::Receiver<Result<super::super::call::Count, Refusal>>,
    ) {
        let (asker, answer) = oneshot::channel();
        let name = Username::from_stored(name);
        let hash = name.hash();
        (Command::Count(name, hash, asker), answer)
    }

    #[test]
    fn commands_of_a_shard_are_released_in_order_and_others_stay() {
        let mut held = Held::default();
        let (alice, bob) = (count("alice").0, count("bob").0);
        let shard = alice.shard();
        assert_ne!(shard, bob.shard(), "two shards");
        let (again, _) = count("alice");
        for command in [alice, bob, again] {
            held.hold(command);
        }
        assert_eq!(held.release(shard).len(), 2);
        assert_eq!(held.release(shard).len(), 0);
        assert_eq!(held.commands.len(), 1);
    }

    #[test]
    fn a_command_is_refused_when_too_many_wait_or_it_waited_too_long() {
        let mut held = Held::default();
        let mut answers: Vec<_> = (0..=HELD_MAX)
            .map(|_| {
                let (command, answer) = count("alice");
                held.hold(command);
                answer
            })
            .collect();
        let last = answers.last_mut().map(oneshot::Receiver::try_recv);
        assert_eq!(last, Some(Ok(Err(Refusal::Overloaded))));
        held.give_up(Duration::from_secs(60));
        assert!(answers[0].try_recv().is_err(), "it still waits");
        held.give_up(Duration::ZERO);
        assert_eq!(answers[0].try_recv(), Ok(Err(Refusal::NotHere)));
    }
}
