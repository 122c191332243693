//! What an environment may copy of another one, and whom it lets copy its own data.

use serde::Serialize;

use super::blocked::Blocked;
use crate::copies::{CopyLogin, EnvironmentName, Reader, Source, shared_with};
use crate::crd::{CopyStatus, Mask, Phase, RatesEnvironment};
use crate::digest::short_digest;
use crate::identity::Identity;
use crate::observed::Observed;
use crate::password::Password;
use crate::reason::Reason;

/// How many copies the status names.
const NAMED: usize = 100;
/// As many prices are copied within half a minute.
const SMALL_ROWS: i64 = 5_000_000;

/// What a source lets an environment copy.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Terms {
    /// Tells the data and their masks from others.
    pub digest: String,
    /// Why the copy cannot begin yet.
    pub not_ready: Option<Blocked>,
}

/// What the source that a seed names lets this environment copy, or why nothing.
pub(super) fn terms(observed: &Observed, name: &EnvironmentName) -> Result<Terms, Blocked> {
    let own = &observed.identity;
    let blocked = |reason, message| Err(Blocked::new(reason, message));
    if (&own.namespace, &own.name) == (&name.namespace, &name.name) {
        return blocked(
            Reason::SourceIsItself,
            "spec.database.seed.environment names this environment itself: name another one".to_owned(),
        );
    }
    let source = match &observed.source {
        Source::Found(source) => source,
        Source::NotServed => {
            return blocked(
                Reason::SourceNotServed,
                format!(
                    "this operator does not serve namespace {}, so it cannot copy {name}: have one operator serve both namespaces, or copy an environment of a namespace that it serves",
                    name.namespace
                ),
            );
        }
        Source::Circle(chain) => {
            return blocked(
                Reason::SourceCircle,
                format!(
                    "each of these copies the next one, so that none gets data: {}; give one of them another seed",
                    chain.join(", ")
                ),
            );
        }
        Source::Missing | Source::NotNeeded => {
            return blocked(
                Reason::SourceMissing,
                format!(
                    "there is no RatesEnvironment {} in namespace {}: create it, or correct spec.database.seed.environment",
                    name.name, name.namespace
                ),
            );
        }
    };
    if source.metadata.deletion_timestamp.is_some() {
        return blocked(
            Reason::SourceMissing,
            format!(
                "RatesEnvironment {name} is being deleted: name another one in spec.database.seed.environment"
            ),
        );
    }
    let Some(sharing) = shared_with(&source.spec.sharing, &own.namespace) else {
        return blocked(
            Reason::NotShared,
            format!(
                "RatesEnvironment {name} does not share its data with namespace {}: have its spec.sharing name that namespace, as in sharing: [{{namespaces: [{}]}}]",
                own.namespace, own.namespace
            ),
        );
    };
    let uid = source.metadata.uid.clone().unwrap_or_default();
    let terms = serde_json::to_string(&(sharing.sample, &sharing.mask)).unwrap_or_default();
    let status = source.status.as_ref();
    let schema = status.and_then(|status| status.database.as_ref()?.schema.as_ref()?.version);
    let schema = schema.unwrap_or_default().to_string();
    Ok(Terms {
        digest: short_digest(&[&uid, &terms, &schema].map(String::as_bytes)),
        not_ready: not_ready(name, source).map(|message| Blocked::new(Reason::SourceNotReady, message)),
    })
}

/// What a copy of the source waits for.
fn not_ready(name: &EnvironmentName, source: &RatesEnvironment) -> Option<String> {
    let status = source.status.as_ref();
    let database = status.and_then(|status| status.database.as_ref());
    let phase = status.and_then(|status| status.phase);
    let EnvironmentName { namespace, name: of } = name;
    if source.spec.suspend || phase == Some(Phase::Suspended) {
        Some(format!(
            "waiting for {name}, which is suspended: kubectl patch renv/{of} -n {namespace} --type=merge -p '{{\"spec\": {{\"suspend\": false}}}}'"
        ))
    } else if phase == Some(Phase::Asleep) {
        Some(format!(
            "waiting for {name}, which sleeps, and is woken by no copy: kubectl renv wake {of} -n {namespace}"
        ))
    } else if database.is_none_or(|database| database.seed.is_none()) {
        Some(format!(
            "waiting for {name}, whose own data are not loaded yet: kubectl describe renv/{of} -n {namespace} says how far they are"
        ))
    } else if database.is_none_or(|database| database.primary.is_none()) {
        Some(format!(
            "waiting for {name}, whose database has no primary: kubectl describe renv/{of} -n {namespace} says why"
        ))
    } else {
        None
    }
}

