//! Replaces the token that batches come with, without a batch refused.
//!
//! A new value of an annotation on the environment asks for it. The next token is made and kept
//! beside the current one, and both digests are given to the API, whose pods are replaced: one that
//! was made after the Secret was written knows both. When no other pod is left, the next token is
//! published, which is to say that it becomes the current one; the one before is accepted for some
//! minutes more.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::ResourceExt;

use crate::annotations::{INGEST_TOKEN_ROTATION, PREVIOUS_INGEST_TOKEN_UNTIL, ROTATED_INGEST_TOKEN};
use crate::credentials::GeneratedSecrets;
use crate::digest::short_digest;
use crate::ingest_token::{IngestToken, Malformed, TOKEN};

/// The Secret's key for the token that is not published yet.
pub const NEXT: &str = "next-ingest-token";
/// The Secret's key for the digest of the token before, a line.
pub const PREVIOUS_SHA256: &str = "previous-ingest-token-sha256";

/// Says whose the tokens below it are: one name for all tokens of an environment, so that what was sent with one of them
/// is known when it is sent again with the next. The API of the release before reads over it.
const OWNER: &str = "# owner: ingest-token\n";

/// For how long the token before is accepted: whoever sends batches has to read the new one by then.
const OVERLAP: SignedDuration = SignedDuration::from_mins(10);

/// The tokens of an environment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Tokens {
    pub current: IngestToken,
    /// Accepted, and not published yet.
    pub next: Option<IngestToken>,
    pub previous: Option<Previous>,
    /// The rotation whose token is the current one.
    pub rotated: Option<String>,
}

/// The token before.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Previous {
    pub sha256_line: String,
    pub until: Timestamp,
}

/// What a rotation needs to know.
pub struct RotationInput<'a> {
    pub secret: Option<&'a Secret>,
    /// The environment's annotation.
    pub rotate: Option<&'a str>,
    pub deployment: Option<&'a Deployment>,
    /// The API's, also those that are ending.
    pub pods: Vec<&'a Pod>,
    pub now: Timestamp,
}

impl RotationInput<'_> {
    /// The tokens as they are to be.
    pub fn tokens(&self, fresh: &GeneratedSecrets) -> Result<Tokens, Malformed> {
        let current = IngestToken::take(self.secret, &fresh.ingest_token)?;
        if !self.is_there() {
            return Ok(Tokens {
                current,
                next: None,
                previous: None,
                rotated: self.rotate.map(str::to_owned),
            });
        }
        let rotated = self.annotation(ROTATED_INGEST_TOKEN).map(str::to_owned);
        let Some(rotation) = self.under_way() else {
            return Ok(Tokens {
                current,
                next: None,
                previous: self.previous(),
                rotated,
            });
        };
        let kept = self.value(NEXT).and_then(|value| IngestToken::parse(value).ok());
        match kept {
            Some(next) if self.every_pod_is_of(rotation) => Ok(Tokens {
                previous: Some(Previous {
                    sha256_line: current.sha256_line(),
                    until: self.now.saturating_add(OVERLAP).unwrap_or(self.now),
                }),
                current: next,
                next: None,
                rotated: Some(rotation.to_owned()),
            }),
            kept => Ok(Tokens {
                current,
                next: Some(kept.unwrap_or_else(|| fresh.ingest_token.clone())),
                previous: self.previous(),
                rotated,
            }),
        }
    }

    /// What the API's pods are marked with: none until a token was rotated.
    #[must_use]
    pub fn mark(&self) -> Option<String> {
        let rotation = self.under_way().or_else(|| self.annotation(ROTATED_INGEST_TOKEN));
        rotation.map(mark)
    }

    /// The rotation that is asked for and not done. A token that is made anew is new to everybody.
    fn under_way(&self) -> Option<&str> {
        self.rotate
            .filter(|rotate| self.is_there() && self.annotation(ROTATED_INGEST_TOKEN) != Some(rotate))
    }

    /// Whether no pod is left, nor will be made, that started before the next token was written down.
    fn every_pod_is_of(&self, rotation: &str) -> bool {
        let mark = mark(rotation);
        let template = self.deployment.map(|deployment| {
            let spec = deployment.spec.as_ref();
            let metadata = spec.and_then(|spec| spec.template.metadata.as_ref());
            metadata.and_then(|metadata| metadata.annotations.as_ref()?.get(INGEST_TOKEN_ROTATION))
                == Some(&mark)
        });
        template.unwrap_or(true)
            && self
                .pods
                .iter()
                .all(|pod| pod.annotations().get(INGEST_TOKEN_ROTATION) == Some(&mark))
    }

    fn previous(&self) -> Option<Previous> {
        let until: Timestamp = self.annotation(PREVIOUS_INGEST_TOKEN_UNTIL)?.parse().ok()?;
        let line = std::str::from_utf8(self.value(PREVIOUS_SHA256)?).ok()?;
        (until > self.now).then(|| Previous {
            sha256_line: line.to_owned(),
            until,
        })
    }

    fn is_there(&self) -> bool {
        self.value(TOKEN).is_some_and(|value| !value.is_empty())
    }

    fn value(&self, key: &str) -> Option<&[u8]> {
        Some(&self.secret?.data.as_ref()?.get(key)?.0)
    }

    fn annotation(&self, key: &str) -> Option<&str> {
        self.secret?.annotations().get(key).map(String::as_str)
    }
}

impl Tokens {
    /// The digests of all that are accepted, a line each, below their owner.
    #[must_use]
    pub fn sha256_lines(&self) -> String {
        let next = self.next.iter().map(IngestToken::sha256_line);
        let previous = self.previous.iter().map(|previous| previous.sha256_line.clone());
        [OWNER.to_owned(), self.current.sha256_line()]
            .into_iter()
            .chain(next)
            .chain(previous)
            .collect()
    }
}

/// A short word for a rotation, which may be named by any text.
fn mark(rotation: &str) -> String {
    short_digest(&[rotation.as_bytes()])
}
