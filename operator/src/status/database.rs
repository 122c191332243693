//! `DatabaseReady`: a primary takes writes, or what it is waiting for.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, PersistentVolumeClaim};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use super::availability::{self, is_bound};
use super::conditions::Said;
use super::suspension;
use crate::apply::Applied;
use crate::crd::{DatabaseStatus, Failovers, SeedStatus, StorageStatus};
use crate::identity::Component;
use crate::observed::Observed;
use crate::patroni::{Cluster, Member};
use crate::plan::replication::Replication;
use crate::plan::{Activity, Environment, Migration, Restart, Rotation, Seeding, VolumeIdentity, restart};
use crate::pods::{self, failure, is_ready, primary};
use crate::reason::Reason;

pub fn said(environment: &Environment, observed: &Observed, applied: &Applied, now: Timestamp) -> Said {
    if environment.activity == Activity::Stopped {
        return match pods::of(observed, Component::Postgres).next() {
            Some(pod) => Said::no(Reason::Stopping, format!("{} is stopping", pod.name_any())),
            None => Said::no(suspension::stopped(environment), "stopped, its volume is kept"),
        };
    }
    if environment.database.volume != VolumeIdentity::Same {
        let claim = environment.identity.claim(0);
        return Said::no(
            Reason::VolumeReplaced,
            format!(
                "claim {claim} is another volume than before: a new database is made, and seeded anew where that volume brings none"
            ),
        );
    }
    if let Some(primary) = primary(observed) {
        return Said::yes(Reason::Ready, format!("{} is the primary", primary.name_any()));
    }
    // Of several instances the one that was the primary, and before there was one the first.
    let is_there = |name: &String| pods::of(observed, Component::Postgres).any(|pod| pod.name_any() == *name);
    let leader = Cluster::of(&environment.identity, &observed.config_maps).leader;
    let name = leader
        .filter(is_there)
        .unwrap_or_else(|| environment.identity.postgres_pod(0));
    let Some(pod) = pods::of(observed, Component::Postgres).find(|pod| pod.name_any() == name) else {
        let set = applied.stateful_set.as_ref();
        return match set.and_then(|set| observed.refusals.get(&set.metadata)) {
            Some(why) => failure::refused("StatefulSet", &environment.identity.postgres(), why).into(),
            None => Said::no(Reason::Starting, format!("waiting for pod {name}")),
        };
    };
    if pod.metadata.deletion_timestamp.is_some() {
        return Said::no(Reason::Restarting, format!("{name} is stopping"));
    }
    if let Some(failure) = failure::of_containers(pod) {
        return failure.into();
    }
    let claim = format!("data-{name}");
    if applied
        .claims
        .iter()
        .any(|existing| existing.name_any() == claim && !is_bound(existing))
    {
        return Said::no(Reason::WaitingForVolume, format!("waiting for volume {claim}"));
    }
    if let Some(failure) = failure::of(pod, now) {
        return failure.into();
    }
    if let Some(waits) = failure::waits_for_node(pod) {
        return Said::no(Reason::WaitingForNode, waits);
    }
    let containers = pods::containers(pod);
    let started = |name: &str| {
        containers
            .iter()
            .any(|c: &&ContainerStatus| c.name == name && c.ready)
    };
    if !containers.iter().any(|container| pods::is_running(container)) {
        Said::no(Reason::Starting, format!("starting the containers of {name}"))
    } else if let Some(failure) = failure::of_server(pod) {
        failure.into()
    } else if !started("postgres") {
        Said::no(Reason::Starting, format!("PostgreSQL is starting in {name}"))
    } else if !started("roles") {
        Said::no(Reason::Starting, format!("setting the roles in {name}"))
    } else {
        Said::no(Reason::Starting, format!("{name} is not the primary yet"))
    }
}

