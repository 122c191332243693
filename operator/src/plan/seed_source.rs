//! Where a new database's data come from.

use super::blocked::Blocked;
use super::copies;
use crate::copies::EnvironmentName;
use crate::crd::Seed;
use crate::digest::short_digest;
use crate::observed::{Dump, Observed};
use crate::reason::Reason;

/// Where a new database's data come from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SeedSource {
    Nothing,
    Bundled,
    ConfigMap {
        name: String,
        key: String,
    },
    Url {
        url: String,
        sha256: String,
    },
    Claim {
        claim: String,
        path: String,
    },
    Environment {
        source: EnvironmentName,
        is_small: bool,
    },
    /// A volume that an environment before this one kept: it is looked at, and nothing is loaded.
    Kept,
}

impl SeedSource {
    pub(super) fn of(observed: &Observed) -> Self {
        if let Some(source) = EnvironmentName::copied_by(&observed.environment) {
            let is_small = copies::is_small(observed);
            return Self::Environment { source, is_small };
        }
        match &observed.environment.spec.database.seed {
            Some(Seed {
                config_map: Some(source),
                ..
            }) => Self::ConfigMap {
                name: source.name.clone(),
                key: source.key.clone(),
            },
            Some(Seed {
                url: Some(source), ..
            }) => Self::Url {
                url: source.url.clone(),
                sha256: source.sha256.clone(),
            },
            Some(Seed {
                persistent_volume_claim: Some(source),
                ..
            }) => Self::Claim {
                claim: source.claim_name.clone(),
                path: source.path.clone(),
            },
            Some(Seed { bundled: Some(_), .. }) => Self::Bundled,
            Some(_) | None => Self::Nothing,
        }
    }

    /// Whether it is loaded within seconds: the project's own dump, and what fits into a `ConfigMap`.
    #[must_use]
    pub const fn is_small(&self) -> bool {
        match self {
            Self::Nothing | Self::Bundled | Self::ConfigMap { .. } => true,
            Self::Url { .. } | Self::Claim { .. } | Self::Kept => false,
            Self::Environment { is_small, .. } => *is_small,
        }
    }

    /// As the marker in the database and the status name it.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Nothing => "none".to_owned(),
            Self::Bundled => "bundled".to_owned(),
            Self::ConfigMap { name, key } => format!("configMap:{name}/{key}"),
            // A query may hold a signature.
            Self::Url { url, .. } => {
                format!("url:{}", url.split(['?', '#']).next().unwrap_or_default())
            }
            Self::Claim { claim, path } => format!("persistentVolumeClaim:{claim}/{path}"),
            Self::Environment { source, .. } => format!("environment:{source}"),
            Self::Kept => "kept".to_owned(),
        }
    }

    /// What tells the dump from others of the same description; an error names what a person has to bring.
    pub(super) fn digest(&self, observed: &Observed) -> Result<String, Blocked> {
        if let Self::Environment { source, .. } = self {
            return Ok(copies::terms(observed, source)?.digest);
        }
        self.digest_of_dump(observed)
            .map_err(|message| Blocked::new(Reason::SourceMissing, message))
    }

    /// What a copy of an environment waits for before it can begin.
    pub(super) fn not_ready(&self, observed: &Observed) -> Option<Blocked> {
        let Self::Environment { source, .. } = self else {
            return None;
        };
        copies::terms(observed, source).ok()?.not_ready
    }

    fn digest_of_dump(&self, observed: &Observed) -> Result<String, String> {
        if let Dump::NotPermitted(words) = &observed.dump {
            return Err(format!("the operator may not read what the seed names: {words}"));
        }
        let (name, key) = match self {
            Self::Nothing | Self::Bundled | Self::Environment { .. } | Self::Kept => return Ok(String::new()),
            Self::Url { url, sha256 } => return Ok(short_digest(&[url, sha256].map(String::as_bytes))),
            Self::Claim { claim, .. } => {
                return match &observed.dump {
                    Dump::Found { digest } => Ok(digest.clone()),
                    _ => Err(format!(
                        "there is no PersistentVolumeClaim {claim} in namespace {}: create it, or correct spec.database.seed.persistentVolumeClaim.claimName",
                        observed.identity.namespace
                    )),
                };
            }
            Self::ConfigMap { name, key } => (name, key),
        };
        match &observed.dump {
            Dump::Found { digest } => Ok(digest.clone()),
            Dump::NoKey(keys) => {
                let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
                Err(format!(
                    "ConfigMap {name} has no key {key:?}, but: {}; correct spec.database.seed.configMap.key or the ConfigMap",
                    if keys.is_empty() {
                        "none at all".to_owned()
                    } else {
                        keys.join(", ")
                    }
                ))
            }
            Dump::NoConfigMap | Dump::NoClaim | Dump::NotNeeded | Dump::NotPermitted(_) => Err(format!(
                "there is no ConfigMap {name} in namespace {}: create it, or correct spec.database.seed.configMap.name",
                observed.identity.namespace
            )),
        }
    }
}
