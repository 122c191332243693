//! The Jobs: loading and publishing the data, and migrating the tables. Their pods have no
//! token; each Job is one attempt, and the operator decides about the next.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, Container, EmptyDirVolumeSource, KeyToPath, PersistentVolumeClaimVolumeSource,
    PodSpec, PodTemplateSpec, SecurityContext, Volume,
};

use super::children::JobChild;
use super::pod;
use crate::annotations::{ATTEMPT, LAST_FAILURE, REFUSED};
use crate::copies::URI;
use crate::identity::Component;
use crate::plan::{Environment, JobRun, Migration, Release, SeedSource, Seeding};
use crate::pods::job_outcome::{DUMP, LOAD, MIGRATE, PUBLISH};

/// Where the login is that copies another environment's data.
const COPY_PATH: &str = "/etc/rates/copy";
/// What the load keeps locked until it ends, where publishing waits for that.
const STEPS: &str = "steps";
const END_OF_LOAD: &str = "/steps/load";
const URI_FILE: (&str, &str) = ("RATES_DATABASE_URI_FILE", "/etc/rates/app/uri");

/// The Job that loads the data; it also says what an existing database holds.
///
/// Publishing is started together with the load and waits for it: between two containers that follow each other the kubelet
/// takes up to a second. Where that failed they follow each other, as an image of an earlier release may know no other way.
pub fn seed(environment: &Environment) -> Option<JobChild> {
    let Seeding::Run { source, run } = &environment.seeding else {
        return None;
    };
    let identity = &environment.identity;
    // Of what is kept, publishing says what is there, and fails where nothing is.
    let loads = *source != SeedSource::Kept;
    let together = loads && run.attempt == 1 && environment.database.release == Release::Operators;
    let load = loads.then(|| load(environment, source, together));
    let publish = publish(environment, together);
    let dump = matches!(source, SeedSource::Bundled).then(|| dump(environment));
    let (first, then): (Vec<_>, Vec<_>) = if together {
        (
            dump.into_iter().collect(),
            load.into_iter().chain([publish]).collect(),
        )
    } else {
        (dump.into_iter().chain(load).collect(), vec![publish])
    };
    let mut volumes = vec![
        pod::secret("app", login(environment)),
        pod::empty_dir("seed", EmptyDirVolumeSource::default()),
        pod::empty_dir("scratch", EmptyDirVolumeSource::default()),
    ];
    volumes.extend(together.then(|| pod::empty_dir(STEPS, EmptyDirVolumeSource::default())));
    volumes.extend(source_volume(environment, source));
    let pod_spec = PodSpec {
        service_account_name: Some(identity.jobs()),
        init_containers: Some(first).filter(|first: &Vec<Container>| !first.is_empty()),
        containers: then,
        volumes: Some(volumes),
        termination_grace_period_seconds: Some(5),
        restart_policy: Some("Never".to_owned()),
        ..pod::spec(&environment.scheduling, pod::API_USER)
    };
    Some(child(
        environment,
        identity.seed_job(&run.hash),
        Component::Seed,
        pod_spec,
        run,
    ))
}

/// The Job that brings the tables to the version of the API image that is to run.
pub fn migrate(environment: &Environment) -> Option<JobChild> {
    let Migration::Run(run) = &environment.migration else {
        return None;
    };
    let identity = &environment.identity;
    let migrate = Container {
        args: Some(vec!["migrate".to_owned()]),
        env: Some(vec![pod::variable(URI_FILE.0, URI_FILE.1)]),
        volume_mounts: Some(vec![pod::read_only(pod::mount("app", pod::APP_SECRET_PATH))]),
        ..pod::container(MIGRATE, &environment.api.image, &environment.jobs.others)
    };
    let pod_spec = PodSpec {
        service_account_name: Some(identity.jobs()),
        containers: vec![migrate],
        volumes: Some(vec![pod::secret("app", login(environment))]),
        termination_grace_period_seconds: Some(10),
        restart_policy: Some("Never".to_owned()),
        ..pod::spec(&environment.scheduling, pod::API_USER)
    };
    Some(child(
        environment,
        identity.migrate_job(&run.hash),
        Component::Migrate,
        pod_spec,
        run,
    ))
}

/// The Secret of the login that the Jobs use.
fn login(environment: &Environment) -> String {
    if environment.database.knows_migrator {
        environment.identity.postgres_migrator()
    } else {
        environment.identity.postgres()
    }
}

fn child(
    environment: &Environment,
    name: String,
    component: Component,
    pod_spec: PodSpec,
    run: &JobRun,
) -> JobChild {
    let identity = &environment.identity;
    let mut metadata = identity.metadata(name, component);
    let attempt = (ATTEMPT.to_owned(), run.attempt.to_string());
    let failure = run
        .failure
        .clone()
        .map(|message| (LAST_FAILURE.to_owned(), message));
    let refused = run.refused.then(|| (REFUSED.to_owned(), "true".to_owned()));
    metadata.annotations = Some([attempt].into_iter().chain(failure).chain(refused).collect());
    JobChild {
        job: Job {
            metadata,
            spec: Some(JobSpec {
                backoff_limit: Some(0),
                template: PodTemplateSpec {
                    metadata: Some(pod::metadata(
                        environment,
                        component,
                        &environment.jobs.metadata,
                        BTreeMap::new(),
                    )),
                    spec: Some(pod_spec),
                },
                ..JobSpec::default()
            }),
            ..Job::default()
        },
        replaces: run.replaces.clone(),
        due: run.not_before.is_none(),
    }
}

