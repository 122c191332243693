//! The files of a report, and the archive or folder that they are written to.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;
use serde_json::Value;

use crate::redact::{redact, redact_object};

/// Paths and contents, in the order in which they were added.
#[derive(Default)]
pub struct Files {
    files: Vec<(String, String)>,
    unread: Vec<String>,
}

impl Files {
    pub fn text(&mut self, path: &str, text: &str) {
        self.files.push((path.to_owned(), redact(text)));
    }

    /// An object as YAML, without what looks like a secret.
    pub fn object(&mut self, path: &str, mut object: Value) -> Result<()> {
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("managedFields");
        }
        redact_object(&mut object);
        self.files
            .push((path.to_owned(), serde_yaml::to_string(&object)?));
        Ok(())
    }

    /// Objects as documents of one file.
    pub fn objects<T: Serialize>(&mut self, path: &str, objects: &[T]) -> Result<()> {
        let mut all = Files::default();
        for object in objects {
            all.object(path, serde_json::to_value(object)?)?;
        }
        let documents: Vec<String> = all.files.into_iter().map(|(_, text)| text).collect();
        self.files.push((path.to_owned(), documents.join("---\n")));
        Ok(())
    }

    /// What could not be read is named in the report.
    pub fn not_read(&mut self, path: &str, why: &str) {
        self.unread.push(format!("{path}: {}\n", redact(why)));
    }

    #[must_use]
    pub fn unread(&self) -> &[String] {
        &self.unread
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Writes an archive, or a folder.
    pub fn write(mut self, output: &Path) -> Result<()> {
        if !self.unread.is_empty() {
            self.files.push(("unread.txt".to_owned(), self.unread.concat()));
        }
        let written = if is_archive(output) {
            self.write_archive(output)
        } else {
            self.write_folder(output)
        };
        written.with_context(|| format!("cannot write {}", output.display()))
    }

    fn write_folder(&self, output: &Path) -> Result<()> {
        for (path, text) in &self.files {
            let path = output.join(path);
            fs::create_dir_all(path.parent().unwrap_or(output))?;
            fs::write(path, text)?;
        }
        Ok(())
    }

    fn write_archive(&self, output: &Path) -> Result<()> {
        let name = output.file_name().unwrap_or_default().to_string_lossy();
        let folder = name
            .trim_end_matches(".tar.gz")
            .trim_end_matches(".tgz")
            .to_owned();
        let file = fs::File::create_new(output)?;
        let mut archive = tar::Builder::new(GzEncoder::new(file, Compression::default()));
        for (path, text) in &self.files {
            let mut header = tar::Header::new_gnu();
            header.set_size(u64::try_from(text.len())?);
            header.set_mode(0o600);
            archive.append_data(&mut header, format!("{folder}/{path}"), text.as_bytes())?;
        }
        archive.into_inner()?.finish()?.flush()?;
        Ok(())
    }
}

/// Whether it can be written, before minutes are spent on reading.
pub fn check(output: &Path) -> Result<()> {
    ensure!(
        !output.exists(),
        "{} is there already: name another file or folder by --output",
        output.display()
    );
    let folder = output.parent().filter(|folder| !folder.as_os_str().is_empty());
    ensure!(
        !is_archive(output) || folder.is_none_or(Path::is_dir),
        "the folder of {} does not exist",
        output.display()
    );
    Ok(())
}

fn is_archive(output: &Path) -> bool {
    let name = output.to_string_lossy();
    [".tar.gz", ".tgz"].iter().any(|ending| name.ends_with(ending))
}
