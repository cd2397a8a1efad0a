//! The actor that keeps the shards of one HTTP worker: it does what nobody asks for. One timer for all
//! of them expires what is due; what the committer, the archiver and whoever moves shards have to tell comes
//! here.

use std::mem::take;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;

use super::commit::Committed;
use super::flush::Archived;
use super::host::{Gate, SharedHost};
use super::host_upkeep::{UPKEEP_INTERVAL, UPKEEP_PARTS};
use super::moves::Move;
use super::usage::Usage;
use super::value::Shard;
use crate::metrics::Metrics;
use crate::store::journal::Journal;

/// Messages that one timer turn expires before it lets others through.
const EXPIRED_PER_TURN_MAX: u64 = 1024;

/// How soon after a turn the timer rings again where shards have journals of their own: each turn writes that time
/// has passed into that of each shard in which something expired, and the store pays for a row as for one of posts.
/// Until then nothing that is due is delivered, for every command looks for itself; only metrics still count it as unread.
const EXPIRY_PAUSE: Duration = Duration::from_millis(250);

/// The actor of one host.
#[derive(Debug)]
pub struct Keeper<J: Journal> {
    host: Arc<SharedHost<J>>,
    usage: Arc<Usage>,
    metrics: Arc<Metrics>,
    timer: Option<SpawnHandle>,
    /// The timer does not ring before.
    rests_until: Instant,
    upkeep_part: usize,
}

/// The host's timer should ring earlier.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Rearm;

impl<J: Journal> Keeper<J> {
    /// Starts the keeper of this host on this thread. The host decides nothing any more when it ends.
    pub fn start_here(host: Arc<SharedHost<J>>) -> Addr<Keeper<J>> {
        let keeper = {
            let entered = host.enter();
            Keeper {
                usage: entered.seat.usage.clone(),
                metrics: entered.seat.metrics.clone(),
                host: host.clone(),
                timer: None,
                rests_until: Instant::now(),
                upkeep_part: 0,
            }
        };
        let keeper = keeper.start();
        // At once: the host may be entered before the actor has its first turn.
        let mut entered = host.enter();
        entered.seat.staging.listen(keeper.clone().recipient());
        entered.keeper = Some(keeper.clone().recipient());
        drop(entered);
        keeper
    }

    /// One turn of the timer: expires what is due, then arms the timer again.
    fn expire_due(&mut self, ctx: &mut Context<Self>) {
        let mut left = EXPIRED_PER_TURN_MAX;
        // Shards come and go by this actor alone, so the places stay; commands go between.
        let shards = self.host.enter().shards.len();
        for place in 0..shards {
            if left > 0 {
                left = left.saturating_sub(self.host.enter().expire_due(place, left));
            }
        }
        {
            let mut host = self.host.enter();
            host.arm_again();
            // What was left for others' sake is gone on with at once.
            if left > 0 && host.seat.gate == Gate::Fence {
                self.rests_until = Instant::now() + EXPIRY_PAUSE;
            }
        }
        self.arm(ctx);
    }

    fn arm(&mut self, ctx: &mut Context<Self>) {
        if let Some(timer) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        let rest = self.rests_until.saturating_duration_since(Instant::now());
        let wait = self.host.enter().wait_armed();
        self.timer = wait.map(|wait| ctx.run_later(wait.max(rest), Self::timer_rang));
    }

    fn timer_rang(&mut self, ctx: &mut Context<Self>) {
        self.timer = None;
        self.expire_due(ctx);
    }

    /// Takes shards that are gone from the totals, and drops them: outside of the host, for it visits every
    /// message.
    fn retire(&self, gone: Vec<Shard>) {
        for shard in gone {
            let unread = shard.retire(&self.usage);
            self.metrics.unread.sub(unread as i64);
        }
    }

    /// Looks after one part of the shards.
    pub(super) fn look_after(&mut self, ctx: &mut Context<Self>) {
        let part = self.upkeep_part;
        self.upkeep_part = (part + 1) % UPKEEP_PARTS;
        let bases = self.host.look_after(part, &ctx.address().recipient());
        let journal = self.host.enter().seat.journal.clone();
        let trim = async move {
            for (shard, base) in bases {
                if let Err(error) = journal.trim(shard, base).await {
                    tracing::warn!(%error, "cannot let go of old journal segments; it is tried again in a second");
                }
            }
        };
        ctx.spawn(trim.into_actor(self));
    }
}

impl<J: Journal> Drop for Keeper<J> {
    fn drop(&mut self) {
        self.host.enter().close();
    }
}

impl<J: Journal> Actor for Keeper<J> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.run_interval(UPKEEP_INTERVAL, Self::look_after);
        self.expire_due(ctx);
    }
}

impl<J: Journal> Handler<Rearm> for Keeper<J> {
    type Result = ();

    fn handle(&mut self, _: Rearm, ctx: &mut Context<Self>) {
        self.arm(ctx);
    }
}

impl<J: Journal> Handler<Committed> for Keeper<J> {
    type Result = ();

    fn handle(&mut self, committed: Committed, _: &mut Context<Self>) {
        let (mut replies, gone) = {
            let mut host = self.host.enter();
            (host.committed(committed), take(&mut host.gone))
        };
        // Outside: an asker on another thread is woken by a call of the system.
        replies.drain(..).for_each(|(_, reply)| reply.send());
        self.host.enter().pending.reuse(replies);
        self.retire(gone);
    }
}

impl<J: Journal> Handler<Archived> for Keeper<J> {
    type Result = ();

    fn handle(&mut self, Archived(parts): Archived, _: &mut Context<Self>) {
        for (shard, stay) in parts {
            self.host.enter().archived(shard, stay);
        }
    }
}

impl<J: Journal> Handler<Move> for Keeper<J> {
    type Result = ();

    fn handle(&mut self, change: Move, _: &mut Context<Self>) {
        let gone = {
            let mut host = self.host.enter();
            host.change(change);
            take(&mut host.gone)
        };
        self.retire(gone);
    }
}

#[cfg(test)]
#[path = "keeper_tests.rs"]
mod tests;
