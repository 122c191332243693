//! Which file of a crate imports which, and whether any of them form a cycle.
//!
//! A module is a file. The declaration `mod child;` is no import; `pub use child::X` is one, and so are `super::X` and
//! `crate::parent::X` in the child. Only paths count: a method's or a field's type may come from anywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::iter::Peekable;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use proc_macro2::{Ident, TokenStream, TokenTree, token_stream};
use serde::Deserialize;

use host::command;
use host::workspace;

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    src_path: PathBuf,
}

/// Fails with the files of a cycle of each program and library of the workspace that has one.
pub fn are_acyclic() -> Result<()> {
    let metadata = command::output(command::cargo().args(["metadata", "--no-deps", "--format-version=1"]))?;
    let metadata: Metadata = serde_json::from_str(&metadata).context("cannot read cargo's metadata")?;
    let mut cycles = BTreeSet::new();
    for package in &metadata.packages {
        for target in &package.targets {
            cycles.extend(Modules::of(&target.src_path)?.cycles());
        }
    }
    if !cycles.is_empty() {
        bail!(
            "files that import each other:\n{}",
            Vec::from_iter(cycles).join("\n")
        );
    }
    Ok(())
}

/// A module's path from the crate's root.
type Name = Vec<String>;

/// A path that is written in a file, and where.
struct Import {
    within: Name,
    path: Vec<String>,
    line: usize,
}

/// The modules that one program or library is made of.
#[derive(Default)]
struct Modules {
    /// The file of each module; a module in braces has that of the module around it.
    files: BTreeMap<Name, PathBuf>,
    imports: Vec<Import>,
}

impl Modules {
    fn of(root: &Path) -> Result<Self> {
        let mut modules = Self::default();
        let folder = root.parent().unwrap_or(Path::new("/"));
        modules.read(&Name::new(), root, folder)?;
        Ok(modules)
    }

    /// Reads a module's file; those of its children are in `folder`.
    fn read(&mut self, name: &Name, file: &Path, folder: &Path) -> Result<()> {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let tokens: TokenStream = text
            .parse()
            .map_err(|error| anyhow!("{}: {error}", file.display()))?;
        self.files.insert(name.clone(), file.to_owned());
        self.scan(name, tokens, folder)
    }

    fn scan(&mut self, name: &Name, tokens: TokenStream, folder: &Path) -> Result<()> {
        let mut tokens = tokens.into_iter().peekable();
        let mut before = String::new();
        while let Some(token) = tokens.next() {
            match token {
                TokenTree::Ident(ident) if ident == "mod" => self.declared(name, &mut tokens, folder)?,
                TokenTree::Ident(ident) if ident == "use" => self.uses(name, &[], &mut tokens),
                TokenTree::Ident(ident) => {
                    before = ident.to_string();
                    self.path(name, &ident, &mut tokens);
                    continue;
                }
                // `pub(in crate::a)` imports nothing.
                TokenTree::Group(_) if before == "pub" => {}
                TokenTree::Group(group) => self.scan(name, group.stream(), folder)?,
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
            before.clear();
        }
        Ok(())
    }

    /// What follows `mod`: a name, and a semicolon or the module itself in braces.
    fn declared(&mut self, parent: &Name, tokens: &mut Tokens, folder: &Path) -> Result<()> {
        let (Some(TokenTree::Ident(ident)), Some(next)) = (tokens.next(), tokens.next()) else {
            return Ok(());
        };
        let ident = ident.to_string();
        let name = [parent.as_slice(), std::slice::from_ref(&ident)].concat();
        let below = folder.join(&ident);
        if let TokenTree::Group(group) = next {
            let file = self.files[parent].clone();
            self.files.insert(name.clone(), file);
            return self.scan(&name, group.stream(), &below);
        }
        let candidates = [folder.join(format!("{ident}.rs")), below.join("mod.rs")];
        let file = candidates.iter().find(|file| file.exists());
        let file = file.with_context(|| format!("no file of module {} is found", name.join("::")))?;
        self.read(&name, file, &below)
    }

    /// What follows `use`, or a comma or brace of it, until the end of that path.
    fn uses(&mut self, name: &Name, prefix: &[String], tokens: &mut Tokens) {
        let mut path = prefix.to_vec();
        let mut line = 0;
        while let Some(token) = tokens.peek() {
            match token {
                TokenTree::Punct(punct) if matches!(punct.as_char(), ',' | ';') => break,
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
                TokenTree::Ident(ident) if ident == "as" => {
                    // The other name follows.
                    tokens.next();
                }
                TokenTree::Ident(ident) => {
                    line = ident.span().start().line;
                    path.push(ident.to_string());
                }
                TokenTree::Group(group) => {
                    let mut inner = group.stream().into_iter().peekable();
                    while inner.peek().is_some() {
                        self.uses(name, &path, &mut inner);
                        inner.next();
                    }
                    tokens.next();
                    return;
                }
            }
            tokens.next();
        }
        self.import(name, path, line);
    }

    /// A path of two or more names that begins with this one.
    fn path(&mut self, name: &Name, first: &Ident, tokens: &mut Tokens) {
        let line = first.span().start().line;
        let mut path = vec![first.to_string()];
        let is_colon = |token: &TokenTree| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ':');
        while tokens.next_if(is_colon).is_some() && tokens.next_if(is_colon).is_some() {
            match tokens.next_if(|token| matches!(token, TokenTree::Ident(_))) {
                Some(ident) => path.push(ident.to_string()),
                None => break,
            }
        }
        if path.len() > 1 {
            self.import(name, path, line);
        }
    }

