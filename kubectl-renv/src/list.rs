//! `kubectl renv list` and `kubectl renv url`.

use anyhow::Result;
use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use crate::canvas;
use crate::cluster::Cluster;
use crate::duration::{age, short};
use crate::environment::Environment;
use crate::failure::Failure;
use crate::flags::{Format, One, Several};

#[derive(Args, Clone, Debug)]
pub struct List {
    #[command(flatten)]
    pub several: Several,

    /// The form of the output
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Format,
}

/// One line of the list. A field that is here keeps its name and meaning.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Listed {
    pub namespace: String,
    pub name: String,
    pub profile: Option<String>,
    pub phase: String,
    pub ready: bool,
    pub message: String,
    pub url: Option<String>,
    pub created_at: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
    pub asleep_since: Option<Timestamp>,
}

#[derive(Serialize)]
struct Document {
    environments: Vec<Listed>,
}

pub async fn list(arguments: &List) -> Result<()> {
    let cluster = Cluster::connect(&arguments.several.target).await?;
    let all = arguments.several.all_namespaces;
    let found = cluster.list(all).await?;
    let environments: Vec<Listed> = found.iter().map(Listed::of).collect();
    if environments.is_empty() && arguments.output == Format::Text {
        let place = if all {
            "any namespace"
        } else {
            cluster.namespace.as_str()
        };
        eprintln!("no environments in {place}");
        return Ok(());
    }
    let document = Document { environments };
    canvas::write(
        &arguments
            .output
            .serialised(&document)?
            .unwrap_or_else(|| table(&document.environments, all, Timestamp::now())),
    )
}

impl Listed {
    #[must_use]
    pub fn of(environment: &Environment) -> Self {
        let key = environment.key();
        let status = &environment.status;
        Self {
            namespace: key.namespace,
            name: key.name,
            profile: status.profile.clone(),
            phase: environment.phase().to_owned(),
            ready: environment.holds("Ready"),
            message: environment.message().to_owned(),
            url: status.url.clone(),
            created_at: environment.created(),
            expires_at: status.expires_at,
            asleep_since: environment.asleep_since(),
        }
    }
}

/// The environments, a line each.
#[must_use]
pub fn table(environments: &[Listed], namespaces: bool, now: Timestamp) -> String {
    let dash = || "-".to_owned();
    let heading = [
        "NAMESPACE",
        "NAME",
        "PROFILE",
        "PHASE",
        "AGE",
        "EXPIRES",
        "URL",
        "MESSAGE",
    ];
    let skipped = usize::from(!namespaces);
    let rows: Vec<Vec<String>> = environments
        .iter()
        .map(|environment| {
            let row = [
                environment.namespace.clone(),
                environment.name.clone(),
                environment.profile.clone().unwrap_or_else(dash),
                environment.phase.clone(),
                environment
                    .created_at
                    .map_or_else(dash, |created| age(created, now)),
                environment.expires_at.map_or_else(dash, |at| {
                    format!("in {}", short(at.duration_since(now).as_secs()))
                }),
                environment.url.clone().unwrap_or_else(dash),
                // Of one that is well it says nothing.
                Some(environment.message.clone())
                    .filter(|_| environment.phase != "Ready")
                    .unwrap_or_default(),
            ];
            row.into_iter().skip(skipped).collect()
        })
        .collect();
    canvas::table(&heading[skipped..], &rows)
}

pub async fn url(arguments: &One) -> Result<()> {
    let cluster = Cluster::connect(&arguments.target).await?;
    let environment = cluster.environment(&arguments.name).await?;
    match &environment.status.url {
        Some(url) => canvas::write(&format!("{url}\n")),
        None => Err(Failure::NotReached(format!(
            "{} has no address yet; it is {}: {}",
            environment.key(),
            environment.phase(),
            environment.message()
        ))
        .into()),
    }
}
