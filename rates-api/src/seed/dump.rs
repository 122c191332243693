//! The bundled dump, written to a file for psql to load.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::report::Termination;

#[derive(clap::Args)]
pub struct DumpJob {
    /// The file to write; it appears whole or not at all
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
    #[command(flatten)]
    pub termination: Termination,
}

/// The project's own seed.
pub const BUNDLED: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../db/rates.sql"));

#[derive(Debug, Serialize, PartialEq, Eq)]
pub struct Dumped {
    pub bytes: usize,
}

#[derive(Debug, thiserror::Error)]
#[error("cannot write the bundled seed to {path}")]
pub struct DumpError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Writes the dump to the job's file, which appears whole or not at all.
///
/// # Errors
/// When the file cannot be written.
pub fn run(job: &DumpJob) -> Result<Dumped, DumpError> {
    write_whole(&job.output, BUNDLED.as_bytes()).map_err(|source| DumpError {
        path: job.output.clone(),
        source,
    })?;
    Ok(Dumped { bytes: BUNDLED.len() })
}

fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?.to_owned();
    name.push(".part");
    let part = path.with_file_name(name);
    let mut file = File::create(&part)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&part, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_holds_the_whole_dump_and_nothing_else_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("dump.sql");

        write_whole(&path, BUNDLED.as_bytes()).unwrap();

        assert_eq!(fs::read_to_string(&path).unwrap(), BUNDLED);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