/// Writes the dump that is in the API image.
fn dump(environment: &Environment) -> Container {
    Container {
        args: Some(["dump", "--output", "/seed/dump.sql"].map(str::to_owned).into()),
        volume_mounts: Some(vec![pod::mount("seed", "/seed")]),
        ..pod::container(DUMP, &environment.api.image, &environment.jobs.others)
    }
}

/// Loads the dump into a database of this attempt's own.
fn load(environment: &Environment, source: &SeedSource, is_waited_for: bool) -> Container {
    let mut env = vec![
        pod::variable(URI_FILE.0, URI_FILE.1),
        pod::field("POD_UID", "metadata.uid"),
        pod::variable("SEED_SOURCE", &source.describe()),
    ];
    let mut mounts = vec![
        pod::read_only(pod::mount("app", pod::APP_SECRET_PATH)),
        pod::sub_path(pod::mount("scratch", "/tmp"), "tmp"),
    ];
    if is_waited_for {
        env.push(pod::variable("SEED_END_FILE", END_OF_LOAD));
        mounts.push(pod::mount(STEPS, "/steps"));
    }
    match source {
        SeedSource::Nothing | SeedSource::Kept => {}
        SeedSource::Bundled => {
            env.push(pod::variable("SEED_FILE", "/seed/dump.sql"));
            mounts.push(pod::read_only(pod::mount("seed", "/seed")));
        }
        SeedSource::ConfigMap { .. } => {
            env.push(pod::variable("SEED_FILE", "/seed-source/dump"));
            mounts.push(pod::read_only(pod::mount("seed-source", "/seed-source")));
        }
        SeedSource::Claim { path, .. } => {
            env.push(pod::variable("SEED_FILE", &format!("/seed-source/{path}")));
            env.push(pod::variable("SEED_ROOT", "/seed-source"));
            mounts.push(pod::read_only(pod::mount("seed-source", "/seed-source")));
        }
        SeedSource::Environment { .. } => {
            env.push(pod::variable("SEED_COPY_URI_FILE", &format!("{COPY_PATH}/{URI}")));
            mounts.push(pod::read_only(pod::mount("seed-source", COPY_PATH)));
        }
        // Fetched by the same program, which executes nothing before it has the checksum.
        SeedSource::Url { url, sha256 } => {
            let most = environment.database.size.bytes().to_string();
            env.push(pod::variable("SEED_FILE", "/seed/dump"));
            env.push(pod::variable("SEED_URL", url));
            env.push(pod::variable("SEED_SHA256", sha256));
            env.push(pod::variable("SEED_MOST_BYTES", &most));
            mounts.push(pod::mount("seed", "/seed"));
        }
    }
    let container = pod::container(LOAD, &environment.database.image, &environment.jobs.load);
    Container {
        command: Some(vec!["/usr/local/bin/rates-seed-load".to_owned()]),
        env: Some(env),
        volume_mounts: Some(mounts),
        // The user that this image knows.
        security_context: container.security_context.map(|context| SecurityContext {
            run_as_user: Some(pod::POSTGRES_USER),
            run_as_group: Some(pod::POSTGRES_USER),
            ..context
        }),
        ..container
    }
}

/// Migrates what was loaded and gives it the name that the API serves.
fn publish(environment: &Environment, waits: bool) -> Container {
    let mut args = vec!["publish", "--attempt", "$(POD_UID)"];
    let mut mounts = vec![pod::read_only(pod::mount("app", pod::APP_SECRET_PATH))];
    if waits {
        args.extend(["--after", END_OF_LOAD]);
        mounts.push(pod::read_only(pod::mount(STEPS, "/steps")));
    }
    Container {
        args: Some(args.into_iter().map(str::to_owned).collect()),
        env: Some(vec![
            pod::variable(URI_FILE.0, URI_FILE.1),
            pod::field("POD_UID", "metadata.uid"),
        ]),
        volume_mounts: Some(mounts),
        ..pod::container(PUBLISH, &environment.api.image, &environment.jobs.others)
    }
}

fn source_volume(environment: &Environment, source: &SeedSource) -> Option<Volume> {
    let volume = Volume {
        name: "seed-source".to_owned(),
        ..Volume::default()
    };
    match source {
        SeedSource::ConfigMap { name, key } => Some(Volume {
            config_map: Some(ConfigMapVolumeSource {
                name: name.clone(),
                items: Some(vec![KeyToPath {
                    key: key.clone(),
                    path: "dump".to_owned(),
                    mode: None,
                }]),
                ..ConfigMapVolumeSource::default()
            }),
            ..volume
        }),
        SeedSource::Claim { claim, .. } => Some(Volume {
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                claim_name: claim.clone(),
                read_only: Some(true),
            }),
            ..volume
        }),
        SeedSource::Environment { .. } => {
            Some(pod::secret_key("seed-source", environment.identity.copy(), URI))
        }
        SeedSource::Nothing | SeedSource::Bundled | SeedSource::Url { .. } | SeedSource::Kept => None,
    }
}
