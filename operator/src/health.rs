//! `/livez` and `/readyz` for the kubelet, the latter naming what is waited for, and `/metrics`.
//!
//! Ready is a process that leads, and one that stands by: a new version has to be ready to take over
//! before the old one goes, and the old one goes only then. Not ready is who could not take over,
//! or has just begun to. Not alive is a process of which the part that leads moves no more; it ends
//! by itself for every reason that it can see but a lost lease, after which it waits for the lease again.

use std::fmt::{Display, Formatter};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::cache::Cache;
use crate::metrics::Metrics;

pub(crate) const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A part that showed no sign of life for this long is stuck. Longer than a lease, so that somebody
/// else may lead by then.
const STUCK: Duration = Duration::from_secs(30);
/// How often it shows one.
const BEAT: Duration = Duration::from_secs(1);

/// How far the operator is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Stage {
    /// It could not lead yet; for want of what.
    WaitingFor(String),
    /// It could lead, and another one does.
    StandingBy {
        leader: String,
    },
    Leading,
    /// It was told to end.
    Ending,
}

impl Stage {
    const fn is_ready(&self) -> bool {
        matches!(self, Self::StandingBy { .. } | Self::Leading)
    }
}

impl Display for Stage {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::WaitingFor(what) => write!(formatter, "waiting for {what}"),
            Self::StandingBy { leader } => write!(formatter, "standing by: {leader} leads"),
            Self::Leading => formatter.write_str("leading"),
            Self::Ending => formatter.write_str("ending"),
        }
    }
}

/// What the operator says of itself.
#[derive(Clone)]
pub struct Health(Arc<Mutex<Told>>);

struct Told {
    stage: Stage,
    beat: Instant,
}

impl Health {
    #[must_use]
    pub fn waiting_for(what: &str) -> Self {
        Self(Arc::new(Mutex::new(Told {
            stage: Stage::WaitingFor(what.to_owned()),
            beat: Instant::now(),
        })))
    }

    /// Whoever is ending goes on ending.
    pub fn set(&self, stage: Stage) {
        self.told(|told| {
            if told.stage != Stage::Ending {
                told.stage = stage;
            }
        });
    }

    /// Shows signs of life for as long as the task it is a part of moves.
    pub async fn beat(&self) -> ! {
        loop {
            self.told(|told| told.beat = Instant::now());
            tokio::time::sleep(BEAT).await;
        }
    }

    fn told<T>(&self, look: impl FnOnce(&mut Told) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn ready(&self) -> (StatusCode, String) {
        self.told(|told| (code(told.stage.is_ready()), format!("{}\n", told.stage)))
    }

    fn alive(&self, now: Instant) -> (StatusCode, String) {
        let silent = self.told(|told| now.saturating_duration_since(told.beat));
        if silent < STUCK {
            (StatusCode::OK, "ok\n".to_owned())
        } else {
            let text = format!(
                "stuck: the part that leads has not moved for {} s\n",
                silent.as_secs()
            );
            (StatusCode::SERVICE_UNAVAILABLE, text)
        }
    }
}

const fn code(good: bool) -> StatusCode {
    if good {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}

/// What is answered from.
#[derive(Clone)]
pub struct Sources {
    pub health: Health,
    pub metrics: Arc<Metrics>,
    /// For as long as this process leads.
    pub cache: watch::Sender<Option<Arc<Cache>>>,
}

impl Sources {
    fn cache(&self) -> Option<Arc<Cache>> {
        self.cache.borrow().clone()
    }
}

/// Answers until the process ends.
pub async fn serve(listener: TcpListener, sources: Sources) -> std::io::Result<()> {
    let router = Router::new()
        .route("/livez", get(alive))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(sources);
    axum::serve(listener, router).await
}

async fn alive(State(sources): State<Sources>) -> (StatusCode, String) {
    sources.health.alive(Instant::now())
}

async fn ready(State(sources): State<Sources>) -> (StatusCode, String) {
    let (code, mut text) = sources.health.ready();
    // It goes on with the others: another process would fare no better.
    let failures = sources.cache().map(|cache| cache.not_followed());
    let lines = failures.into_iter().flatten();
    text.extend(lines.map(|(kind, failure)| format!("not followed: {kind}: {failure}\n")));
    (code, text)
}

async fn metrics(State(sources): State<Sources>) -> Response {
    let cache = sources.cache();
    let phases = cache.as_ref().map(|cache| cache.phases()).unwrap_or_default();
    let instances = cache.map(|cache| cache.instances()).unwrap_or_default();
    match sources.metrics.text(&phases, &instances) {
        Ok(text) => ([(CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readiness(stage: Stage) -> (u16, String) {
        let health = Health::waiting_for("anything");
        health.set(stage);
        let (code, text) = health.ready();
        (code.as_u16(), text)
    }

    #[test]
    fn who_leads_and_who_stands_by_is_ready_and_says_which() {
        assert_eq!(readiness(Stage::Leading), (200, "leading\n".to_owned()));
        let leader = "another".to_owned();
        assert_eq!(
            readiness(Stage::StandingBy { leader }),
            (200, "standing by: another leads\n".to_owned())
        );
    }

    #[test]
    fn who_could_not_take_over_is_not_ready_and_says_why() {
        let lacks = Stage::WaitingFor("the definition".to_owned());
        assert_eq!(readiness(lacks), (503, "waiting for the definition\n".to_owned()));
    }

    #[test]
    fn who_ends_does_not_become_ready_again() {
        let health = Health::waiting_for("anything");
        health.set(Stage::Ending);
        health.set(Stage::Leading);
        assert_eq!(health.ready().0.as_u16(), 503);
    }

    #[test]
    fn a_part_that_moves_no_more_is_not_alive() {
        let health = Health::waiting_for("anything");
        assert_eq!(health.alive(Instant::now()).0.as_u16(), 200);
        let (code, text) = health.alive(Instant::now() + STUCK + BEAT);
        assert_eq!(code.as_u16(), 503);
        assert!(text.contains("has not moved for 3"), "{text}");
    }
}
