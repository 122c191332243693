//! Images that do not work: what status says of them, and the way back.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde::Serialize;
use serde_json::{Value, json};

use super::subject::Subject;
use client::environment::condition;
use client::wait::{Look, until};

/// Status has to say why within this.
const WANTED: Duration = Duration::from_secs(30);
/// So long it is waited for, to say how late it is.
const PATIENCE: Duration = Duration::from_secs(90);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Broken {
    Crashes,
    Hangs,
    MigrationFails,
}

/// What status said of it.
#[derive(Clone, Debug, Serialize)]
pub struct Trouble {
    pub image: Broken,
    /// Seconds from `kubectl apply`.
    pub said_after: f64,
    pub reason: String,
    pub message: String,
    /// Seconds from the `kubectl apply` that goes back.
    pub back_after: f64,
}

impl Broken {
    pub const ALL: [Self; 3] = [Self::Crashes, Self::Hangs, Self::MigrationFails];

    /// The stand-in's mode.
    #[must_use]
    pub fn mode(self) -> &'static str {
        match self {
            Self::Crashes => "crashes",
            Self::Hangs => "hangs",
            Self::MigrationFails => "migration-fails",
        }
    }

    /// The reason of condition Progressing, and words that its message has.
    fn expected(self) -> (&'static str, &'static str) {
        match self {
            Self::Crashes => ("CrashLoop", "ends right after its start"),
            Self::Hangs => ("NotReady", ""),
            Self::MigrationFails => ("MigrationFailed", "no_such_table"),
        }
    }

    /// Applies the image, waits for status to say why it does not work, and goes back with one apply.
    pub fn play(self, subject: &mut Subject, image: &str) -> Result<Trouble> {
        let before = subject.value("/api/image");
        let (pods, (reason, words)) = (subject.pod_names()?, self.expected());
        let applied = Instant::now();
        subject.set("/api/image", json!(image))?;
        let said = until(
            format_args!("condition Progressing is False with reason {reason}"),
            PATIENCE,
            || {
                let object = subject.environment.object()?;
                let found = condition(&object, "Progressing");
                let current = object["metadata"]["generation"] == object["status"]["observedGeneration"];
                Ok(
                    if current && found["status"] == "False" && found["reason"] == reason {
                        Look::Holds(object)
                    } else {
                        Look::NotYet(object["status"]["conditions"].to_string())
                    },
                )
            },
        );
        let said_after = applied.elapsed();
        // Back, whatever was said: the load goes on.
        let back = Instant::now();
        let now = subject.pod_names()?;
        subject.set("/api/image", before)?;
        subject.settled()?;
        let back_after = back.elapsed();
        let object = said?;
        let found = condition(&object, "Progressing");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let trouble = Trouble {
            image: self,
            said_after: said_after.as_secs_f64(),
            reason: text(&found["reason"]),
            message: text(&found["message"]),
            back_after: back_after.as_secs_f64(),
        };
        ensure!(
            trouble.message.contains(words),
            "{trouble:?} does not say {words:?}"
        );
        ensure!(
            object["status"]["phase"] == "Degraded",
            "the phase is {}",
            object["status"]["phase"]
        );
        ensure!(
            condition(&object, "Ready")["status"] == "True",
            "the old pods serve, and Ready is {}",
            condition(&object, "Ready")
        );
        ensure!(
            pods.iter().all(|pod| now.contains(pod)),
            "of the old pods {pods:?} there are {now:?}"
        );
        Ok(trouble)
    }
}

impl Trouble {
    #[must_use]
    pub fn in_time(&self) -> bool {
        self.said_after <= WANTED.as_secs_f64()
    }
}
