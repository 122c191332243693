//! A page in a real browser: Debian's chromium, without a window and with a profile of its own.

use std::ffi::OsString;
use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// What every start has: nothing but the page is loaded, and no service of a desktop is needed.
const FLAGS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
];

/// The page's document, as it is after it was loaded.
pub fn document(page: &str) -> Result<String> {
    let document = chromium(vec!["--dump-dom".into(), page.into()])?;
    Ok(String::from_utf8_lossy(&document).into_owned())
}

/// A picture of the page, as a PNG of 1200 by 800 points.
pub fn picture(page: &str) -> Result<Vec<u8>> {
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let file = folder.path().join("page.png");
    let mut screenshot = OsString::from("--screenshot=");
    screenshot.push(&file);
    chromium(vec![screenshot, "--window-size=1200,800".into(), page.into()])?;
    let picture = fs::read(&file).context("chromium has made no picture")?;
    ensure!(picture.starts_with(b"\x89PNG"), "the picture is no PNG");
    Ok(picture)
}

fn chromium(arguments: Vec<OsString>) -> Result<Vec<u8>> {
    let profile = tempfile::tempdir().context("cannot make a temporary folder")?;
    let output = Command::new("chromium")
        .args(FLAGS)
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(arguments)
        // A proxy meant for the internet is not asked for addresses of this machine.
        .env("NO_PROXY", "*")
        .env("no_proxy", "*")
        .output()
        .context("cannot start chromium: `cargo xtask test` installs Debian's package")?;
    ensure!(
        output.status.success(),
        "chromium ended with {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output.stdout)
}
