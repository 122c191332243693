//! What a person should hear of an environment's objects that were just written.

use crate::annotations::PATRONI_INITIALIZE;
use crate::apply::Applied;
use crate::credentials::REPLICATION_ROTATION;
use crate::observed::Observed;
use crate::password::value;
use crate::patroni::Cluster;
use crate::plan::Environment;
use crate::plan::replication::Notice;

/// Of what was planned from what was observed, where all of it could be written.
pub fn written(environment: &Environment, observed: &Observed, applied: &Applied) -> Vec<Notice> {
    // What somebody changes again and again is not written each time.
    let restored = restored(environment, observed).filter(|_| applied.held_back.is_none());
    rotated(environment, observed)
        .into_iter()
        .chain(restored)
        .collect()
}

/// That the Secret has just got another password for the replication.
fn rotated(environment: &Environment, observed: &Observed) -> Option<Notice> {
    let admin = observed.admin_secret.as_ref()?;
    let before = value(Some(admin), REPLICATION_ROTATION);
    let is_new = environment.database.replication_rotation != before;
    is_new.then(|| {
        let note = "the replication has another password; the database pods read it within seconds";
        Notice::normal("ReplicationPasswordRotated", note)
    })
}

/// That what somebody changed in Patroni's settings has just been put back.
fn restored(environment: &Environment, observed: &Observed) -> Option<Notice> {
    let [config, ..] = environment.identity.patroni_state();
    let known = Cluster::of(&environment.identity, &observed.config_maps).identifier;
    let identifier = environment.database.identifier.as_ref().zip(known);
    let other = identifier.filter(|(ours, known)| *ours != known);
    let names: Vec<&str> = environment
        .database
        .settings
        .restored
        .iter()
        .map(String::as_str)
        .chain(other.map(|_| PATRONI_INITIALIZE))
        .collect();
    (!names.is_empty()).then(|| {
        let note = format!(
            "somebody changed {} in ConfigMap {config}, which the operator has put back: set parameters of the server in \
             spec.database.parameters; the rest follows from spec.database",
            names.join(", ")
        );
        Notice::warning("PatroniSettingsRestored", note)
    })
}
