//! What the server takes only at its next start, and the restart that brings it about.
//!
//! What the pods are to be restarted for is an annotation of the template, which replaces them. It
//! stays when nothing waits any more, or they would be restarted again for its removal.

use std::collections::BTreeMap;

use kube::ResourceExt;

use crate::annotations::RESTARTED_FOR;
use crate::digest::short_digest;
use crate::observed::Observed;
use crate::patroni::pending_restart;
use crate::pods::primary;

/// What a restart is needed for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Restart {
    pub parameters: Vec<String>,
    /// Whether the pod was restarted for just these values, and it did not help.
    pub in_vain: bool,
}

/// What the primary waits to be restarted for, if anything.
#[must_use]
pub fn restart(observed: &Observed) -> Option<Restart> {
    let pod = primary(observed)?;
    let pending = pending_restart(pod);
    (!pending.is_empty()).then(|| Restart {
        in_vain: pod.annotations().get(RESTARTED_FOR) == Some(&describe(&pending)),
        parameters: pending.into_keys().collect(),
    })
}

/// What the template is to say: what waits now, or what it says already.
pub(super) fn last(observed: &Observed) -> Option<String> {
    let pending = primary(observed).map(pending_restart).unwrap_or_default();
    if pending.is_empty() {
        in_template(observed)
    } else {
        Some(describe(&pending))
    }
}

fn in_template(observed: &Observed) -> Option<String> {
    let template = observed
        .stateful_set()?
        .spec
        .as_ref()?
        .template
        .metadata
        .as_ref()?;
    template.annotations.as_ref()?.get(RESTARTED_FOR).cloned()
}

/// The names, and a digest of the values.
fn describe(pending: &BTreeMap<String, String>) -> String {
    let names: Vec<&str> = pending.keys().map(String::as_str).collect();
    let values: Vec<&[u8]> = pending.values().map(String::as_bytes).collect();
    format!("{} ({})", names.join(", "), short_digest(&values))
}
