//! One connection, from its first byte to its end.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use http::header::CONNECTION;
use http::{HeaderValue, Request, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;
use tokio::pin;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::ServerSettings;
use super::drain::{Drain, Phase};
use super::linger::Linger;
use super::pipeline::Wire;

/// What a connection has done so far.
#[derive(Clone, Copy)]
struct Activity {
    version: Option<Version>,
    under_way: usize,
    last: Instant,
}

/// Serves the connection until the client ends it, the drain has no more use for it, or `end` cuts it off.
pub async fn serve(
    stream: TcpStream,
    router: Router,
    builder: auto::Builder<TokioExecutor>,
    drain: Drain,
    settings: ServerSettings,
    end: CancellationToken,
) {
    let activity = Arc::new(watch::Sender::new(Activity {
        version: None,
        under_way: 0,
        last: Instant::now(),
    }));
    let wire = Wire::new(stream);
    let service = service_fn({
        let activity = Arc::clone(&activity);
        let (wire, drain) = (wire.clone(), drain.clone());
        move |request: Request<Incoming>| {
            let version = request.version();
            let under_way = UnderWay::begin(&activity, version);
            if version <= Version::HTTP_11 {
                wire.handed_on();
            }
            let answer = router.clone().oneshot(request.map(axum::body::Body::new));
            let (wire, drain) = (wire.clone(), drain.clone());
            async move {
                let mut answer = answer.await;
                if let Ok(response) = &mut answer
                    && version <= Version::HTTP_11
                    && drain.now() != Phase::Serving
                    && (drain.is_late() || !wire.more_waits())
                {
                    // The last answer of this connection: hyper closes it after this.
                    response
                        .headers_mut()
                        .insert(CONNECTION, HeaderValue::from_static("close"));
                }
                drop(under_way);
                answer
            }
        }
    });
    let connection = builder.serve_connection(TokioIo::new(Linger::new(wire.clone())), service);
    pin!(connection);
    let done = may_end(&drain, activity.subscribe(), &wire, &settings);
    pin!(done);
    let silent = stays_silent(activity.subscribe(), settings.idle_timeout_seconds);
    pin!(silent);
    let mut ending = false;
    loop {
        tokio::select! {
            outcome = connection.as_mut() => {
                if let Err(error) = outcome {
                    tracing::debug!(%error, "a connection ended");
                }
                return;
            }
            () = &mut done, if !ending => {
                ending = true;
                connection.as_mut().graceful_shutdown();
            }
            () = &mut silent => return,
            () = end.cancelled() => return,
        }
    }
}

/// Returns when no request has come in the given time; hyper's own time-out begins with the first byte.
async fn stays_silent(mut activity: watch::Receiver<Activity>, patience: Duration) {
    if timeout(patience, activity.wait_for(|activity| activity.version.is_some()))
        .await
        .is_ok()
    {
        std::future::pending::<()>().await;
    }
}

/// How often a connection that may end is looked at, when its client is in the middle of sending.
const LOOK: Duration = Duration::from_millis(100);

/// Returns when the connection should take no more requests.
///
/// HTTP/2 can say so at any time without losing one. HTTP/1 can only close: an idle connection is kept for a while, and
/// as long as the process has other requests to answer, as its client may be about to send one on it; one that was
/// accepted a moment ago has one under way; and so has one whose client has sent any byte of it.
async fn may_end(
    drain: &Drain,
    mut activity: watch::Receiver<Activity>,
    wire: &Wire,
    settings: &ServerSettings,
) {
    let mut phase = drain.phase();
    if phase.wait_for(|phase| *phase >= Phase::Draining).await.is_err() {
        return;
    }
    let idle_until = Instant::now() + settings.drain_idle_seconds.min(settings.drain_seconds / 2);
    loop {
        let Activity {
            version,
            under_way,
            last,
        } = *activity.borrow_and_update();
        let end_at = match version {
            Some(Version::HTTP_2) => return,
            // The answer under way says `Connection: close`, and hyper closes after it.
            Some(_) if under_way > 0 => None,
            Some(_) => Some(idle_until.max(last + settings.drain_quiet_seconds)),
            None => Some(last + settings.drain_quiet_seconds.max(Duration::from_millis(200))),
        };
        let closing = *phase.borrow_and_update() == Phase::Closing;
        let ended = async {
            sleep_until(end_at.unwrap_or(last)).await;
            drain.quiet(Duration::ZERO).await;
            while wire.more_waits() {
                sleep(LOOK).await;
            }
        };
        tokio::select! {
            () = ended, if closing && end_at.is_some() => return,
            changed = activity.changed() => if changed.is_err() { return },
            changed = phase.changed(), if !closing => if changed.is_err() { return },
        }
    }
}

/// A request on this connection until it is answered.
struct UnderWay(Arc<watch::Sender<Activity>>);

impl UnderWay {
    fn begin(activity: &Arc<watch::Sender<Activity>>, version: Version) -> Self {
        activity.send_modify(|activity| {
            activity.version = Some(version);
            activity.under_way += 1;
            activity.last = Instant::now();
        });
        Self(Arc::clone(activity))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.send_modify(|activity| {
            activity.under_way -= 1;
            activity.last = Instant::now();
        });
    }
}
