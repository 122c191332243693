//! `kubectl renv create`: an environment from a few flags.

use anyhow::{Context as _, Result, ensure};
use clap::{Args, ValueEnum};
use kube::api::{DynamicObject, PostParams};
use serde::Serialize;
use serde_json::{Value, json};

use crate::canvas;
use crate::cluster::{Cluster, MANAGER, kind};
use crate::environment::Environment;
use crate::flags::{Format, Target, Wait};
use crate::ready::wait_ready;

#[derive(Args, Clone, Debug)]
#[command(after_help = SEEDS)]
pub struct Create {
    /// The environment's name
    pub name: String,

    #[command(flatten)]
    pub target: Target,

    #[command(flatten)]
    pub specification: Specification,

    #[command(flatten)]
    pub wait: Wait,

    /// Make nothing; client: do not ask the server either, except for the source of --from
    #[arg(long, value_enum, value_name = "WHERE")]
    pub dry_run: Option<DryRun>,

    /// Print the object instead of a sentence
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Format,
}

/// What of an environment flags say.
#[derive(Args, Clone, Debug, Default)]
pub struct Specification {
    /// The defaults of everything else; by default Preview
    #[arg(long, value_enum, ignore_case = true)]
    pub profile: Option<Profile>,

    /// The API's image; by default the operator's
    #[arg(long)]
    pub image: Option<String>,

    /// The data: bundled, none, configmap:NAME/KEY or claim:NAME/PATH
    #[arg(long, value_parser = seed, conflicts_with = "from")]
    pub seed: Option<Seed>,

    /// Copy the data of a running environment, which has to share them; of the same PostgreSQL and volume size
    #[arg(long, value_name = "ENVIRONMENT[/NAMESPACE]")]
    pub from: Option<String>,

    /// PostgreSQL's version, such as 17; by default that of --from, else the operator's
    #[arg(long, value_name = "VERSION")]
    pub postgres: Option<String>,

    /// How many database instances, 1 to 3; by default the profile's
    #[arg(long)]
    pub instances: Option<u8>,

    /// After how long it is deleted, such as 72h
    #[arg(long, value_parser = checked_duration)]
    pub ttl: Option<String>,

