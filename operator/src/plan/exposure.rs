//! How the API is reached from outside of the cluster, and the address that follows.

use crate::crd::{Expose, Gateway, Ingress};
use crate::identity::Identity;

/// How the API is reached.
#[derive(Clone, Debug, PartialEq)]
pub enum Exposure {
    /// Inside the cluster alone.
    Inside,
    Gateway {
        host: String,
        gateway: Gateway,
    },
    Ingress {
        host: String,
        ingress: Ingress,
    },
}

impl Exposure {
    pub(super) fn of(spec: Option<&Expose>) -> Self {
        let Some(Expose {
            host,
            gateway,
            ingress,
        }) = spec
        else {
            return Self::Inside;
        };
        let host = host.clone();
        match (gateway, ingress) {
            (Some(gateway), _) => Self::Gateway {
                host,
                gateway: gateway.clone(),
            },
            (None, Some(ingress)) => Self::Ingress {
                host,
                ingress: ingress.clone(),
            },
            // Refused by a rule.
            (None, None) => Self::Inside,
        }
    }

    /// Where the API answers; https only where a certificate is known.
    #[must_use]
    pub fn url(&self, identity: &Identity) -> String {
        match self {
            Self::Inside => identity.url(),
            Self::Ingress { host, ingress } if ingress.tls_secret_name.is_some() => format!("https://{host}"),
            Self::Ingress { host, .. } | Self::Gateway { host, .. } => format!("http://{host}"),
        }
    }
}
