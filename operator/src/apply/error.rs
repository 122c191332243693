//! Why something could not be applied.

use crate::cache::Cached;
use crate::reason::Reason;

/// Why something could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "{kind} {name} exists already and is not of this environment: delete or rename it, or give the environment another name"
    )]
    NameTaken { kind: String, name: String },
    #[error("{kind} {name} is being deleted; it is made anew when it is gone")]
    Leaving { kind: String, name: String },
    #[error("the API server refuses {kind} {name}: {message}")]
    Refused {
        kind: String,
        name: String,
        message: String,
    },
    #[error(
        "the cluster has no HTTPRoute of gateway.networking.k8s.io/v1: install the Gateway API, or set spec.expose.ingress in place of spec.expose.gateway"
    )]
    NoGatewayApi,
    #[error(
        "the cluster has no PodMonitor of monitoring.coreos.com/v1: install the Prometheus operator, or set spec.monitoring.podMonitor: false"
    )]
    NoPodMonitors,
    #[error(
        "the operator may not list {0}, and goes on without them: give it the rules of its version, in manifests/role or the chart"
    )]
    NotPermitted(String),
    #[error("the namespace is being deleted")]
    NamespaceEnding,
    #[error("the environment is gone")]
    Gone,
    #[error("cannot write {kind} {name}")]
    Write {
        kind: String,
        name: String,
        source: kube::Error,
    },
    #[error("cannot serialise {kind} {name}")]
    Serialise {
        kind: String,
        name: String,
        source: serde_json::Error,
    },
}

impl Error {
    /// The reason for a condition; `None` for what only concerns the operator and is tried again.
    #[must_use]
    pub const fn reason(&self) -> Option<Reason> {
        match self {
            Self::NameTaken { .. } => Some(Reason::NameTaken),
            Self::Leaving { .. } => Some(Reason::WaitingForDeletion),
            Self::Refused { .. } => Some(Reason::Refused),
            Self::NoGatewayApi => Some(Reason::GatewayApiMissing),
            Self::NoPodMonitors => Some(Reason::PodMonitorMissing),
            Self::NotPermitted(_) => Some(Reason::NotPermitted),
            Self::NamespaceEnding | Self::Gone | Self::Write { .. } | Self::Serialise { .. } => None,
        }
    }
}

/// What the API server said to a write.
pub(super) fn write_error<K: Cached>(name: &str, source: kube::Error) -> Error {
    let (kind, name) = (K::kind(&()).into_owned(), name.to_owned());
    match &source {
        kube::Error::Api(status)
            if status.message.contains("because it is being terminated")
                || (status.code == 404 && status.message.starts_with("namespaces ")) =>
        {
            Error::NamespaceEnding
        }
        kube::Error::Api(status) if matches!(status.code, 400 | 403 | 422) => Error::Refused {
            kind,
            name,
            message: status.message.clone(),
        },
        _ => Error::Write { kind, name, source },
    }
}
