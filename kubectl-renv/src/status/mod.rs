//! `kubectl renv status`: what is there of an environment, what is going on, and since when.

mod derive;
mod summary;
#[cfg(test)]
mod tests;
mod text;
mod tree;

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use jiff::Timestamp;

use crate::canvas::{self, Canvas};
use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::flags::{Format, One};
use crate::parts::Parts;
use crate::watched;

pub use summary::Summary;
pub use tree::draw;

/// So often at most, and at least, the picture is drawn: Patroni writes every few seconds.
const SOON: Duration = Duration::from_millis(500);
const LATER: Duration = Duration::from_secs(3);

#[derive(Args, Clone, Debug)]
pub struct Status {
    #[command(flatten)]
    pub one: One,

    /// Go on until it is ended, with each change; of JSON a document a line
    #[arg(long, short)]
    pub watch: bool,

    /// The form of the output
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Format,
}

pub async fn run(arguments: &Status) -> Result<()> {
    let cluster = Cluster::connect(&arguments.one.target).await?;
    let name = &arguments.one.name;
    if !arguments.watch {
        return canvas::write(&shown(&cluster, name, arguments.output, false).await?);
    }
    canvas::clear()?;
    let mut changes = watched::Changes::of(&cluster, name);
    let mut last = None;
    loop {
        let text = match shown(&cluster, name, arguments.output, true).await {
            Ok(text) => text,
            // It was there, and its end was watched.
            Err(error) if last.is_some() && error.is::<Failure>() => return Ok(()),
            Err(error) => match &last {
                None => return Err(error),
                Some(last) if arguments.output == Format::Text => {
                    format!("{last}\nThis is what was last seen: {error:#}\n")
                }
                Some(last) => {
                    eprintln!("error: {error:#}");
                    String::clone(last)
                }
            },
        };
        match arguments.output {
            Format::Text => canvas::replace(&text)?,
            _ if last.as_ref() == Some(&text) => {}
            _ => canvas::write(&text)?,
        }
        last = Some(text);
        let _ = tokio::time::timeout(LATER, changes.next()).await;
        tokio::time::sleep(SOON).await;
    }
}

async fn shown(cluster: &Cluster, name: &str, format: Format, in_lines: bool) -> Result<String> {
    let environment = cluster.environment(name).await?;
    let parts = Parts::of(cluster, name).await?;
    let now = Timestamp::now();
    let summary = Summary::of(&environment, &parts, now);
    if in_lines && format == Format::Json {
        return Ok(format!("{}\n", serde_json::to_string(&summary)?));
    }
    Ok(match format.serialised(&summary)? {
        Some(text) if in_lines => format!("---\n{text}"),
        Some(text) => text,
        None => draw(&summary, now, Canvas::of_output()),
    })
}