    /// After how long without a request it sleeps, such as 2h
    #[arg(long, value_parser = checked_duration)]
    pub sleep_after: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[value(rename_all = "PascalCase")]
pub enum Profile {
    Preview,
    Staging,
    Production,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DryRun {
    Client,
    Server,
}

/// `spec.database.seed`; `None` is an empty database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seed(pub Option<Value>);

const SEEDS: &str = "\
Examples:
  kubectl renv create pr-42 --seed bundled --ttl 72h --sleep-after 2h --wait
  kubectl renv create pr-42 --from staging/rates --image registry.example/rates-api:pr-42
  kubectl renv create pr-42 --seed configmap:my-dump/dump.sql.gz --dry-run=client -o yaml

Without --seed and --from the database is empty. A seed by URL needs a checksum and is written in a manifest.";

fn seed(text: &str) -> Result<Seed, String> {
    let pair = |rest: &str| {
        let (name, rest) = rest.split_once('/')?;
        (!name.is_empty() && !rest.is_empty()).then(|| (name.to_owned(), rest.to_owned()))
    };
    let found = match text.split_once(':') {
        None if text == "bundled" => return Ok(Seed(Some(json!({"bundled": {}})))),
        None if text == "none" => return Ok(Seed(None)),
        Some(("configmap", rest)) => {
            pair(rest).map(|(name, key)| json!({"configMap": {"name": name, "key": key}}))
        }
        Some(("claim", rest)) => {
            pair(rest).map(|(name, path)| json!({"persistentVolumeClaim": {"claimName": name, "path": path}}))
        }
        _ => None,
    };
    found.map(|seed| Seed(Some(seed))).ok_or_else(|| {
        format!("{text:?} is no seed: write bundled, none, configmap:NAME/KEY or claim:NAME/PATH; --from copies an environment")
    })
}

fn checked_duration(text: &str) -> Result<String, String> {
    crate::duration::parse(text).map(|_| text.to_owned())
}

/// The environment that --from names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    pub name: String,
    pub namespace: Option<String>,
}

impl Source {
    pub fn parse(text: &str) -> Result<Self> {
        let (name, namespace) = match text.split_once('/') {
            Some((name, namespace)) => (name, Some(namespace)),
            None => (text, None),
        };
        ensure!(
            !name.is_empty()
                && namespace.is_none_or(|namespace| !namespace.is_empty() && !namespace.contains('/')),
            "--from {text:?} is no environment: write NAME, or NAME/NAMESPACE for one of another namespace"
        );
        Ok(Self {
            name: name.to_owned(),
            namespace: namespace.map(str::to_owned),
        })
    }
}

pub async fn run(arguments: &Create) -> Result<()> {
    // Without --from nothing is asked of a cluster, and none is needed.
    let offline = arguments.dry_run == Some(DryRun::Client) && arguments.specification.from.is_none();
    if offline {
        let spec = arguments.specification.spec(None);
        let object = object(&arguments.name, arguments.target.namespace.as_deref(), &spec)?;
        return say(arguments, &object);
    }
    let cluster = Cluster::connect(&arguments.target).await?;
    let source = source(&cluster, &arguments.specification).await?;
    let spec = arguments.specification.spec(source.as_ref());
    let desired = object(&arguments.name, Some(&cluster.namespace), &spec)?;
    if arguments.dry_run == Some(DryRun::Client) {
        return say(arguments, &desired);
    }
    let parameters = PostParams {
        dry_run: arguments.dry_run.is_some(),
        field_manager: Some(MANAGER.to_owned()),
    };
    let made = cluster.environments().create(&parameters, &desired).await;
    let made =
        made.map_err(|error| cluster.explain(error, &format!("create environment {}", arguments.name)))?;
    if arguments.wait.wait && arguments.dry_run.is_none() {
        let ready = wait_ready(&cluster, &arguments.name, arguments.wait.timeout).await?;
        return say(arguments, &ready.object);
    }
    say(arguments, &made)
}

/// Reads the environment to copy, and says where it does not allow that.
pub async fn source(cluster: &Cluster, specification: &Specification) -> Result<Option<Environment>> {
    let Some(from) = &specification.from else {
        return Ok(None);
    };
    let source = Source::parse(from)?;
    let namespace = source.namespace.unwrap_or_else(|| cluster.namespace.clone());
    let found = cluster.in_namespace(&namespace).environment(&source.name).await?;
    if !found.shares_with(&cluster.namespace) {
        eprintln!(
            "note: {} does not share its data with namespace {1}, so the copy will wait until it does:\n  kubectl patch \
             renv/{2} -n {namespace} --type=merge -p '{{\"spec\":{{\"sharing\":[{{\"namespaces\":[\"{1}\"]}}]}}}}'",
            found.key(),
            cluster.namespace,
            source.name,
        );
    }
    Ok(Some(found))
}

fn object(name: &str, namespace: Option<&str>, spec: &Value) -> Result<DynamicObject> {
    let kind = kind();
    let object = json!({
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": namespace.map_or_else(|| json!({"name": name}), |namespace| json!({"name": name, "namespace": namespace})),
        "spec": spec,
    });
    serde_json::from_value(object).context("cannot write the object")
}

fn say(arguments: &Create, object: &DynamicObject) -> Result<()> {
    let dry = if arguments.dry_run.is_some() {
        " (dry run)"
    } else {
        ""
    };
    let sentence = || {
        let environment = Environment::new(object.clone());
        match environment.status.url.as_ref().filter(|_| environment.is_ready()) {
            Some(url) => format!("environment {} is Ready at {url}\n", arguments.name),
            None => format!("environment {} created{dry}\n", arguments.name),
        }
    };
    let mut object = object.clone();
    object.metadata.managed_fields = None;
    canvas::write(&arguments.output.serialised(&object)?.unwrap_or_else(sentence))
}

impl Specification {
    /// `spec` as the flags say it; what they do not name is left out.
    #[must_use]
    pub fn spec(&self, source: Option<&Environment>) -> Value {
        let mut spec = json!({});
        let mut set = |path: &[&str], value: Value| {
            let mut place = &mut spec;
            for part in path {
                place = &mut place[*part];
            }
            *place = value;
        };
        if let Some(profile) = &self.profile {
            set(&["profile"], json!(profile));
        }
        let status = source.map(|source| &source.status.database);
        let version = self.postgres.clone().or_else(|| status?.version.clone());
        if let Some(version) = version {
            set(&["database", "version"], json!(version));
        }
        if let Some(instances) = self.instances {
            set(&["database", "instances"], json!(instances));
        }
        if let Some(storage) = status.and_then(|status| status.storage.as_ref()) {
            set(&["database", "storage", "size"], json!(storage.size));
        }
        if let Some(source) = source {
            let key = source.key();
            set(
                &["database", "seed", "environment"],
                json!({"name": key.name, "namespace": key.namespace}),
            );
        }
        if let Some(Seed(Some(seed))) = &self.seed {
            set(&["database", "seed"], seed.clone());
        }
        if let Some(image) = &self.image {
            set(&["api", "image"], json!(image));
        }
        if let Some(ttl) = &self.ttl {
            set(&["lifetime", "ttl"], json!(ttl));
        }
        if let Some(after) = &self.sleep_after {
            set(&["lifetime", "sleepAfter"], json!(after));
        }
        spec
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_become_a_specification() {
        let specification = Specification {
            profile: Some(Profile::Staging),
            image: Some("registry.example/api:1".to_owned()),
            seed: Some(seed("configmap:dumps/rates.sql.gz").unwrap()),
            ttl: Some("72h".to_owned()),
            sleep_after: Some("2h".to_owned()),
            ..Specification::default()
        };
        insta::assert_yaml_snapshot!(specification.spec(None));
        assert_eq!(Specification::default().spec(None), json!({}));
    }

    #[test]
    fn a_copy_has_the_version_and_the_volume_of_its_source() {
        let source = Environment::new(
            serde_json::from_value(json!({
                "metadata": {"name": "staging", "namespace": "rates"},
                "status": {"database": {"version": "13.5", "storage": {"size": "5Gi"}}},
            }))
            .unwrap(),
        );
        insta::assert_yaml_snapshot!(Specification::default().spec(Some(&source)));
        let other = Specification {
            postgres: Some("17".to_owned()),
            ..Specification::default()
        };
        assert_eq!(other.spec(Some(&source))["database"]["version"], "17");
    }

    #[test]
    fn what_is_no_seed_and_no_source_is_refused() {
        for text in ["", "bundle", "configmap:x", "configmap:/y", "claim:x/", "url:x"] {
            assert!(seed(text).is_err(), "{text}");
        }
        for text in ["", "/n", "x/", "x/n/m"] {
            assert!(Source::parse(text).is_err(), "{text}");
        }
        assert_eq!(seed("none"), Ok(Seed(None)));
    }
}
