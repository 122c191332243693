//! `kubectl renv preview`: the environment of a pull request, for the workflows that make, update and remove it.

mod arguments;
mod comment;
mod template;
mod up;

use anyhow::{Context as _, Result};
use kube::ResourceExt as _;
use kube::api::{DeleteParams, Preconditions};

use crate::canvas;
use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::gone::wait_gone;
pub use arguments::{COMMIT, Command, Comment, Down, Numbered, PULL_REQUEST, Preview, Up};

pub async fn run(arguments: &Preview) -> Result<()> {
    match &arguments.command {
        Command::Up(up) => up::run(up).await,
        Command::Down(down) => self::down(down).await,
        Command::Comment(comment) => self::comment(comment).await,
    }
}

async fn down(arguments: &Down) -> Result<()> {
    let numbered = &arguments.numbered;
    let cluster = Cluster::connect(&numbered.target).await?;
    let name = numbered.name();
    if let Some(environment) = numbered.found(&cluster).await? {
        // Not one of the same name that somebody makes meanwhile.
        let parameters = DeleteParams::background().preconditions(Preconditions {
            uid: environment.object.uid(),
            resource_version: None,
        });
        match cluster.environments().delete(&name, &parameters).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => return Err(cluster.explain(error, &format!("delete environment {name}"))),
        }
    }
    wait_gone(&cluster, &name, arguments.timeout).await?;
    canvas::write(&format!("{} is gone\n", cluster.key(&name)))
}

async fn comment(arguments: &Comment) -> Result<()> {
    let numbered = &arguments.numbered;
    let cluster = Cluster::connect(&numbered.target).await?;
    let environment = numbered.found(&cluster).await?.with_context(|| {
        Failure::Missing(format!(
            "there is no environment {}, so there is nothing to say of it",
            cluster.key(&numbered.name())
        ))
    })?;
    canvas::write(&comment::markdown(&environment, arguments.commit.as_deref()))
}
