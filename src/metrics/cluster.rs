//! The metrics of a node of a cluster. On one machine they stay at zero.

use cluster::peer::counters::{ClientCounters, ServerCounters};
use prometheus::{
    Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
};

use super::registered;

/// Upper bounds of the buckets of freezes and of waits for stores, in seconds.
const BUCKETS_SECONDS: [f64; 12] = [
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
];

/// Handles of the metrics of a node.
#[derive(Debug)]
pub struct ClusterMetrics {
    /// Members alive, as this node sees them.
    pub members: IntGauge,
    /// Members that this node takes for dead.
    pub suspects: IntGauge,
    /// Shards that this node serves.
    pub owned: IntGauge,
    /// Shards without a known owner.
    pub unowned: IntGauge,
    /// Requests that no node could be found for.
    pub not_served: IntCounter,
    /// 1 while ScyllaDB does not answer this node.
    pub store_away: IntGauge,
    /// 1 while Redis has not told this node of members for a lease.
    pub view_frozen: IntGauge,
    /// What happens on the connections between nodes, by kind.
    peer_events: IntCounterVec,
    /// How far this node's clock is from the median of the others, in seconds.
    pub clock_skew: Gauge,
    /// Shards that two members said they serve under one epoch.
    pub two_owners: IntCounter,
    /// Journals that were sealed before a frame whose answer had left.
    pub short_seals: IntCounter,
    /// Shards that come and go.
    pub moves: MoveMetrics,
    /// Calls between nodes.
    pub calls: CallMetrics,
    /// Redis and ScyllaDB, as this node meets them.
    pub stores: StoreMetrics,
}

/// Shards that come and go.
#[derive(Debug)]
pub struct MoveMetrics {
    /// Shards handed over by this node.
    pub handed_over: IntCounter,
    /// Hand-overs that failed; the shard was taken back or lost.
    pub failed: IntCounter,
    /// How long a shard of this node was frozen for a hand-over.
    pub freeze: Histogram,
    /// Claims won.
    pub claims: IntCounter,
    /// Claims and recoveries that failed; each is tried again.
    pub claim_errors: IntCounter,
    /// Shards that this node lost to another one.
    pub lost: IntCounter,
    /// Shards that this node let go of, for the store did not take their journals.
    pub given_up: IntCounter,
    /// Claims that found a journal damaged.
    pub damaged: IntCounter,
}

/// Calls between nodes.
#[derive(Debug)]
pub struct CallMetrics {
    /// Calls forwarded to peers.
    pub forwarded: IntCounter,
    /// Forwarded calls whose shard was not where it was asked for.
    pub not_owner: IntCounter,
    /// Calls of peers answered here.
    pub served: IntCounter,
}

/// Redis and ScyllaDB, as this node meets them.
#[derive(Clone, Debug)]
pub struct StoreMetrics {
    /// How long calls of Redis took.
    pub redis: Histogram,
    /// Failed calls of Redis.
    pub redis_errors: IntCounter,
    /// How long calls of ScyllaDB took.
    pub scylla: Histogram,
    /// Calls of ScyllaDB without an answer, or refused.
    pub scylla_errors: IntCounter,
    /// How long answers waited for the gate after their frames were durable.
    pub gate: Histogram,
}

impl ClusterMetrics {
    pub(super) fn new(registry: &Registry) -> ClusterMetrics {
        let make = Make(registry);
        let skew = Gauge::new(
            "mayfly_cluster_clock_skew_seconds",
            "How far the clocks of the others are ahead of this node's, by their median.",
        );
        let peer_events = IntCounterVec::new(
            Opts::new(
                named("peer_events_total"),
                "What happened on the connections between nodes, by event: connected, connect_failed, disconnected, too_much_under_way and outcome_unknown where this node calls; refused, stranger, turned_away, garbage, too_many_calls and slow where it is called.",
            ),
            &["event"],
        );
        ClusterMetrics {
            members: make.gauge("members", "Live members in this node's view."),
            suspects: make.gauge(
                "suspected_members",
                "Members of the view that this node takes for dead.",
            ),
            owned: make.gauge("owned_shards", "Shards that this node serves."),
            unowned: make.gauge(
                "unowned_shards",
                "Shards that no live member owns, as this node sees it.",
            ),
            not_served: make.counter(
                "not_served_requests_total",
                "Requests refused with 503 because no node served their shard in time.",
            ),
            store_away: make.gauge(
                "away_stores",
                "1 while ScyllaDB does not answer this node, else 0.",
            ),
            view_frozen: make.gauge(
                "frozen_views",
                "1 while this node has not heard of the members by Redis for a lease, else 0.",
            ),
            peer_events: registered(registry, peer_events),
            clock_skew: registered(registry, skew),
            two_owners: make.counter(
                "owner_violations_total",
                "Shards that two members said they serve under one epoch; must stay 0.",
            ),
            short_seals: make.counter(
                "seal_violations_total",
                "Shards lost whose journal was sealed before a frame whose answer had left; must stay 0.",
            ),
            moves: MoveMetrics::new(&make),
            calls: CallMetrics::new(&make),
            stores: StoreMetrics::new(&make),
        }
    }

