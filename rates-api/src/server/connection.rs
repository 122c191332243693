//! One connection, from its first byte to its end.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::header::CONNECTION;
use http::{HeaderValue, Request, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;
use tokio::pin;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::activity::{Activity, State};
use super::drain::{Drain, Phase};
use super::linger::Linger;
use super::path;
use super::pieces::Pieces;
use super::pipeline::Wire;
use super::settings::ServerSettings;

/// How long a client has to take note that its idle connection ends, before it is cut off.
const NOTICE: Duration = Duration::from_secs(1);

/// Serves the connection until the client ends it, the drain has no more use for it, or `end` cuts it off.
pub async fn serve(
    stream: TcpStream,
    router: Router,
    builder: auto::Builder<TokioExecutor>,
    drain: Drain,
    settings: ServerSettings,
    end: CancellationToken,
) {
    let activity = Activity::new(&drain);
    let wire = Wire::new(stream);
    let service = service_fn({
        let activity = activity.clone();
        let (wire, drain) = (wire.clone(), drain.clone());
        move |request: Request<Incoming>| {
            let version = request.version();
            let under_way = activity.begin(version);
            if version <= Version::HTTP_11 {
                wire.handed_on();
            }
            let request = path::in_normal_form(request.map(Body::new));
            let answer = router.clone().oneshot(request);
            let (wire, drain, activity) = (wire.clone(), drain.clone(), activity.clone());
            async move {
                let mut response = answer.await?;
                if version > Version::HTTP_11 {
                    response = response.map(|content| Body::new(Pieces::new(content, activity)));
                } else if drain.now() != Phase::Serving && (drain.is_late() || !wire.more_waits()) {
                    // The last answer of this connection: hyper closes it after this.
                    response
                        .headers_mut()
                        .insert(CONNECTION, HeaderValue::from_static("close"));
                }
                drop(under_way);
                Ok::<_, Infallible>(response)
            }
        }
    });
    let connection = builder.serve_connection(TokioIo::new(Linger::new(wire.clone())), service);
    pin!(connection);
    let timeout = settings.idle_timeout_seconds;
    let done = async {
        tokio::select! {
            () = may_end(&drain, activity.subscribe(), &wire, &settings) => {}
            () = is_idle(&activity, &wire, timeout) => {}
        }
    };
    pin!(done);
    let unheard = is_idle(&activity, &wire, timeout + NOTICE);
    pin!(unheard);
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
            () = &mut unheard => return,
            () = end.cancelled() => return,
        }
    }
}

/// Returns when no request has been under way for the given time, and the client has taken nothing of an answer.
///
/// It is the same for a client that sends no request, one that sends half of it, and one that sends nothing but PING.
async fn is_idle(activity: &Activity, wire: &Wire, timeout: Duration) {
    loop {
        let State { under_way, last, .. } = activity.now();
        let last = wire.went_on().map_or(last, |went_on| last.max(went_on));
        let idle_at = last + timeout;
        let now = Instant::now();
        if under_way == 0 && now >= idle_at {
            return;
        }
        sleep_until(if under_way == 0 { idle_at } else { now + timeout }).await;
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
    mut activity: watch::Receiver<State>,
    wire: &Wire,
    settings: &ServerSettings,
) {
    let mut phase = drain.phase();
    if phase.wait_for(|phase| *phase >= Phase::Draining).await.is_err() {
        return;
    }
    let idle_until = Instant::now() + settings.drain_idle_seconds.min(settings.drain_seconds / 2);
    loop {
        let State {
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