    fn import(&mut self, within: &Name, path: Vec<String>, line: usize) {
        self.imports.push(Import {
            within: within.clone(),
            path,
            line,
        });
    }

    /// The module that a path leads to; none where it leads out of the crate.
    fn target(&self, import: &Import) -> Option<Name> {
        let mut name = import.within.clone();
        let mut rest = import.path.iter().map(String::as_str).peekable();
        match rest.peek().copied()? {
            "crate" => {
                rest.next();
                name.clear();
            }
            "self" => {
                rest.next();
            }
            "super" => {
                while rest.next_if_eq(&"super").is_some() {
                    name.pop()?;
                }
            }
            // A child's name, or that of another crate, a type or something that is imported already.
            child => {
                name.push(child.to_owned());
                self.files.get(&name)?;
                rest.next();
            }
        }
        for part in rest {
            name.push(part.to_owned());
            if !self.files.contains_key(&name) {
                name.pop();
                break;
            }
        }
        Some(name)
    }

    /// A shortest cycle through each file that is in one, each told once.
    fn cycles(&self) -> BTreeSet<String> {
        let mut edges: BTreeMap<&Path, BTreeMap<&Path, usize>> = BTreeMap::new();
        for import in &self.imports {
            let Some(target) = self.target(import) else {
                continue;
            };
            let (from, to) = (&self.files[&import.within], &self.files[&target]);
            if from != to {
                edges.entry(from).or_default().entry(to).or_insert(import.line);
            }
        }
        let mut told: BTreeSet<&Path> = BTreeSet::new();
        let mut cycles = BTreeSet::new();
        for start in edges.keys() {
            let Some(cycle) = shortest(&edges, start) else {
                continue;
            };
            if cycle.iter().any(|file| told.contains(*file)) {
                continue;
            }
            told.extend(cycle.iter().copied());
            let line = |(from, to): (&&Path, &&Path)| format!("{}:{}", shown(from), edges[from][to]);
            let steps = cycle.iter().zip(cycle.iter().cycle().skip(1)).map(line);
            cycles.insert(steps.chain([shown(start)]).collect::<Vec<_>>().join(" -> "));
        }
        cycles
    }
}

type Tokens = Peekable<token_stream::IntoIter>;

/// The files of a shortest way from a file to itself.
fn shortest<'a>(
    edges: &BTreeMap<&'a Path, BTreeMap<&'a Path, usize>>,
    start: &'a Path,
) -> Option<Vec<&'a Path>> {
    let mut ways = vec![vec![start]];
    let mut seen = BTreeSet::new();
    while !ways.is_empty() {
        let mut longer = Vec::new();
        for way in ways {
            for next in edges.get(way.last()?).into_iter().flat_map(BTreeMap::keys) {
                if *next == start {
                    return Some(way);
                }
                if seen.insert(*next) {
                    longer.push([way.as_slice(), &[*next]].concat());
                }
            }
        }
        ways = longer;
    }
    None
}

fn shown(file: &Path) -> String {
    file.strip_prefix(workspace::root())
        .unwrap_or(file)
        .display()
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cycles of a crate of these files, of which the first is its root.
    fn cycles(files: &[(&str, &str)]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let modules = Modules::of(&folder.path().join(files[0].0)).unwrap();
        let prefix = format!("{}/", folder.path().display());
        let cycles = modules.cycles().into_iter();
        cycles.map(|cycle| cycle.replace(&prefix, "")).collect()
    }

    #[test]
    fn a_cycle_is_told_with_its_files_and_lines() {
        let files = [
            ("main.rs", "mod a; mod b; mod c;\nfn main() { a::run() }"),
            ("a.rs", "use std::fs;\nuse crate::b::{self, X};"),
            ("b/mod.rs", "mod below;\n\nfn f() { crate::c::g(1) }"),
            ("b/below.rs", ""),
            ("c.rs", "type Y = super::a::Y;"),
        ];
        assert_eq!(cycles(&files), ["a.rs:2 -> b/mod.rs:3 -> c.rs:1 -> a.rs"]);
    }

    #[test]
    fn a_child_that_its_parent_exports_must_not_import_from_it() {
        let parent = |text| [("lib.rs", text), ("child.rs", "use super::X;")];
        assert_eq!(
            cycles(&parent("mod child; pub use child::Y;")),
            ["child.rs:1 -> lib.rs:1 -> child.rs"]
        );
        assert_eq!(
            cycles(&parent("mod child; pub(in crate::child) struct X;")),
            [""; 0]
        );
    }

    #[test]
    fn paths_in_braces_macros_and_modules_of_the_same_file_are_seen() {
        for text in [
            "use {crate::{a::X as Z, d}, std::fs};",
            "fn f() { println!(\"{}\", crate::a::X) }",
            "mod tests { use super::super::a::*; }",
        ] {
            let files = [
                ("lib.rs", "mod a; mod b;"),
                ("a.rs", "use super::b::Y;"),
                ("b.rs", text),
            ];
            assert_eq!(cycles(&files), ["a.rs:1 -> b.rs:1 -> a.rs"], "{text}");
        }
    }
}
