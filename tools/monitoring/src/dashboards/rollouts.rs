//! Rollouts and failovers of one environment: which versions run, who drains, who leads, and what callers see of it.

use super::grafana::{Choice, Dashboard, Panel, Row, Unit};

/// Of the environment.
fn of(metric: &str) -> String {
    format!(r#"{metric}{{namespace="$namespace", environment="$environment"}}"#)
}

pub fn dashboard() -> Dashboard {
    Dashboard {
        uid: "rates-rollouts",
        title: "Rates: rollouts",
        choice: Choice::Environment,
        rows: vec![
            Row::new(
                "The API",
                [
                    Panel::new("Pods by version", Unit::Count)
                        .query("{{version}}", format!("count by (version) ({})", of("rates_build_info"))),
                    Panel::new("Ready pods", Unit::Count)
                        .query("ready", format!("sum({})", of("rates_ready")))
                        .query("all", format!("count({})", of("rates_ready"))),
                    Panel::new("Drains", Unit::Count)
                        .says("0 while serving, 1 after SIGTERM, 2 once the listener is closed.")
                        .query("{{pod}}", of("rates_drain_state")),
                ],
            ),
            Row::new(
                "What callers see",
                [
                    Panel::new("Responses with 5xx, a second", Unit::PerSecond).query(
                        "{{route}}",
                        r#"sum by (route) (rate(rates_http_requests_total{namespace="$namespace", environment="$environment", status=~"5.."}[1m])) or vector(0)"#,
                    ),
                    Panel::new("Time of reads", Unit::Seconds).query(
                        "p99",
                        r#"histogram_quantile(0.99, sum by (le) (rate(rates_http_request_duration_seconds_bucket{namespace="$namespace", environment="$environment", route="/rates"}[1m])))"#,
                    ),
                    Panel::new("Under way", Unit::Count)
                        .query("requests on {{pod}}", of("rates_http_requests_in_flight"))
                        .query("batches on {{pod}}", of("rates_batches_in_flight")),
                ],
            ),
            Row::new(
                "The database",
                [
                    Panel::new("The primary", Unit::Count)
                        .says("1 for the instance that is the primary.")
                        .query("{{pod}}", of("patroni_primary")),
                    Panel::new("Timeline", Unit::Count)
                        .says("Each promotion of a standby adds one.")
                        .query("of the API's pods", format!("max({})", of("rates_database_timeline")))
                        .query("{{pod}}", of("patroni_postgres_timeline")),
                    Panel::new("Standbys", Unit::Count)
                        .query("stream", format!("sum({})", of("patroni_postgres_streaming")))
                        .query(
                            "commits wait for",
                            format!("sum({} + {})", of("patroni_sync_standby"), of("patroni_quorum_standby")),
                        ),
                ],
            ),
        ],
    }
}
