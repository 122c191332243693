//! Content hashes: what an image is made of decides its tag.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

/// Collects named inputs. Names and contents are framed by their lengths, so
/// that two different lists of inputs never give the same bytes.
pub struct Inputs(Sha256);

impl Inputs {
    pub fn new() -> Self {
        Self(Sha256::new())
    }

    /// Adds a short text.
    pub fn text(&mut self, name: &str, value: &str) {
        self.frame(name.as_bytes());
        self.frame(value.as_bytes());
    }

    /// Adds a file by its content. Its times, owner and mode do not count.
    pub fn file(&mut self, name: &str, path: &Path) -> Result<()> {
        let content = of_file(path)?;
        self.text(name, &content);
        Ok(())
    }

    /// The hash, short enough for a tag and a file name.
    pub fn tag(self) -> String {
        hex(&self.0.finalize())[..16].to_owned()
    }

    fn frame(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
    }
}

/// The SHA-256 of a file's content, in hexadecimal.
pub fn of_file(path: &Path) -> Result<String> {
    let mut file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hex(&hash.finalize())),
            Ok(count) => hash.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::Inputs;

    fn tag(inputs: &[(&str, &str)]) -> String {
        let mut hash = Inputs::new();
        for (name, value) in inputs {
            hash.text(name, value);
        }
        hash.tag()
    }

    #[test]
    fn what_moves_between_a_name_and_its_value_changes_the_tag() {
        assert_ne!(tag(&[("ab", "c")]), tag(&[("a", "bc")]));
        assert_ne!(tag(&[("a", "b"), ("c", "d")]), tag(&[("a", "bcd")]));
    }

    #[test]
    fn a_files_time_and_mode_do_not_count_but_its_content_does() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("input");
        let tag_now = || {
            let mut hash = Inputs::new();
            hash.file("input", &path).unwrap();
            hash.tag()
        };
        std::fs::write(&path, "one").unwrap();
        let first = tag_now();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        std::fs::File::options()
            .append(true)
            .open(&path)
            .unwrap()
            .set_modified(std::time::UNIX_EPOCH)
            .unwrap();
        assert_eq!(tag_now(), first);
        std::fs::write(&path, "two").unwrap();
        assert_ne!(tag_now(), first);
    }
}
