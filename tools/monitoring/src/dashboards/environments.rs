//! All environments: which is in trouble, and on which rung.

use super::grafana::{Choice, Dashboard, Kind, Panel, Row, Unit};

pub fn dashboard() -> Dashboard {
    Dashboard {
        uid: "rates-environments",
        title: "Rates: environments",
        choice: Choice::Namespaces,
        rows: vec![
            Row::new(
                "Now",
                [
                    Panel::new("Environments by phase", Unit::Count)
                        .kind(Kind::Bars)
                        .query(
                            "{{phase}}",
                            "sum by (phase) (rates_operator_environments and on (namespace, pod) rates_operator_leading == 1)",
                        ),
                    Panel::new("Alerts that fire", Unit::Count)
                        .kind(Kind::Number)
                        .limit(1.0)
                        .query(
                            "alerts",
                            r#"count(ALERTS{alertname=~"Rates.+", alertstate="firing"}) or vector(0)"#,
                        ),
                    Panel::new("The most saturated rung of each environment", Unit::Share)
                        .says("1 is the limit. Open the dashboard of the environment for the rung.")
                        .kind(Kind::Bars)
                        .limit(0.9)
                        .query(
                            "{{namespace}}/{{environment}}",
                            r#"topk(20, max by (namespace, environment) ({__name__=~"rates:saturation:.+", namespace=~"$namespace"}))"#,
                        ),
                ],
            ),
            Row::new(
                "Reads",
                [
                    Panel::new("Reads a second", Unit::PerSecond).query(
                        "{{namespace}}/{{environment}}",
                        r#"sum by (namespace, environment) (rate(rates_http_requests_total{namespace=~"$namespace", method="GET", route=~"/rates|/ports|/regions"}[1m]))"#,
                    ),
                    Panel::new("Reads that fail", Unit::Share)
                        .says("5xx in the last five minutes. The objective is 0.1 %.")
                        .limit(0.001)
                        .query(
                            "{{namespace}}/{{environment}}",
                            r#"rates:reads_failed:ratio_rate5m{namespace=~"$namespace"}"#,
                        ),
                    Panel::new("Reads that take longer than 250 ms", Unit::Share)
                        .says("In the last five minutes. The objective is 1 %.")
                        .limit(0.01)
                        .query(
                            "{{namespace}}/{{environment}}",
                            r#"rates:reads_slow:ratio_rate5m{namespace=~"$namespace"}"#,
                        ),
                ],
            ),
            Row::new(
                "Batches",
                [
                    Panel::new("Rows a second", Unit::PerSecond).query(
                        "{{namespace}}/{{environment}}",
                        r#"sum by (namespace, environment) (rate(rates_batch_rows_total{namespace=~"$namespace"}[1m]))"#,
                    ),
                    Panel::new("Batches that are refused for the service's fault", Unit::Share)
                        .says("In the last five minutes. The objective is 0.1 %.")
                        .limit(0.001)
                        .query_only(
                            "batches in the last five minutes",
                            "{{namespace}}/{{environment}}",
                            r#"rates:batches_refused:ratio_rate5m{namespace=~"$namespace"}"#,
                        ),
                    Panel::new("Volumes", Unit::Share)
                        .kind(Kind::Bars)
                        .limit(0.85)
                        .query(
                            "{{namespace}}/{{persistentvolumeclaim}}",
                            r#"topk(20, rates:volume_used:ratio{namespace=~"$namespace"})"#,
                        ),
                ],
            ),
        ],
    }
}
