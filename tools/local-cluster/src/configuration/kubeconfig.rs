//! How a client finds the API server and proves who it is.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::certificates::Certificate;

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Kubeconfig {
    #[serde(rename = "apiVersion")]
    api_version: &'static str,
    kind: &'static str,
    current_context: String,
    clusters: Vec<Named<ClusterEntry>>,
    users: Vec<Named<UserEntry>>,
    contexts: Vec<Named<ContextEntry>>,
}

#[derive(Debug, Serialize)]
struct Named<T> {
    name: String,
    #[serde(flatten)]
    entry: T,
}

#[derive(Debug, Serialize)]
struct ClusterEntry {
    cluster: Cluster,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Cluster {
    server: String,
    certificate_authority_data: String,
}

#[derive(Debug, Serialize)]
struct UserEntry {
    user: User,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct User {
    client_certificate_data: String,
    client_key_data: String,
}

#[derive(Debug, Serialize)]
struct ContextEntry {
    context: Context,
}

#[derive(Debug, Serialize)]
struct Context {
    cluster: String,
    user: String,
}

impl Kubeconfig {
    /// One context, named `rates-CLUSTER`, for one user.
    pub fn new(cluster: &str, server: String, authority: &str, user: &Certificate) -> Self {
        let name = format!("rates-{cluster}");
        Self {
            api_version: "v1",
            kind: "Config",
            current_context: name.clone(),
            clusters: vec![Named {
                name: name.clone(),
                entry: ClusterEntry {
                    cluster: Cluster {
                        server,
                        certificate_authority_data: STANDARD.encode(authority),
                    },
                },
            }],
            users: vec![Named {
                name: name.clone(),
                entry: UserEntry {
                    user: User {
                        client_certificate_data: STANDARD.encode(&user.certificate),
                        client_key_data: STANDARD.encode(&user.key),
                    },
                },
            }],
            contexts: vec![Named {
                name: name.clone(),
                entry: ContextEntry {
                    context: Context {
                        cluster: name.clone(),
                        user: name,
                    },
                },
            }],
        }
    }
}