    /// Brings what happened on the connections up to date, from their own totals.
    pub fn note_peers(&self, client: &ClientCounters, server: &ServerCounters) {
        for (event, total) in [
            ("connected", client.connected.get()),
            ("connect_failed", client.failed.get()),
            ("disconnected", client.resets.get()),
            ("too_much_under_way", client.full.get()),
            ("outcome_unknown", client.unknown.get()),
            ("refused", server.refused.get()),
            ("stranger", server.strangers.get()),
            ("turned_away", server.turned_away.get()),
            ("garbage", server.garbage.get()),
            ("too_many_calls", server.too_many_calls.get()),
            ("slow", server.slow.get()),
        ] {
            let counter = self.peer_events.with_label_values(&[event]);
            counter.inc_by(total.saturating_sub(counter.get()));
        }
    }
}

impl MoveMetrics {
    fn new(make: &Make<'_>) -> MoveMetrics {
        MoveMetrics {
            handed_over: make.counter(
                "moves_total",
                "Shards that this node handed over to another.",
            ),
            failed: make.counter(
                "failed_moves_total",
                "Hand-overs that failed: the shard was taken back, or another claimed it.",
            ),
            freeze: make.histogram(
                "freeze_duration_seconds",
                "How long a shard was frozen for its hand-over.",
            ),
            claims: make.counter("claims_total", "Claims of shards won."),
            claim_errors: make.counter(
                "claim_errors_total",
                "Claims and recoveries of shards that failed; each is tried again.",
            ),
            lost: make.counter(
                "lost_shards_total",
                "Shards that another node claimed while this one served them.",
            ),
            given_up: make.counter(
                "given_up_shards_total",
                "Shards that this node let go of because ScyllaDB took nothing of their journals; they are claimed again.",
            ),
            damaged: make.counter(
                "damaged_claims_total",
                "Claims that found a journal damaged: the shard stays without an owner; must stay 0.",
            ),
        }
    }
}

impl CallMetrics {
    fn new(make: &Make<'_>) -> CallMetrics {
        CallMetrics {
            forwarded: make.counter(
                "forwarded_calls_total",
                "Calls sent to the peer that owns their shard, each attempt.",
            ),
            not_owner: make.counter(
                "not_owner_calls_total",
                "Forwarded calls whose shard had moved on.",
            ),
            served: make.counter(
                "served_calls_total",
                "Calls of peers that this node answered.",
            ),
        }
    }
}

impl StoreMetrics {
    fn new(make: &Make<'_>) -> StoreMetrics {
        StoreMetrics {
            redis: make.histogram("redis_duration_seconds", "How long calls of Redis took."),
            redis_errors: make.counter("redis_errors_total", "Calls of Redis that failed."),
            scylla: make.histogram(
                "scylla_duration_seconds",
                "How long calls of ScyllaDB took, with an answer or without.",
            ),
            scylla_errors: make.counter(
                "scylla_errors_total",
                "Calls of ScyllaDB without an answer, or refused.",
            ),
            gate: make.histogram(
                "gate_wait_seconds",
                "How long groups waited for the gate once they were durable.",
            ),
        }
    }
}

/// Makes metrics by the part of their name after `mayfly_cluster_`.
struct Make<'a>(&'a Registry);

impl Make<'_> {
    fn counter(&self, name: &str, help: &str) -> IntCounter {
        registered(self.0, IntCounter::new(named(name), help))
    }

    fn gauge(&self, name: &str, help: &str) -> IntGauge {
        registered(self.0, IntGauge::new(named(name), help))
    }

    fn histogram(&self, name: &str, help: &str) -> Histogram {
        let options = HistogramOpts::new(named(name), help).buckets(BUCKETS_SECONDS.to_vec());
        registered(self.0, Histogram::with_opts(options))
    }
}

fn named(name: &str) -> String {
    format!("mayfly_cluster_{name}")
}
