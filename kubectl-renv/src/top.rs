//! `kubectl renv top`: asks Prometheus for ladders and shows them, once or again and again.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::absence;
use crate::canvas::{self, Canvas};
use crate::cli::{FORWARD, Output, Top};
use crate::cluster;
use crate::draw;
use crate::key::Key;
use crate::ladder::{Ladder, ladders};
use crate::prometheus::{Prometheus, Selection};

/// Rules are evaluated every 5 to 15 seconds; more often nothing changes.
const INTERVAL: Duration = Duration::from_secs(3);

/// Runs until it is ended, or once.
pub async fn run(arguments: &Top) -> Result<()> {
    let address = arguments
        .prometheus
        .as_deref()
        .filter(|address| !address.is_empty())
        .with_context(|| {
            format!("the ladder comes from a Prometheus: name it by --prometheus URL\n{FORWARD}")
        })?;
    let prometheus = Prometheus::new(address)?;
    let selection = selection(arguments)?;
    let terminal = io::stdout().is_terminal();
    let watch = arguments.watch || (!arguments.once && terminal && arguments.output == Output::Text);
    // The first look ends the command where it fails: a wrong address does not get better.
    let first = look(&prometheus, &selection, arguments).await?;
    if !watch {
        return canvas::write(&shown(&first, arguments, Canvas::of_output()));
    }
    canvas::clear()?;
    let mut ladders = first;
    let mut failure = None;
    loop {
        let mut text = shown(&ladders, arguments, Canvas::of_output());
        if let Some(error) = &failure {
            // What a program reads is ladders alone, and none twice.
            if arguments.output == Output::Json {
                eprintln!("error: {error:#}");
                text.clear();
            } else {
                let _ = writeln!(text, "\nThis is what was last seen: {error:#}");
            }
        }
        canvas::replace(&text)?;
        tokio::time::sleep(INTERVAL).await;
        match look(&prometheus, &selection, arguments).await {
            Ok(found) => (ladders, failure) = (found, None),
            Err(error) => failure = Some(error),
        }
    }
}

fn selection(arguments: &Top) -> Result<Selection> {
    if arguments.several.all_namespaces {
        return Ok(Selection::All);
    }
    let namespace = cluster::namespace(&arguments.several.target)?;
    Ok(match &arguments.name {
        Some(name) => Selection::One(Key {
            namespace,
            name: name.clone(),
        }),
        None => Selection::Namespace(namespace),
    })
}

/// The ladders of the selection; an error where there is none.
async fn look(
    prometheus: &Prometheus,
    selection: &Selection,
    arguments: &Top,
) -> Result<BTreeMap<Key, Ladder>> {
    let found = ladders(&prometheus.saturation(selection).await?);
    if found.is_empty() {
        return Err(absence::explain(prometheus, selection, &arguments.several.target).await);
    }
    Ok(found)
}

fn shown(ladders: &BTreeMap<Key, Ladder>, arguments: &Top, canvas: Canvas) -> String {
    match (arguments.output, &arguments.name, ladders.first_key_value()) {
        (Output::Json, ..) => format!("{}\n", draw::as_json(ladders)),
        (Output::Text, Some(_), Some((key, ladder))) => draw::ladder(key, ladder, canvas),
        (Output::Text, ..) => draw::table(ladders, arguments.several.all_namespaces, canvas),
    }
}
