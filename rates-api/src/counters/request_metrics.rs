//! Requests: how many, how they ended, how long they took.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Seconds. Reads take about a millisecond, and batches up to minutes.
const BUCKETS: [f64; 15] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0,
];

/// The route of requests to paths that are none, and the method of those with one that no route has.
const OTHER: &str = "other";

/// Labels have few values, whatever is asked for: a caller can make no new one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Operation {
    method: &'static str,
    route: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    method: &'static str,
    route: &'static str,
    status: u16,
}

#[derive(Clone)]
pub struct RequestMetrics(Arc<Inner>);

struct Inner {
    routes: Vec<&'static str>,
    answered: Family<Answered, Counter>,
    duration: Family<Operation, Histogram>,
    in_flight: Gauge,
}

/// A request that is in flight until this is dropped, answered or not.
pub struct InFlight {
    requests: RequestMetrics,
    operation: Operation,
}

impl RequestMetrics {
    #[must_use]
    pub fn new(routes: impl IntoIterator<Item = &'static str>) -> Self {
        Self(Arc::new(Inner {
            routes: routes.into_iter().collect(),
            answered: Family::default(),
            duration: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            in_flight: Gauge::default(),
        }))
    }

    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "http_requests",
            "Requests that were answered, by the route's template",
            self.0.answered.clone(),
        );
        registry.register_with_unit(
            "http_request_duration",
            "Time from a request's head to its answer",
            Unit::Seconds,
            self.0.duration.clone(),
        );
        registry.register(
            "http_requests_in_flight",
            "Requests that are not answered yet",
            self.0.in_flight.clone(),
        );
    }

    /// A request begins. `route` is the template of its path, if its path is one.
    #[must_use]
    pub fn begin(&self, method: &Method, route: Option<&str>) -> InFlight {
        self.0.in_flight.inc();
        let known = |route: &str| self.0.routes.iter().find(|known| **known == route).copied();
        InFlight {
            requests: self.clone(),
            operation: Operation {
                method: name(method),
                route: route.and_then(known).unwrap_or(OTHER),
            },
        }
    }
}

impl InFlight {
    /// The route, as it is counted.
    #[must_use]
    pub fn route(&self) -> &'static str {
        self.operation.route
    }

    /// The request was answered.
    pub fn answered(self, status: u16, duration: Duration) {
        let Operation { method, route } = self.operation;
        let labels = Answered {
            method,
            route,
            status,
        };
        let inner = &self.requests.0;
        inner.answered.get_or_create(&labels).inc();
        inner
            .duration
            .get_or_create(&self.operation)
            .observe(duration.as_secs_f64());
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.requests.0.in_flight.dec();
    }
}

fn name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        _ => OTHER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_paths_and_methods_make_no_new_labels() {
        let requests = RequestMetrics::new(["/rates"]);
        for path in [None, Some("/a"), Some("/b")] {
            for method in ["PUT", "BREW", "DELETE"] {
                let method = Method::from_bytes(method.as_bytes()).unwrap();
                requests.begin(&method, path).answered(404, Duration::ZERO);
            }
        }
        requests
            .begin(&Method::GET, Some("/rates"))
            .answered(200, Duration::ZERO);
        let mut registry = Registry::default();
        requests.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        assert_eq!(text.matches("http_requests_total{").count(), 2, "{text}");
        assert_eq!(text.matches("duration_seconds_count{").count(), 2, "{text}");
    }

    #[test]
    fn a_request_that_is_never_answered_is_no_longer_in_flight_and_not_counted() {
        let requests = RequestMetrics::new(["/rates"]);
        let first = requests.begin(&Method::GET, Some("/rates"));
        let second = requests.begin(&Method::GET, Some("/rates"));
        assert_eq!(requests.0.in_flight.get(), 2);
        drop(first);
        second.answered(200, Duration::from_millis(1));
        assert_eq!(requests.0.in_flight.get(), 0);
        let labels = Answered {
            method: "GET",
            route: "/rates",
            status: 200,
        };
        assert_eq!(requests.0.answered.get_or_create(&labels).get(), 1);
    }
}