/// Whether a copy of the source is made within seconds.
pub(super) fn is_small(observed: &Observed) -> bool {
    let Source::Found(source) = &observed.source else {
        return false;
    };
    let database = source.status.as_ref().and_then(|status| status.database.as_ref());
    let seed = database.and_then(|database| database.seed.as_ref());
    seed.is_some_and(|seed| seed.rows <= SMALL_ROWS)
}

/// A copy that is being made: of what, and with which login.
#[derive(Clone, Debug)]
pub struct Copy {
    pub source: EnvironmentName,
    pub login: CopyLogin,
}

/// The copy that an environment may make. The source's database makes the login while this one comes up.
pub(super) fn copy(observed: &Observed, fresh: &Password) -> Option<Copy> {
    if matches!(observed.source, Source::NotNeeded) {
        return None;
    }
    let source = EnvironmentName::copied_by(&observed.environment)?;
    terms(observed, &source).ok()?;
    let login = CopyLogin::take(observed.copy_secret.as_ref(), &observed.identity.uid, fresh);
    Some(Copy { source, login })
}

/// Whom a source lets copy its data now, and who has a copy.
#[derive(Clone, Debug, Default)]
pub struct Readers {
    pub admitted: Vec<AdmittedReader>,
    pub copies: Vec<CopyStatus>,
}

/// A reader that the source's database lets in.
#[derive(Clone, Debug)]
pub struct AdmittedReader {
    pub identity: Identity,
    username: String,
    verifier: Password,
    sample: Option<i32>,
    mask: Option<Mask>,
}

/// A reader as the role manager is told of it.
#[derive(Serialize)]
struct Entry<'a> {
    username: &'a str,
    verifier: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sample: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mask: Option<&'a Mask>,
}

impl Readers {
    /// `is_seeded`: there is something to copy.
    pub(super) fn plan(observed: &Observed, is_seeded: bool) -> Self {
        let sharing = &observed.environment.spec.sharing;
        let mut readers = Self::default();
        for reader in &observed.readers {
            let Reader {
                identity,
                username,
                verifier,
                is_complete,
            } = reader;
            let terms = shared_with(sharing, &identity.namespace);
            let admitted = terms.zip(verifier.clone()).filter(|_| is_seeded && !is_complete);
            if (*is_complete || admitted.is_some()) && readers.copies.len() < NAMED {
                readers.copies.push(CopyStatus {
                    environment: format!("{}/{}", identity.namespace, identity.name),
                    complete: *is_complete,
                    shared: terms.is_some(),
                });
            }
            readers
                .admitted
                .extend(admitted.map(|(terms, verifier)| AdmittedReader {
                    identity: identity.clone(),
                    username: username.clone(),
                    verifier,
                    sample: terms.sample,
                    mask: terms.mask.clone(),
                }));
        }
        readers
            .admitted
            .sort_by(|one, other| one.username.cmp(&other.username));
        readers
    }

    /// What the role manager reads; none where nobody is let in.
    #[must_use]
    pub fn entries(&self) -> Option<String> {
        let entry = |reader: &AdmittedReader| {
            serde_json::to_string(&Entry {
                username: &reader.username,
                verifier: reader.verifier.reveal(),
                sample: reader.sample,
                mask: reader.mask.as_ref(),
            })
        };
        let entries: Vec<String> = self
            .admitted
            .iter()
            .filter_map(|reader| entry(reader).ok())
            .collect();
        (!entries.is_empty()).then(|| format!("[{}]", entries.join(",")))
    }
}
