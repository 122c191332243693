//! One environment: what callers see, and the ladder, a row for each rung.

use super::grafana::{Choice, Dashboard, Kind, Panel, Row, Unit};

const LIMITED: &str = "a limit of the processors";
const STANDBYS: &str = "standbys";
const SLOTS: &str = "replication slots";

/// The rungs in the order in which load climbs them.
const RUNGS: [(&str, &str); 9] = [
    ("api_processors", "1 API processors"),
    ("connections", "2 connections and places"),
    ("database_processors", "3 database processors"),
    ("log", "4 log"),
    ("replication", "5 replication"),
    ("locks", "6 locks"),
    ("fold", "7 fold"),
    ("disk_reads", "8 reads from disk"),
    ("volume", "9 volume"),
];

/// Of the environment, with more matchers.
fn with(metric: &str, matchers: &str) -> String {
    format!(r#"{metric}{{namespace="$namespace", environment="$environment", {matchers}}}"#)
}

fn of(metric: &str) -> String {
    format!(r#"{metric}{{namespace="$namespace", environment="$environment"}}"#)
}

/// The signals of a rung.
fn signals(rung: &str) -> Panel {
    Panel::new("How near it is to its limit", Unit::Share)
        .says("The rung is the largest of its signals; 1 is the limit.")
        .limit(0.9)
        .query(
            "{{signal}}",
            with("rates:signal:ratio", &format!("rung=\"{rung}\"")),
        )
}

/// How many sessions wait for something at any moment.
fn waiting(title: &'static str, wait: &str) -> Panel {
    Panel::new(title, Unit::Count)
        .says("Sessions at any moment, averaged over a minute.")
        .query(
            "{{pod}}",
            with("rates:sessions:avg1m", &format!("wait=\"{wait}\"")),
        )
}

pub fn dashboard() -> Dashboard {
    let mut rows = vec![symptoms(), ladder()];
    rows.extend(processors_and_places());
    rows.extend(log_and_replication());
    rows.extend(locks_and_fold());
    rows.extend(disk());
    Dashboard {
        uid: "rates-environment",
        title: "Rates: one environment",
        choice: Choice::Environment,
        rows,
    }
}

fn symptoms() -> Row {
    let reads = r#"method="GET", route=~"/rates|/ports|/regions""#;
    let quantile = |share: &str| {
        let buckets = with("rates_http_request_duration_seconds_bucket", reads);
        format!("histogram_quantile({share}, sum by (le) (rate({buckets}[1m])))")
    };
    Row::new(
        "What callers see",
        [
            Panel::new("Reads a second", Unit::PerSecond).width(6).query(
                "{{status}}",
                format!(
                    "sum by (status) (rate({}[1m]))",
                    with("rates_http_requests_total", reads)
                ),
            ),
            Panel::new("Time of reads", Unit::Seconds)
                .width(6)
                .limit(0.25)
                .query("p50", quantile("0.5"))
                .query("p99", quantile("0.99")),
            Panel::new("Batches a second", Unit::PerSecond).width(6).query(
                "{{outcome}}",
                format!("sum by (outcome) (rate({}[5m]))", of("rates_batches_total")),
            ),
            Panel::new("Rows a second", Unit::PerSecond)
                .width(6)
                .query("rows", format!("sum(rate({}[1m]))", of("rates_batch_rows_total"))),
        ],
    )
}

fn ladder() -> Row {
    let mut now = Panel::new("The ladder now", Unit::Share)
        .says("The first rung that is at its limit is the bottleneck. docs/monitoring.md has the remedies.")
        .kind(Kind::Bars)
        .width(10)
        .limit(0.9);
    let mut lately = Panel::new("The ladder", Unit::Share).width(14).limit(0.9);
    for (rung, title) in RUNGS {
        now = now.query(title, of(&format!("rates:saturation:{rung}")));
        lately = lately.query(title, of(&format!("rates:saturation:{rung}")));
    }
    Row::new("The ladder", [now, lately])
}

fn processors_and_places() -> [Row; 3] {
    let processors = |component: &str| {
        let matcher = format!("component=\"{component}\"");
        Panel::new("Processors", Unit::Cores)
            .query("{{pod}} uses", with("rates:pod_cpu_use:cores", &matcher))
            .query("{{pod}} asked for", with("rates:pod_cpu_request:cores", &matcher))
            .query_only(
                LIMITED,
                "{{pod}} may use",
                with("rates:pod_cpu_limit:cores", &matcher),
            )
    };
    [
        Row::new(
            "1 API processors: replicas, limits, the autoscaler's bounds",
            [
                signals("api_processors"),
                processors("api"),
                Panel::new("Requests under way", Unit::Count)
                    .query("{{pod}}", of("rates_http_requests_in_flight")),
            ],
        ),
        Row::new(
            "2 connections and places for batches: api.config",
            [
                signals("connections"),
                Panel::new("Batches", Unit::Count)
                    .query("taken in", format!("sum({})", of("rates_batches_in_flight")))
                    .query("waiting", format!("sum({})", of("rates_batches_waiting")))
                    .query("places", format!("sum({})", of("rates_batches_limit"))),
                Panel::new("Connections in use", Unit::Count)
                    .query(
                        "{{pool}}",
                        format!(
                            "sum by (pool) ({})",
                            with("rates_database_connections", "state=\"used\"")
                        ),
                    )
                    .query(
                        "waiting for {{pool}}",
                        format!("sum by (pool) ({})", of("rates_database_connections_waiting")),
                    ),
            ],
        ),
        Row::new(
            "3 database processors: database.resources, reads to standbys",
            [
                signals("database_processors"),
                processors("postgres"),
                Panel::new("What sessions do", Unit::Count)
                    .says("Sessions at any moment, averaged over a minute; none: on a processor.")
                    .query(
                        "{{wait}}",
                        format!("sum by (wait) ({})", of("rates:sessions:avg1m")),
                    ),
            ],
        ),
    ]
}

fn log_and_replication() -> [Row; 2] {
    [
        Row::new(
            "4 log: storage class, max_wal_size",
            [
                signals("log"),
                Panel::new("Log written", Unit::BytesPerSecond)
                    .query("{{pod}}", format!("rate({}[1m])", of("patroni_xlog_location"))),
                Panel::new("Checkpoints in ten minutes", Unit::Count)
                    .query(
                        "as the log is full, {{pod}}",
                        format!(
                            "increase({}[10m]) or increase({}[10m])",
                            of("pg_stat_bgwriter_checkpoints_req_total"),
                            of("pg_stat_checkpointer_num_requested_total")
                        ),
                    )
                    .query(
                        "as it is time, {{pod}}",
                        format!(
                            "increase({}[10m]) or increase({}[10m])",
                            of("pg_stat_bgwriter_checkpoints_timed_total"),
                            of("pg_stat_checkpointer_num_timed_total")
                        ),
                    ),
            ],
        ),
        Row::new(
            "5 replication: the network, a standby's resources",
            [
                signals("replication"),
                Panel::new("Not replayed yet", Unit::Bytes).query_only(
                    STANDBYS,
                    "{{application_name}}",
                    of("pg_stat_replication_pg_wal_lsn_diff"),
                ),
                Panel::new("Reads that a standby was asked, a second", Unit::PerSecond)
                    .says("After behind and failed the primary answers.")
                    .query(
                        "{{outcome}}",
                        format!("sum by (outcome) (rate({}[1m]))", of("rates_standby_reads_total")),
                    ),
            ],
        ),
    ]
}

fn locks_and_fold() -> [Row; 2] {
    [
        Row::new(
            "6 locks: who holds them",
            [
                signals("locks"),
                waiting("Sessions that wait for a lock", "lock"),
                Panel::new("The oldest transaction", Unit::Seconds).query(
                    "{{pod}}",
                    format!(
                        "max by (pod) ({})",
                        with(
                            "pg_stat_activity_max_tx_duration",
                            "usename!=\"\", application_name!=\"rates-exporter\""
                        )
                    ),
                ),
            ],
        ),
        Row::new(
            "7 fold: fewer, larger batches; the database's processors and disk",
            [
                signals("fold"),
                Panel::new("Batches that are not folded", Unit::Count)
                    .query("batches", format!("max({})", of("rates_batches_unfolded"))),
                Panel::new("How long the oldest waits", Unit::Seconds).query(
                    "seconds",
                    format!("max({})", of("rates_batches_unfolded_oldest_seconds")),
                ),
            ],
        ),
    ]
}

fn disk() -> [Row; 2] {
    let blocks = |metric: &str| format!("rate({}[5m])", with(metric, "datname=\"rates\""));
    let (hit, read) = (
        blocks("pg_stat_database_blks_hit"),
        blocks("pg_stat_database_blks_read"),
    );
    [
        Row::new(
            "8 reads from disk: memory, shared_buffers",
            [
                signals("disk_reads"),
                Panel::new("Pages that were in shared buffers", Unit::Share)
                    .says("The others may still be in the system's cache: what counts is whether sessions wait.")
                    .query("{{pod}}", format!("{hit} / ({hit} + {read} > 0)")),
                Panel::new("Temporary files", Unit::BytesPerSecond).query(
                    "{{pod}}",
                    format!("rate({}[5m])", with("pg_stat_database_temp_bytes", "datname=\"rates\"")),
                ),
            ],
        ),
        Row::new(
            "9 volume: database.storage.size",
            [
                signals("volume"),
                Panel::new("What takes the space", Unit::Bytes)
                    .query(
                        "database, {{pod}}",
                        with("pg_database_size_bytes", "datname=\"rates\""),
                    )
                    .query("log, {{pod}}", of("pg_wal_size_bytes"))
                    .query_only(
                        SLOTS,
                        "kept by {{slot_name}}, {{pod}}",
                        of("pg_replication_slots_pg_wal_lsn_diff"),
                    ),
                Panel::new("Growth of the database per day", Unit::Bytes)
                    .says("The trend of the last six hours.")
                    .query(
                        "{{pod}}",
                        format!(
                            "86400 * deriv({}[6h])",
                            with("pg_database_size_bytes", "datname=\"rates\"")
                        ),
                    ),
            ],
        ),
    ]
}
