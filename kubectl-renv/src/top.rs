//! `kubectl renv top`: asks Prometheus for ladders and shows them, once or again and again.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::absence;
use crate::cli::{FORWARD, Output, Top};
use crate::cluster;
use crate::draw::{self, Canvas};
use crate::key::Key;
use crate::ladder::{Ladder, ladders};
use crate::prometheus::{Prometheus, Selection};

/// Rules are evaluated every 5 to 15 seconds; more often nothing changes.
const INTERVAL: Duration = Duration::from_secs(3);

/// Moves to the first line; what is drawn replaces what is there.
const HOME: &str = "\x1b[H";
const CLEAR: &str = "\x1b[H\x1b[2J";
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";

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
        return write(&shown(&first, arguments, canvas(terminal)));
    }
    if terminal {
        write(CLEAR)?;
    }
    let mut ladders = first;
    let mut failure = None;
    loop {
        let mut text = shown(&ladders, arguments, canvas(terminal));
        if let Some(error) = &failure {
            // What a program reads is ladders alone, and none twice.
            if arguments.output == Output::Json {
                eprintln!("error: {error:#}");
                text.clear();
            } else {
                let _ = writeln!(text, "\nThis is what was last seen: {error:#}");
            }
        }
        write(&if terminal { frame(&text) } else { text })?;
        tokio::time::sleep(INTERVAL).await;
        match look(&prometheus, &selection, arguments).await {
            Ok(found) => (ladders, failure) = (found, None),
            Err(error) => failure = Some(error),
        }
    }
}

fn selection(arguments: &Top) -> Result<Selection> {
    if arguments.all_namespaces {
        return Ok(Selection::All);
    }
    let namespace = match &arguments.namespace {
        Some(namespace) => namespace.clone(),
        None => cluster::namespace(arguments.context.as_deref())?,
    };
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
        return Err(absence::explain(prometheus, selection, arguments.context.as_deref()).await);
    }
    Ok(found)
}

fn shown(ladders: &BTreeMap<Key, Ladder>, arguments: &Top, canvas: Canvas) -> String {
    match (arguments.output, &arguments.name, ladders.first_key_value()) {
        (Output::Json, ..) => format!("{}\n", draw::as_json(ladders)),
        (Output::Text, Some(_), Some((key, ladder))) => draw::ladder(key, ladder, canvas),
        (Output::Text, ..) => draw::table(ladders, arguments.all_namespaces, canvas),
    }
}

fn canvas(terminal: bool) -> Canvas {
    if !terminal {
        return Canvas::PLAIN;
    }
    Canvas {
        // https://no-color.org
        colours: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        columns: terminal_size::terminal_size()
            .map_or(Canvas::PLAIN.columns, |(width, _)| usize::from(width.0)),
    }
}

/// The text in the place of the one before, as much as the terminal has lines for.
fn frame(text: &str) -> String {
    let rows = terminal_size::terminal_size().map_or(usize::MAX, |(_, height)| usize::from(height.0));
    let lines: Vec<String> = text
        .lines()
        .take(rows.saturating_sub(1).max(1))
        .map(|line| format!("{line}{CLEAR_LINE}\n"))
        .collect();
    format!("{HOME}{}{CLEAR_BELOW}", lines.concat())
}

fn write(text: &str) -> Result<()> {
    let mut output = io::stdout().lock();
    output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush())
        .context("cannot write the output")
}
