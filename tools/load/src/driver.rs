//! Requests at their times, each on the connection that its turn asks for.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::stream;
use http::Request;
use http_body_util::{BodyExt as _, Empty, StreamBody};
use hyper::body::Frame;
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::time::{sleep, sleep_until, timeout};
use tokio_util::task::TaskTracker;

use super::batch::{Batch, Size};
use super::connection::{Answer, Body, Connection, Lost, Protocol};
use super::failure::{Failure, Kind};
use super::kept::{Kept, Shared};
use super::ledger::{BATCH_PATIENCE, Ledger, Outcome};
use super::log::Log;
use super::question::Question;
use super::record::{Lane, Phase, Record, Summary, Verdict, Wrong, longest_gap};
use super::settings::Settings;

/// From the sending of a read to its whole answer.
const LIMIT_SECONDS: u64 = 20;
/// Connections with little rest, and those that rest for seconds.
const BUSY: usize = 8;
const SELDOM: usize = 60;
/// Of twenty requests, on which connections they go.
const TURNS: [Lane; 20] = {
    let mut turns = [Lane::Busy; 20];
    let mut turn = 0;
    while turn < 20 {
        turns[turn] = match turn % 10 {
            0 => Lane::Seldom,
            1 | 4 | 7 => Lane::Fresh,
            5 | 8 => Lane::Http2,
            _ => Lane::Busy,
        };
        turn += 1;
    }
    turns
};
/// Of so many reads one asks for a batch.
const ABOUT_BATCHES: usize = 5;
/// A batch of the mix.
const QUICK: Size = Size { days: 3, prices: 20 };
/// A batch that shows whether writes pass; a mean is given of three prices and more.
const PROBE: Size = Size { days: 1, prices: 3 };
/// Parts of a second's content.
const PARTS_A_SECOND: f64 = 4.0;

pub struct Driver {
    settings: Settings,
    began: Instant,
    /// Names this run in keys: an environment may see several.
    run: String,
    /// Requests in a thousand seconds.
    rate: AtomicU64,
    token: Mutex<String>,
    busy: Kept,
    seldom: Kept,
    shared: Shared,
    pub ledger: Arc<Ledger>,
    records: Mutex<Vec<Record>>,
    unsent: AtomicUsize,
    tasks: TaskTracker,
}

/// What a read asks for.
enum Asked {
    Seed(Question),
    Batch(Batch),
}

impl Driver {
    pub fn new(settings: Settings) -> Self {
        let (target, overflow) = (settings.target, settings.overflow);
        let driver = Self {
            began: Instant::now(),
            run: format!("load-{:08x}", fastrand::u32(..)),
            rate: AtomicU64::new(0),
            token: Mutex::new(settings.token.clone()),
            busy: Kept::new(target, BUSY, overflow),
            seldom: Kept::new(target, SELDOM, overflow),
            shared: Shared::new(target, overflow),
            ledger: Arc::default(),
            records: Mutex::default(),
            unsent: AtomicUsize::new(0),
            tasks: TaskTracker::new(),
            settings,
        };
        driver.set_rate(driver.settings.rate);
        driver
    }

