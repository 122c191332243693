//! What another specification would change: the operator's own plan and objects for the one that is and for the one that
//! would be, and how they differ. Nothing is asked here.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rates_operator::build::{Children, build};
use rates_operator::crd::RatesEnvironment;
use rates_operator::credentials::GeneratedSecrets;
use rates_operator::observed::Observed;
use rates_operator::plan::{self, Activity, Environment};
use rates_operator::settings::{Images, Monitoring};
use serde::Serialize;
use serde_json::Value;

use super::difference::{Field, differences};

/// What an apply would do. A field that is here keeps its name and meaning.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    pub namespace: String,
    pub name: String,
    /// create, update or none.
    pub action: &'static str,
    /// What of the specification changes, after defaults.
    pub fields: Vec<Field>,
    pub database: Database,
    pub api: Api,
    /// Whether migrations run before the API's pods change.
    pub migration: bool,
    /// Whether data are loaded.
    pub seed: bool,
    /// Objects that are made, changed or removed, and restart nothing.
    pub objects: Vec<Object>,
    /// What the operator would say of the specification, or what is to be known.
    pub notes: Vec<String>,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Database {
    /// Whether its pods are replaced.
    pub restarts: bool,
    /// What of the pods changes.
    pub because: Vec<Field>,
    /// Parameters that change: reloaded, or restarted for where PostgreSQL needs it.
    pub parameters: Vec<String>,
    /// Those of them for which the server is restarted, as it says itself; null where it was not asked.
    pub parameters_restart: Option<Vec<String>>,
    /// From how many to how many instances.
    pub instances: Option<[u8; 2]>,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Api {
    /// Whether its pods are replaced, one after another.
    pub rollout: bool,
    /// What of the pods changes.
    pub because: Vec<Field>,
    /// From how many to how many pods, where that is fixed.
    pub replicas: Option<[i32; 2]>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Object {
    pub kind: String,
    pub name: String,
    /// made, changed or removed.
    pub action: &'static str,
}

/// What the operator was started with, as far as it matters.
pub struct Operator {
    pub images: Images,
    pub monitoring: Monitoring,
}

/// What would change where an environment that is there gets another specification.
pub fn of(
    observed: &Observed,
    next: &RatesEnvironment,
    operator: &Operator,
    now: Timestamp,
) -> anyhow::Result<Change> {
    let generated = GeneratedSecrets::generate().map_err(anyhow::Error::new)?;
    let planned = |environment: &RatesEnvironment| {
        let observed = Observed {
            environment: environment.clone(),
            ..observed.clone()
        };
        plan::plan(
            &observed,
            &operator.images,
            &operator.monitoring,
            generated.clone(),
            now,
        )
    };
    let fields = differences(&spec(&observed.environment)?, &spec(next)?);
    let mut change = Change::nothing(&observed.identity.namespace, &observed.identity.name);
    if !fields.is_empty() {
        change.action = "update";
    }
    change.fields = fields;
    let after = match planned(next) {
        Ok(after) => after,
        Err(invalid) => {
            change
                .notes
                .push(format!("the operator would change nothing: {invalid}"));
            return Ok(change);
        }
    };
    change.notes.extend(after.invalid.iter().map(ToString::to_string));
    let Ok(before) = planned(&observed.environment) else {
        change.notes.push(
            "the specification that is there cannot work, so all of it is new to the operator".to_owned(),
        );
        return Ok(change);
    };
    // How it is once the tables are ready: until then the operator keeps the API's pods as they are.
    let settled = planned(&migrated(next, &after))?;
    compare(
        &mut change,
        (&before, &build(&before)),
        (&after, &build(&after)),
        &build(&settled),
    )?;
    Ok(change)
}

/// What would be made where there is none.
pub fn creation(namespace: &str, name: &str, next: &RatesEnvironment) -> anyhow::Result<Change> {
    let mut change = Change::nothing(namespace, name);
    change.action = "create";
    change.fields = differences(&Value::Null, &spec(next)?);
    change.seed = next.spec.database.seed.is_some();
    change.migration = true;
    Ok(change)
}

impl Change {
    fn nothing(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            action: "none",
            fields: Vec::new(),
            database: Database::default(),
            api: Api::default(),
            migration: false,
            seed: false,
            objects: Vec::new(),
            notes: Vec::new(),
        }
    }
}

fn spec(environment: &RatesEnvironment) -> anyhow::Result<Value> {
    Ok(serde_json::to_value(&environment.spec)?)
}

/// The environment as it is once its image's migrations have run.
fn migrated(environment: &RatesEnvironment, planned: &Environment) -> RatesEnvironment {
    let mut environment = environment.clone();
    let status = environment.status.as_mut();
    let database = status.and_then(|status| status.database.as_mut());
    if let Some(schema) = database.and_then(|database| database.schema.as_mut()) {
        schema.image.clone_from(&planned.api.image);
    }
    environment
}

fn compare(
    change: &mut Change,
    (before, old): (&Environment, &Children),
    (after, new): (&Environment, &Children),
    settled: &Children,
) -> anyhow::Result<()> {
    let template = |children: &Children| {
        serde_json::to_value(children.stateful_set.spec.as_ref().map(|spec| &spec.template))
    };
    change.database.because = differences(&template(old)?, &template(new)?);
    let (had, has) = (before.database.instances.wanted, after.database.instances.wanted);
    change.database.instances = (had != has).then_some([had, has]);
    change.database.restarts = !change.database.because.is_empty();
    change.database.parameters = parameters(old, new);
    let name = before.identity.api();
    let pods = |children: &Children| {
        let spec = children
            .deployment(&name)
            .and_then(|deployment| deployment.spec.as_ref());
        serde_json::to_value(spec.map(|spec| &spec.template))
    };
    change.api.because = differences(&pods(old)?, &pods(settled)?);
    change.api.rollout = !change.api.because.is_empty();
    let replicas = |children: &Children| children.deployment(&name)?.spec.as_ref()?.replicas;
    change.api.replicas = replicas(old)
        .zip(replicas(settled))
        .filter(|(had, has)| had != has)
        .map(|(had, has)| [had, has]);
    let job = |job: &Option<rates_operator::build::JobChild>| {
        job.as_ref().and_then(|child| child.job.metadata.name.clone())
    };
    change.migration = job(&new.migrate_job).is_some() && job(&new.migrate_job) != job(&old.migrate_job);
    change.seed = job(&new.seed_job).is_some() && job(&new.seed_job) != job(&old.seed_job);
    change.objects = objects(&serde_json::to_value(old)?, &serde_json::to_value(settled)?);
    stops(change, before.activity, after.activity);
    Ok(())
}

fn stops(change: &mut Change, before: Activity, after: Activity) {
    let runs = |activity| matches!(activity, Activity::Running | Activity::Resuming);
    match (runs(before), runs(after)) {
        (true, false) => change.notes.push("all pods stop; the data are kept".to_owned()),
        (false, true) => change.notes.push("the database starts, then the API".to_owned()),
        _ => {}
    }
}

/// The names of the server's parameters that differ, as Patroni gets them.
fn parameters(old: &Children, new: &Children) -> Vec<String> {
    let settings = |children: &Children| -> BTreeMap<String, Value> {
        let config = children
            .patroni_state
            .iter()
            .find_map(|map| map.metadata.annotations.as_ref()?.get("config"));
        let config: Value = config
            .and_then(|config| serde_json::from_str(config).ok())
            .unwrap_or_default();
        let parameters = config["postgresql"]["parameters"]
            .as_object()
            .cloned()
            .unwrap_or_default();
        parameters.into_iter().collect()
    };
    let (old, new) = (settings(old), settings(new));
    let names = old
        .keys()
        .chain(new.keys().filter(|name| !old.contains_key(*name)));
    let mut names: Vec<String> = names
        .filter(|name| old.get(*name) != new.get(*name))
        .cloned()
        .collect();
    names.sort();
    names
}

/// Objects that are made, changed or removed, but for those that are told of by themselves, and Secrets.
fn objects(old: &Value, new: &Value) -> Vec<Object> {
    let (old, new) = (named(old), named(new));
    let mut found = Vec::new();
    for ((kind, name), object) in &new {
        let action = match old.get(&(kind.clone(), name.clone())) {
            None => "made",
            Some(before) if before != object => "changed",
            Some(_) => continue,
        };
        found.push(Object {
            kind: kind.clone(),
            name: name.clone(),
            action,
        });
    }
    let gone = old.keys().filter(|key| !new.contains_key(*key));
    found.extend(gone.map(|(kind, name)| Object {
        kind: kind.clone(),
        name: name.clone(),
        action: "removed",
    }));
    found
}

/// By kind, as the list of children has it, and name.
fn named(children: &Value) -> BTreeMap<(String, String), Value> {
    const TOLD: [&str; 9] = [
        "appSecret",
        "adminSecret",
        "migratorSecret",
        "tokenSecret",
        "patroniState",
        "statefulSet",
        "deployments",
        "seedJob",
        "migrateJob",
    ];
    let lists = children.as_object().into_iter().flatten();
    lists
        .filter(|(list, _)| !TOLD.contains(&list.as_str()))
        .flat_map(|(_, value)| match value {
            Value::Array(items) => items.clone(),
            Value::Null => Vec::new(),
            one => vec![one.clone()],
        })
        .map(|object| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            ((text(&object["kind"]), text(&object["metadata"]["name"])), object)
        })
        .collect()
}
