//! Every metric of the service: name, help, labels. The reference in `docs/METRICS.md` is generated
//! from here, and a test holds the two together.
//!
//! Counters count messages, not calls, when their event is committed (with
//! `--durability memory`, when it is decided), and never at a replay. Labels
//! come from closed sets: never a username, an id or a key.

mod cluster;

pub use cluster::{ClusterMetrics, StoreMetrics};
use prometheus::core::Collector;
use prometheus::{
    Encoder, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    Opts, Registry, TextEncoder,
};

/// Upper bounds of the buckets of request durations, in seconds.
const DURATION_BUCKETS_SECONDS: [f64; 12] = [
    0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0,
];

/// What metrics count or measure: each has one of these words in its name.
const UNITS: [&str; 17] = [
    "seconds",
    "bytes",
    "messages",
    "requests",
    "keys",
    "errors",
    "tails",
    "steps",
    "members",
    "shards",
    "moves",
    "claims",
    "calls",
    "violations",
    "events",
    "stores",
    "views",
];

/// Handles of all metrics, resolved once.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Messages accepted.
    pub posted: IntCounter,
    /// Messages delivered by a read.
    pub delivered: IntCounter,
    /// Messages whose deadline passed unread.
    pub expired: IntCounter,
    /// Messages written to the archive.
    pub archived: IntCounter,
    /// Messages that wait in mailboxes.
    pub unread: IntGauge,
    /// Failed writes to the archive.
    pub archive_errors: IntCounter,
    /// Torn journal tails that were cut at the start.
    pub torn_tails: IntCounter,
    /// Bytes of messages and keys in memory, as accounted.
    pub memory_bytes: IntGauge,
    /// Idempotency keys in memory.
    pub keys: IntGauge,
    /// Requests that were refused because too many waited.
    pub shed: IntCounter,
    /// Steps of the wall clock over 5 seconds.
    pub clock_steps: IntCounter,
    /// How long the last recovery took.
    pub recovery_seconds: Gauge,
    /// What concerns a node of a cluster.
    pub cluster: ClusterMetrics,
    http: HistogramVec,
    bulk_problems: IntCounterVec,
}

impl Metrics {
    /// All metrics at zero.
    pub fn new() -> Metrics {
        let registry = Registry::new();
        let counter = |name, help| registered(&registry, IntCounter::new(name, help));
        let gauge = |name, help| registered(&registry, IntGauge::new(name, help));
        Metrics {
            posted: counter("mayfly_messages_posted_total", "Messages accepted."),
            delivered: counter(
                "mayfly_messages_delivered_total",
                "Messages delivered by a read.",
            ),
            expired: counter(
                "mayfly_messages_expired_total",
                "Messages whose deadline passed unread.",
            ),
            archived: counter(
                "mayfly_messages_archived_total",
                "Messages written to the archive; a batch that is repeated after a crash counts again.",
            ),
            unread: gauge("mayfly_messages_unread", "Messages that wait in mailboxes."),
            archive_errors: counter(
                "mayfly_archive_errors_total",
                "Failed writes to the archive; each is repeated.",
            ),
            torn_tails: counter(
                "mayfly_journal_torn_tails_total",
                "Torn journal tails that were cut at the start.",
            ),
            memory_bytes: gauge(
                "mayfly_memory_used_bytes",
                "Memory of messages and keys, as counted against --memory-limit.",
            ),
            keys: gauge(
                "mayfly_idempotency_keys",
                "Idempotency keys that are remembered.",
            ),
            shed: counter(
                "mayfly_requests_shed_total",
                "Requests refused with 503 because too many waited.",
            ),
            clock_steps: counter(
                "mayfly_clock_steps_total",
                "Steps of the wall clock by more than 5 seconds; followed at the next start.",
            ),
            recovery_seconds: registered(
                &registry,
                Gauge::new(
                    "mayfly_recovery_duration_seconds",
                    "How long the recovery at the start took.",
                ),
            ),
            http: registered(&registry, request_durations()),
            bulk_problems: registered(&registry, bulk_problems()),
            cluster: ClusterMetrics::new(&registry),
            registry,
        }
    }

    /// The histogram of one route, method and class of status such as `2xx`.
    pub fn http(&self, route: &str, method: &str, status_class: &str) -> Histogram {
        self.http.with_label_values(&[route, method, status_class])
    }

    /// The counter of messages of bulks that were answered with a problem of this class.
    pub fn bulk_problems(&self, status_class: &str) -> IntCounter {
        self.bulk_problems.with_label_values(&[status_class])
    }

    /// Everything in the text format of Prometheus.
    pub fn render(&self) -> Vec<u8> {
        let mut text = Vec::new();
        let written = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        assert!(written.is_ok(), "a vector takes every byte");
        text
    }

    /// The reference for people: a table of all metrics.
    ///
    /// # Panics
    /// When the name of a metric holds none of [`UNITS`].
    pub fn reference() -> String {
        let metrics = Metrics::new();
        metrics.http("/chat", "POST", "2xx");
        metrics.bulk_problems("5xx");
        let (client, server) = Default::default();
        metrics.cluster.note_peers(&client, &server);
        let mut text =
            String::from("| metric | type | unit | labels | meaning |\n|---|---|---|---|---|\n");
        for family in metrics.registry.gather() {
            let kind = format!("{:?}", family.get_field_type()).to_lowercase();
            let labels: Vec<_> = family
                .get_metric()
                .iter()
                .take(1)
                .flat_map(|m| m.get_label())
                .map(|l| l.name())
                .collect();
            let row = format!(
                "| `{}` | {kind} | {} | {} | {} |\n",
                family.name(),
                unit_of(family.name()),
                labels.join(", "),
                family.help()
            );
            text.push_str(&row);
        }
        text
    }
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}

fn unit_of(name: &str) -> &str {
    name.split('_')
        .find(|word| UNITS.contains(word))
        .expect("the name of a metric holds its unit")
}

fn request_durations() -> prometheus::Result<HistogramVec> {
    let options = HistogramOpts::new(
        "mayfly_http_request_duration_seconds",
        "Time from the request's head to its answer, by route, method and class of status.",
    );
    let buckets = DURATION_BUCKETS_SECONDS.to_vec();
    HistogramVec::new(
        options.buckets(buckets),
        &["route", "method", "status_class"],
    )
}

fn bulk_problems() -> prometheus::Result<IntCounterVec> {
    let options = Opts::new(
        "mayfly_bulk_messages_refused_total",
        "Messages of bulk posts that were answered with an error, by class of its status.",
    );
    IntCounterVec::new(options, &["status_class"])
}

fn registered<M: Collector + Clone + 'static>(
    registry: &Registry,
    metric: prometheus::Result<M>,
) -> M {
    let metric = metric.expect("names and labels above are valid");
    registry
        .register(Box::new(metric.clone()))
        .expect("names above differ");
    metric
}