    pub fn now(&self) -> Duration {
        self.began.elapsed()
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate is a small number above 0"
    )]
    pub fn set_rate(&self, rate: f64) {
        self.rate
            .store((rate * 1000.0).max(1.0) as u64, Ordering::Relaxed);
    }

    pub fn set_token(&self, token: String) {
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = token;
    }

    pub fn plan(&self, size: Size) -> usize {
        self.ledger.plan(size, &self.run)
    }

    pub fn log(&self) -> Log {
        Log {
            records: self.records().clone(),
            ledger: Arc::clone(&self.ledger),
            unsent: self.unsent.load(Ordering::Relaxed),
        }
    }

    pub fn summary(&self, phase: &Phase) -> Summary {
        Summary::of(self.records().iter().filter(|record| phase.holds(record)))
    }

    pub fn gap(&self, phase: &Phase, chosen: impl Fn(Lane) -> bool) -> Duration {
        longest_gap(&self.records(), phase, chosen)
    }

    fn records(&self) -> MutexGuard<'_, Vec<Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self, lane: Lane, due: Instant, verdict: Verdict) {
        let record = Record {
            lane,
            due: due.saturating_duration_since(self.began),
            took: due.elapsed(),
            verdict,
        };
        self.records().push(record);
    }

    /// Sends what is due until it is stopped, and then waits for what is under way.
    pub async fn run(self: Arc<Self>, mut stopped: oneshot::Receiver<()>) {
        let (mut due, mut batch_due) = (Instant::now(), Instant::now());
        let mut probe_due = self.settings.probe_every.map(|_| Instant::now());
        for turn in 0_usize.. {
            tokio::select! {
                () = sleep_until(due.into()) => {}
                _ = &mut stopped => break,
            }
            if batch_due <= due {
                let number = self.plan(QUICK);
                self.tasks
                    .spawn(Arc::clone(&self).send(number, Duration::ZERO, batch_due));
                batch_due += self.settings.batch_every;
            }
            if let (Some(probe), Some(every)) = (probe_due, self.settings.probe_every)
                && probe <= due
            {
                let number = self.plan(PROBE);
                self.tasks
                    .spawn(Arc::clone(&self).send(number, Duration::ZERO, probe));
                probe_due = Some(probe + every);
            }
            self.tasks.spawn(Arc::clone(&self).read(turn, due));
            let per_thousand_seconds = self.rate.load(Ordering::Relaxed).max(1);
            due += Duration::from_nanos(1_000_000_000_000 / per_thousand_seconds);
        }
        self.tasks.close();
        self.tasks.wait().await;
    }

    async fn read(self: Arc<Self>, turn: usize, due: Instant) {
        let lane = TURNS[turn % TURNS.len()];
        let mut random = fastrand::Rng::new();
        let batch = (random.usize(0..ABOUT_BATCHES) == 0)
            .then(|| self.ledger.draw(&mut random))
            .flatten();
        let asked = match (batch, self.settings.questions.draw(&mut random)) {
            (Some(batch), _) => Asked::Batch(batch),
            (None, Some(question)) => Asked::Seed(question.clone()),
            (None, None) => return,
        };
        let began = Instant::now();
        let answered = timeout(Duration::from_secs(LIMIT_SECONDS), self.get(lane, &asked.path()))
            .await
            .unwrap_or_else(|_| Err(Failure::timed_out(LIMIT_SECONDS)));
        let verdict = match answered {
            Err(failure) => Verdict::Failed(failure),
            Ok(answer) if answer.status >= 500 => Verdict::Failed(of_status(&answer)),
            Ok(answer) => match self.judge(&asked, &answer, began) {
                Ok(()) => Verdict::Right,
                Err(wrong) => Verdict::Wrong(wrong),
            },
        };
        self.record(lane, due, verdict);
    }

    fn judge(&self, asked: &Asked, answer: &Answer, began: Instant) -> Result<(), Wrong> {
        match asked {
            Asked::Seed(question) => question.judge(answer).map_err(Wrong::other),
            Asked::Batch(batch) => {
                let shown = batch.shown(answer)?;
                self.ledger.judge(batch.number, shown, began, Instant::now())
            }
        }
    }

    /// The answer on the connection of a lane. One that ended before a byte was written is replaced, and counted.
    async fn get(&self, lane: Lane, path: &str) -> Result<Answer, Failure> {
        loop {
            let request = self.request("GET", path, lane)?;
            let answered = match lane {
                Lane::Busy => self.on_kept(&self.busy, request).await?,
                Lane::Seldom => self.on_kept(&self.seldom, request).await?,
                Lane::Http2 => {
                    let answered = self.shared.get().await?.connection.exchange(request).await;
                    if answered.is_err() {
                        self.shared.forget().await;
                    }
                    answered
                }
                Lane::Fresh | Lane::Batch => {
                    let mut connection = Connection::open(self.settings.target, Protocol::Http1).await?;
                    connection.exchange(request).await
                }
            };
            match answered {
                Ok(answer) => return Ok(answer),
                Err(Lost::Failed(failure)) => return Err(failure),
                Err(Lost::Unsent) => self.unsent.fetch_add(1, Ordering::Relaxed),
            };
            // Its driver has to see the end before another connection is asked for.
            tokio::task::yield_now().await;
        }
    }

    async fn on_kept(&self, kept: &Kept, request: Request<Body>) -> Result<Result<Answer, Lost>, Failure> {
        let mut taken = kept.take().await?;
        let answered = taken.connection.exchange(request).await;
        if matches!(&answered, Ok(answer) if !answer.last) {
            kept.give_back(taken);
        }
        Ok(answered)
    }

    fn request(&self, method: &str, path: &str, lane: Lane) -> Result<Request<Body>, Failure> {
        let builder = Request::builder().method(method);
        let target = self.settings.target;
        let builder = if lane == Lane::Http2 {
            builder.uri(format!("http://{target}{path}"))
        } else {
            builder.uri(path).header("host", target.to_string())
        };
        builder
            .body(Empty::new().boxed_unsync())
            .map_err(|error| Failure {
                kind: Kind::Other,
                text: error.to_string(),
            })
    }

    /// Sends a batch on a connection of its own, its content spread over a time.
    pub async fn send(self: Arc<Self>, number: usize, over: Duration, due: Instant) {
        let token = self.token.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some((batch, token)) = self.ledger.begin(number, &token) else {
            return;
        };
        let limit = over + BATCH_PATIENCE;
        let outcome = timeout(limit, Arc::clone(&self).post(batch, &token, over))
            .await
            .unwrap_or_else(|_| Outcome::Failed(Failure::timed_out(limit.as_secs())));
        let verdict = match &outcome {
            Outcome::Applied => Verdict::Right,
            Outcome::Failed(failure) => Verdict::Failed(failure.clone()),
            Outcome::Refused { status, detail } => Verdict::Failed(Failure {
                kind: Kind::Status(*status),
                text: detail.clone(),
            }),
            Outcome::InDoubt => Verdict::Failed(Failure {
                kind: Kind::Status(503),
                text: "in doubt".to_owned(),
            }),
        };
        self.ledger.answered(number, outcome);
        self.record(Lane::Batch, due, verdict);
    }

    async fn post(self: Arc<Self>, batch: Batch, token: &str, over: Duration) -> Outcome {
        let target = self.settings.target;
        let request = Request::builder()
            .method("POST")
            .uri("/batches")
            .header("host", target.to_string())
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "text/csv")
            .header("idempotency-key", &batch.key)
            .body(self.content(&batch, over));
        let request = match request {
            Ok(request) => request,
            Err(error) => {
                return Outcome::Failed(Failure {
                    kind: Kind::Other,
                    text: error.to_string(),
                });
            }
        };
        let mut connection = match Connection::open(target, Protocol::Http1).await {
            Ok(connection) => connection,
            Err(failure) => return Outcome::Failed(failure),
        };
        match connection.exchange(request).await {
            Ok(answer) => outcome(&answer),
            Err(Lost::Failed(failure)) => Outcome::Failed(failure),
            Err(Lost::Unsent) => Outcome::Failed(Failure {
                kind: Kind::Cut,
                text: "a new connection took no request".to_owned(),
            }),
        }
    }

    /// The content in parts at equal distances; the ledger knows of the first and the last.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "some minutes at most"
    )]
    fn content(self: &Arc<Self>, batch: &Batch, over: Duration) -> Body {
        let parts = batch.parts((over.as_secs_f64() * PARTS_A_SECOND).max(1.0) as usize);
        let pause = over.checked_div(u32::try_from(parts.len()).unwrap_or(1));
        let (pause, last) = (pause.unwrap_or_default(), parts.len().saturating_sub(1));
        let (driver, number) = (Arc::clone(self), batch.number);
        let parts = stream::unfold((0, parts.into_iter()), move |(index, mut parts)| {
            let driver = Arc::clone(&driver);
            async move {
                let part = parts.next()?;
                if index > 0 {
                    sleep(pause).await;
                    driver.ledger.under_way(number);
                }
                if index == last {
                    driver.ledger.complete(number);
                    driver.ledger.under_way(number);
                }
                let frame = Ok::<_, Infallible>(Frame::data(Bytes::from(part)));
                Some((frame, (index + 1, parts)))
            }
        });
        StreamBody::new(parts).boxed_unsync()
    }
}

impl Asked {
    fn path(&self) -> String {
        match self {
            Self::Seed(question) => question.path.clone(),
            Self::Batch(batch) => batch.path(),
        }
    }
}

fn of_status(answer: &Answer) -> Failure {
    Failure {
        kind: Kind::Status(answer.status),
        text: String::from_utf8_lossy(&answer.body).into_owned(),
    }
}

fn outcome(answer: &Answer) -> Outcome {
    let problem: Option<Value> = serde_json::from_slice(&answer.body).ok();
    match (answer.status, &answer.location, problem) {
        (201, Some(_), Some(_)) => Outcome::Applied,
        (503, Some(_), _) => Outcome::InDoubt,
        (status, _, Some(problem)) if answer.content_type.starts_with("application/problem+json") => {
            Outcome::Refused {
                status,
                detail: problem["detail"].as_str().unwrap_or_default().to_owned(),
            }
        }
        (status, ..) => Outcome::Failed(Failure {
            kind: Kind::Status(status),
            text: String::from_utf8_lossy(&answer.body).into_owned(),
        }),
    }
}
