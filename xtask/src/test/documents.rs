//! Checks that what the documents name is there: linked files and headings, and paths in backticks. A diagram that
//! mermaid would not draw counts too.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use super::tally::Outcome;
use host::command::output;
use host::workspace;

pub fn check() -> Result<Outcome> {
    let root = workspace::root();
    let listed = output(
        Command::new("git")
            .args([
                "ls-files",
                "-z",
                "--cached",
                "--others",
                "--exclude-standard",
                "--",
                "*.md",
            ])
            .current_dir(&root),
    )?;
    let mut mistakes = BTreeSet::new();
    let mut names = 0;
    for document in listed.split_terminator('\0').map(|name| root.join(name)) {
        // A file that was deleted and not committed is still listed.
        if !document.exists() {
            continue;
        }
        let text = read(&document)?;
        let (found, wrong) = mistakes_of(&root, &document, &text)?;
        names += found;
        let name = document.strip_prefix(&root)?.display().to_string();
        mistakes.extend(wrong.into_iter().map(|mistake| format!("{name}: {mistake}")));
    }
    ensure!(names > 0, "no document names a file");
    if !mistakes.is_empty() {
        bail!("{}", Vec::from_iter(mistakes).join("; "));
    }
    Ok(Outcome::Passed)
}

/// How many files a document names, and what is wrong with it.
fn mistakes_of(root: &Path, document: &Path, text: &str) -> Result<(usize, Vec<String>)> {
    let folder = document.parent().context("a document without a folder")?;
    let (prose, diagrams) = divide(text);
    let mut mistakes = Vec::new();
    let mut names = 0;
    for target in between(&prose, "](", ")").filter(|target| !target.contains("://")) {
        names += 1;
        let (file, heading) = target.split_once('#').unwrap_or((target, ""));
        let file = if file.is_empty() {
            document.to_path_buf()
        } else {
            folder.join(file)
        };
        let there = file.exists() && (heading.is_empty() || headings(&read(&file)?).contains(heading));
        if !there {
            mistakes.push(format!("the link to {target} leads nowhere"));
        }
    }
    for name in between(&prose, "`", "`").filter(|name| is_path(root, folder, name)) {
        names += 1;
        if !root.join(name).exists() && !folder.join(name).exists() {
            mistakes.push(format!("there is no {name}"));
        }
    }
    // To mermaid a semicolon ends the statement, and the rest of the line is none.
    mistakes.extend(
        diagrams
            .into_iter()
            .filter(|line| line.contains(';'))
            .map(|line| format!("a diagram has a semicolon: {}", line.trim())),
    );
    Ok((names, mistakes))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// The text without its blocks of code, and the lines of its diagrams.
fn divide(text: &str) -> (String, Vec<&str>) {
    let mut prose = String::new();
    let mut diagrams = Vec::new();
    let mut block = None;
    for line in text.lines() {
        match (block, line.trim_start().strip_prefix("```")) {
            (None, Some(language)) => block = Some(language),
            (Some(_), Some(_)) => block = None,
            (Some("mermaid"), None) => diagrams.push(line),
            (Some(_), None) => {}
            (None, None) => prose.extend([line, "\n"]),
        }
    }
    (prose, diagrams)
}

/// What stands between the two marks, again and again.
fn between<'a>(text: &'a str, open: &'a str, close: &'a str) -> impl Iterator<Item = &'a str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (_, behind) = rest.split_once(open)?;
        let (found, after) = behind.split_once(close)?;
        rest = after;
        Some(found)
    })
}

/// Whether a text in backticks names a file of the repository: a path whose first folder is one.
fn is_path(root: &Path, folder: &Path, name: &str) -> bool {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "/._-".contains(character);
    let Some((first, _)) = name.split_once('/') else {
        return false;
    };
    !first.is_empty()
        && name.chars().all(is_plain)
        && (root.join(first).is_dir() || folder.join(first).is_dir())
        // A build's folder is there or not.
        && first != "target"
}

/// The fragments by which a document's headings are linked to.
fn headings(text: &str) -> BTreeSet<String> {
    text.lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| {
            line.trim_start_matches('#')
                .trim()
                .to_lowercase()
                .replace(' ', "-")
                .chars()
                .filter(|character| character.is_alphanumeric() || "-_".contains(*character))
                .collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(text: &str) -> Vec<String> {
        let root = workspace::root();
        let document = root.join("docs/architecture.md");
        mistakes_of(&root, &document, text).unwrap().1
    }

    #[test]
    fn what_is_there_is_no_mistake() {
        let text = "# A heading, and more\n[a](../Cargo.toml), `xtask/src/main.rs`, [b](architecture.md#the-parts),\n\
            `/var/lib`, `a/b`, `docs/x-HASH*`, `spec.api`\n```sh\nls docs/none.md; true\n```\n";
        assert_eq!(mistakes(text), Vec::<String>::new());
    }

    #[test]
    fn a_file_a_heading_or_a_diagram_that_is_none_is_a_mistake() {
        let text =
            "[a](none.md) [b](architecture.md#none) `xtask/src/none.rs`\n```mermaid\nA->>B: x; y\n```\n";
        let found = mistakes(text);
        assert_eq!(found.len(), 4, "{found:?}");
    }
}