/// The database as the status shows it. What was pinned once stays.
pub fn status(
    environment: &Environment,
    observed: &Observed,
    applied: &Applied,
    previous: Option<DatabaseStatus>,
    now: Timestamp,
) -> DatabaseStatus {
    let previous = previous.unwrap_or_default();
    let database = &environment.database;
    let own_image = observed.environment.spec.database.image.is_some();
    let claim = applied
        .claims
        .iter()
        .find(|claim| claim.name_any() == environment.identity.claim(0));
    let ready = pods::of(observed, Component::Postgres)
        .filter(|pod| is_ready(pod))
        .count();
    DatabaseStatus {
        primary: primary(observed).map(ResourceExt::name_any),
        instances: i32::from(database.instances.wanted),
        ready_instances: i32::try_from(ready).unwrap_or(i32::MAX),
        timeline: primary(observed).and_then(|pod| Member::of(pod).timeline),
        synchronous_standbys: (database.instances.wanted > 1)
            .then(|| i32::try_from(availability::synchronous(observed).len()).unwrap_or(i32::MAX)),
        failovers: failovers(applied, previous.failovers, now),
        version: database.version.clone().or(previous.version),
        image: Some(database.image.clone()),
        default_image: if own_image {
            previous.default_image
        } else {
            Some(database.image.clone())
        },
        storage: claim
            .map(|claim| storage(claim, applied, previous.storage.as_ref(), now))
            .or(previous.storage),
        seed: match &environment.seeding {
            Seeding::Done(seed) => Some(seed.clone()),
            // Of another claim: gone with it. Kept while the claim cannot be seen.
            Seeding::Waiting(_) => previous.seed,
            Seeding::Run { .. } | Seeding::Blocked(_) | Seeding::Failed { .. } => None,
        },
        pending_restart: restart(observed)
            .map(|restart| restart.parameters)
            .unwrap_or_default(),
        rotation: rotating(environment),
        copies: environment.readers.copies.clone(),
        schema: match &environment.migration {
            Migration::Done(schema) => Some(schema.clone()),
            Migration::Run(_) | Migration::Waiting => previous.schema,
        },
    }
}

/// One more where another instance became the primary.
fn failovers(applied: &Applied, previous: Option<Failovers>, now: Timestamp) -> Option<Failovers> {
    if applied.primary_change.is_none() {
        return previous;
    }
    let count = previous.map_or(0, |previous| previous.count);
    Some(Failovers {
        count: count.saturating_add(1),
        last: Some(Time(now)),
    })
}

/// How far a rotation of the password is.
pub fn rotating(environment: &Environment) -> Option<String> {
    match &environment.database.rotation {
        Rotation::Settled { .. } => None,
        Rotation::Preparing(next) => Some(format!("preparing the login {}", next.username)),
        Rotation::Switching(next) => Some(format!(
            "replacing the pods from before the login {}",
            next.username
        )),
    }
}

/// What is done about the instances: how the primary moves, how far a roll is.
pub fn replicating(environment: &Environment) -> Option<String> {
    let Replication { rolling, acting, .. } = &environment.replication;
    let so_far = rolling.as_ref().map(|rolling| rolling.so_far.clone());
    acting.clone().or(so_far)
}

/// That a roll stopped at a pod that will hardly run by itself.
pub fn stuck(environment: &Environment) -> Option<Said> {
    let rolling = environment.replication.rolling.as_ref()?;
    let failure = rolling.stuck.as_ref()?;
    Some(Said::no(failure.reason, format!("database: {}", rolling.so_far)))
}

/// What the server is restarted for, or was in vain.
pub fn restarting(observed: &Observed) -> Option<String> {
    let Restart { parameters, in_vain } = restart(observed)?;
    let names = parameters.join(", ");
    Some(if in_vain {
        format!("a restart did not bring {names} into force: look at the log of the container postgres")
    } else {
        format!("restarting for {names}")
    })
}

/// The claim's uid moves only once nothing of an earlier one is left.
fn storage(
    claim: &PersistentVolumeClaim,
    applied: &Applied,
    previous: Option<&StorageStatus>,
    now: Timestamp,
) -> StorageStatus {
    let known = previous.and_then(|previous| previous.claim_uid.clone());
    let replaced_at = previous.and_then(|previous| previous.replaced_at.clone());
    let spec = claim.spec.as_ref();
    let size = spec.and_then(|spec| spec.resources.as_ref()?.requests.as_ref()?.get("storage"));
    StorageStatus {
        size: size.map(|size| size.0.clone()).unwrap_or_default(),
        storage_class_name: spec.and_then(|spec| spec.storage_class_name.clone()),
        claim_uid: known.filter(|_| !applied.forgotten).or_else(|| claim.uid()),
        replaced_at: if applied.forgotten {
            Some(Time(now))
        } else {
            replaced_at
        },
    }
}

/// What was loaded, in words.
pub fn loaded(seed: &SeedStatus, storage: Option<&StorageStatus>) -> String {
    let replaced = storage.and_then(|storage| storage.replaced_at.as_ref());
    let instead = replaced
        .map(|at| {
            format!(
                "; into the volume that took the place of a lost one at {:.0}",
                at.0
            )
        })
        .unwrap_or_default();
    let what = what_was_loaded(seed);
    format!("{what}{instead}")
}

fn what_was_loaded(seed: &SeedStatus) -> String {
    match seed.source.as_str() {
        "none" => "an empty database, as no seed was named".to_owned(),
        source => format!("{source}: {} prices in {:.1} s", seed.rows, seed.seconds),
    }
}
