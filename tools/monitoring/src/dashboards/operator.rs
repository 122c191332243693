//! The operator: whether it leads, keeps up, and what fails.

use super::grafana::{Choice, Dashboard, Kind, Panel, Row, Unit};

pub fn dashboard() -> Dashboard {
    Dashboard {
        uid: "rates-operator",
        title: "Rates: operator",
        choice: Choice::None,
        rows: vec![
            Row::new(
                "State",
                [
                    Panel::new("Processes that lead", Unit::Count)
                        .says("One for each installation.")
                        .kind(Kind::Number)
                        .width(6)
                        .query("leading", "sum(rates_operator_leading)"),
                    Panel::new("Environments by phase", Unit::Count)
                        .width(10)
                        .query(
                            "{{phase}}",
                            "sum by (phase) (rates_operator_environments and on (namespace, pod) rates_operator_leading == 1)",
                        ),
                    Panel::new("Kinds that are followed", Unit::Count)
                        .says("1 while the list and the watch of a kind work.")
                        .kind(Kind::Bars)
                        .query(
                            "{{kind}}",
                            "min by (kind) (rates_operator_kind_followed and on (namespace, pod) rates_operator_leading == 1)",
                        ),
                ],
            ),
            Row::new(
                "Reconciles",
                [
                    Panel::new("Reconciles a second", Unit::PerSecond).query(
                        "{{result}}",
                        "sum by (result) (rate(rates_operator_reconciles_total[5m]))",
                    ),
                    Panel::new("Time of a reconcile", Unit::Seconds)
                        .query(
                            "p50",
                            "histogram_quantile(0.5, sum by (le) (rate(rates_operator_reconcile_duration_seconds_bucket[5m])))",
                        )
                        .query(
                            "p99",
                            "histogram_quantile(0.99, sum by (le) (rate(rates_operator_reconcile_duration_seconds_bucket[5m])))",
                        ),
                    Panel::new("Queue", Unit::Count)
                        .says("Above 0 for minutes: raise --concurrency, if the API server can take more.")
                        .query("due and waiting", "sum(rates_operator_queue_depth)")
                        .query("under way", "sum(rates_operator_reconciles_in_flight)"),
                ],
            ),
            Row::new(
                "The Kubernetes API",
                [
                    Panel::new("Requests a second", Unit::PerSecond).query(
                        "{{verb}}",
                        "sum by (verb) (rate(rates_operator_api_requests_total[5m]))",
                    ),
                    Panel::new("Requests that failed, a second", Unit::PerSecond)
                        .says("403: the role belongs to another version. 409: somebody else wrote first.")
                        .query(
                            "{{code}}",
                            r#"sum by (code) (rate(rates_operator_api_requests_total{code!~"2.."}[5m])) or vector(0)"#,
                        ),
                    Panel::new("Watches that failed, a second", Unit::PerSecond).query(
                        "{{kind}}",
                        "sum by (kind) (rate(rates_operator_watch_failures_total[5m])) or vector(0)",
                    ),
                ],
            ),
            Row::new(
                "The process",
                [
                    Panel::new("Memory", Unit::Bytes)
                        .width(12)
                        .query("{{pod}}", r#"process_resident_memory_bytes{job="rates-operator"}"#),
                    Panel::new("Objects that it cannot understand", Unit::Count)
                        .width(12)
                        .query(
                            "{{kind}}",
                            "sum by (kind) (rates_operator_malformed_objects) or vector(0)",
                        ),
                ],
            ),
        ],
    }
}
