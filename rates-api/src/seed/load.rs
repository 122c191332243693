//! The load, which runs in another container of the same pod, at the same time.
//!
//! It makes a file with a lock on it. The kernel holds the lock until the load's process ends, in whatever way. Before a
//! good end the load writes `done`.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;

/// Between two looks for a load that has not begun.
const LOOK: Duration = Duration::from_millis(50);
const DONE: &str = "done";

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("the load did not come to a good end; its container says why")]
    Failed,
    #[error("cannot see in {path} whether the load has ended")]
    Unseen {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Waits until the load has begun and ended, for as long as that takes.
///
/// # Errors
/// When it failed or was killed.
pub async fn ended(path: &Path) -> Result<(), LoadError> {
    let unseen = |source| LoadError::Unseen {
        path: path.to_owned(),
        source,
    };
    let file = loop {
        match File::open(path) {
            Ok(file) => break file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => sleep(LOOK).await,
            Err(error) => return Err(unseen(error)),
        }
    };
    let last = spawn_blocking(move || last_word(file))
        .await
        .map_err(io::Error::other)
        .flatten()
        .map_err(unseen)?;
    if last == DONE {
        Ok(())
    } else {
        Err(LoadError::Failed)
    }
}

/// What the file says once nobody has its lock any more.
fn last_word(file: File) -> io::Result<String> {
    file.lock_shared()?;
    let mut text = String::new();
    file.take(16).read_to_string(&mut text)?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use tokio::task::JoinHandle;
    use tokio::time::timeout;

    use super::*;

    /// As the load makes it: locked before it has its name.
    fn begun(path: &Path) -> File {
        let new = path.with_extension("new");
        let file = File::create(&new).unwrap();
        file.lock().unwrap();
        fs::rename(&new, path).unwrap();
        file
    }

    fn wait(path: &Path) -> JoinHandle<Result<(), LoadError>> {
        let path = path.to_owned();
        tokio::spawn(async move { ended(&path).await })
    }

    #[tokio::test]
    async fn a_load_is_waited_for_until_it_has_begun_and_ended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("load");
        let mut waits = wait(&path);
        assert!(timeout(LOOK * 3, &mut waits).await.is_err(), "it has not begun");

        let mut load = begun(&path);
        load.write_all(b"done\n").unwrap();
        assert!(timeout(LOOK * 3, &mut waits).await.is_err(), "it has not ended");

        drop(load);
        waits.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_load_that_ends_without_its_last_word_has_failed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("load");
        let load = begun(&path);
        let waits = wait(&path);
        drop(load);
        assert!(matches!(waits.await.unwrap(), Err(LoadError::Failed)));
        // Also to one who comes later.
        assert!(matches!(ended(&path).await, Err(LoadError::Failed)));
    }

    #[tokio::test]
    async fn one_who_comes_after_a_good_end_goes_on_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("load");
        fs::write(&path, "done\n").unwrap();
        ended(&path).await.unwrap();
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = ended(folder.path()).await.unwrap_err();
        assert!(matches!(error, LoadError::Unseen { .. }), "{error:?}");
    }
}
