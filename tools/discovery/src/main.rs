//! Kubernetes' pods and nodes as targets of Prometheus, over HTTP service discovery, for a Prometheus that was built
//! without discovery of its own for Kubernetes, as Debian's is. It lists what there is for each question, and keeps nothing.
//!
//! The labels are those of Prometheus' own discovery (`__meta_kubernetes_…`), as far as the local cluster's scrape
//! configuration uses them, so that its relabelings are those of any cluster.

mod targets;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use clap::Parser;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::ListParams;
use kube::{Api, Client, Config};
use serde::Deserialize;

use self::targets::Group;

/// Answers /pods?labels=SELECTOR and /nodes in the form of Prometheus' HTTP service discovery.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:9099")]
    listen: SocketAddr,
}

/// Prometheus gives up its question after the interval between two of them.
const PATIENCE: Duration = Duration::from_secs(4);

#[derive(Deserialize)]
struct Selection {
    /// As in `kubectl get pods --selector`.
    #[serde(default)]
    labels: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mut config = Config::infer()
        .await
        .context("neither a kubeconfig nor a pod's token says where the API server is")?;
    config.connect_timeout = Some(PATIENCE);
    config.read_timeout = Some(PATIENCE);
    let router = Router::new()
        .route("/pods", get(pods))
        .route("/nodes", get(nodes))
        .with_state(Client::try_from(config).context("cannot make a client of the Kubernetes API")?);
    let listener = tokio::net::TcpListener::bind(arguments.listen)
        .await
        .with_context(|| format!("cannot listen on {}", arguments.listen))?;
    axum::serve(listener, router).await.context("cannot serve")
}

type Answer = Result<Json<Vec<Group>>, (StatusCode, String)>;

async fn pods(State(client): State<Client>, Query(selection): Query<Selection>) -> Answer {
    let listed = Api::<Pod>::all(client)
        .list(&ListParams::default().labels(&selection.labels))
        .await
        .map_err(refused)?;
    Ok(Json(listed.items.iter().flat_map(targets::of_pod).collect()))
}

async fn nodes(State(client): State<Client>) -> Answer {
    let listed = Api::<Node>::all(client)
        .list(&ListParams::default())
        .await
        .map_err(refused)?;
    Ok(Json(listed.items.iter().filter_map(targets::of_node).collect()))
}

/// Prometheus goes on with the targets that it knows, and logs this.
#[expect(clippy::needless_pass_by_value, reason = "as map_err gives it")]
fn refused(error: kube::Error) -> (StatusCode, String) {
    (StatusCode::BAD_GATEWAY, format!("cannot list: {error}"))
}
