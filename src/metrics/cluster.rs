//! The metrics of a node of a cluster. On one machine they stay at zero.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntGauge, Registry};

use super::registered;

/// Upper bounds of the buckets of freezes, in seconds.
const FREEZE_BUCKETS_SECONDS: [f64; 9] = [0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

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
    /// Shards handed over by this node.
    pub handed_over: IntCounter,
    /// Hand-overs that failed; the shard was taken back or lost.
    pub failed_moves: IntCounter,
    /// How long a shard of this node was frozen for a hand-over.
    pub freeze: Histogram,
    /// Claims won.
    pub claims: IntCounter,
    /// Claims and recoveries that failed; each is tried again.
    pub claim_errors: IntCounter,
    /// Shards that this node lost to another one.
    pub lost: IntCounter,
    /// Calls forwarded to peers.
    pub forwarded: IntCounter,
    /// Forwarded calls whose shard was not where it was asked for.
    pub not_owner: IntCounter,
    /// Calls of peers answered here.
    pub served: IntCounter,
    /// Failed calls of the registry.
    pub registry_errors: IntCounter,
    /// How far this node's clock is from the median of the others, in seconds.
    pub clock_skew: prometheus::Gauge,
    /// Shards that two members said they serve under one epoch.
    pub two_owners: IntCounter,
}

impl ClusterMetrics {
    pub(super) fn new(registry: &Registry) -> ClusterMetrics {
        let counter = |name, help| registered(registry, IntCounter::new(name, help));
        let gauge = |name, help| registered(registry, IntGauge::new(name, help));
        let freeze = HistogramOpts::new(
            "mayfly_cluster_freeze_duration_seconds",
            "How long a shard was frozen for its hand-over.",
        );
        let skew = prometheus::Gauge::new(
            "mayfly_cluster_clock_skew_seconds",
            "How far the clocks of the others are ahead of this node's, by their median.",
        );
        ClusterMetrics {
            members: gauge(
                "mayfly_cluster_members",
                "Live members in this node's view.",
            ),
            suspects: gauge(
                "mayfly_cluster_suspected_members",
                "Members of the view that this node takes for dead.",
            ),
            owned: gauge(
                "mayfly_cluster_owned_shards",
                "Shards that this node serves.",
            ),
            unowned: gauge(
                "mayfly_cluster_unowned_shards",
                "Shards that no live member owns, as this node sees it.",
            ),
            handed_over: counter(
                "mayfly_cluster_moves_total",
                "Shards that this node handed over to another.",
            ),
            failed_moves: counter(
                "mayfly_cluster_failed_moves_total",
                "Hand-overs that failed: the shard was taken back, or another claimed it.",
            ),
            freeze: registered(
                registry,
                Histogram::with_opts(freeze.buckets(FREEZE_BUCKETS_SECONDS.to_vec())),
            ),
            claims: counter("mayfly_cluster_claims_total", "Claims of shards won."),
            claim_errors: counter(
                "mayfly_cluster_claim_errors_total",
                "Claims and recoveries of shards that failed; each is tried again.",
            ),
            lost: counter(
                "mayfly_cluster_lost_shards_total",
                "Shards that another node claimed while this one served them.",
            ),
            forwarded: counter(
                "mayfly_cluster_forwarded_calls_total",
                "Calls sent to the peer that owns their shard, each attempt.",
            ),
            not_owner: counter(
                "mayfly_cluster_not_owner_calls_total",
                "Forwarded calls whose shard was no more where they were sent.",
            ),
            served: counter(
                "mayfly_cluster_served_calls_total",
                "Calls of peers that this node answered.",
            ),
            registry_errors: counter(
                "mayfly_cluster_registry_errors_total",
                "Calls of Redis that failed.",
            ),
            clock_skew: registered(registry, skew),
            two_owners: counter(
                "mayfly_cluster_owner_violations_total",
                "Shards that two members said they serve under one epoch; must stay 0.",
            ),
        }
    }
}
