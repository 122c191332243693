//! The page of the ladder in a real browser.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use client::browser;
use client::environment::Environment;
use client::prometheus::Prometheus;
use monitoring::RUNGS;

/// Nine rungs with bars, no error, and a picture.
pub fn shows_the_ladder(prometheus: &Prometheus, environment: &Environment) -> Result<()> {
    let page = format!(
        "{}/consoles/ladder.html?namespace={}&environment={}",
        prometheus.address(),
        environment.kubectl.namespace(),
        environment.name
    );
    let document = browser::document(&page)?;
    for rung in RUNGS {
        let row = row(&document, rung).with_context(|| format!("no rung {rung} in\n{document}"))?;
        ensure!(row.contains("<svg"), "rung {rung} has no bar: {row}");
    }
    ensure!(!document.to_lowercase().contains("error"), "{document}");

    let picture = browser::picture(&page)?;
    // For who wants to look at it.
    if let Some(folder) = std::env::var_os("RATES_E2E_PICTURES") {
        fs::write(Path::new(&folder).join("ladder.png"), &picture)?;
    }
    Ok(())
}

/// The row of a rung.
fn row<'a>(document: &'a str, rung: &str) -> Option<&'a str> {
    let (_, behind) = document.split_once(&format!("<tr id=\"{rung}\""))?;
    Some(behind.split_once("</tr>").map_or(behind, |(row, _)| row))
}
