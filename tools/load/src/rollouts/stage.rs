//! An environment, the load on it, and one step after the other.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use serde_json::json;

use super::broken::{Broken, Trouble};
use super::change::{Change, Expected};
use super::images::Images;
use super::protection::{Protection, Rest};
use super::report::{Kind, Report, Step};
use super::subject::{Play, Subject};
use crate::{Load, Outcome, Phase, Questions, STATEMENT, Settings, Size};
use client::dump::Dump;
use client::service;
use client::wait::{Look, until};

pub struct Stage {
    pub images: Images,
    play: Play,
    subject: Subject,
    load: Load,
    steps: Vec<Step>,
}

/// A batch in flight: so much content.
const LARGE: Size = Size {
    days: 10,
    prices: 300,
};
/// Between two batches of the mix.
const BATCH_EVERY: Duration = Duration::from_secs(2);
/// How long a batch in flight goes on after the propagation time: new pods start before old ones end.
const BEYOND: Duration = Duration::from_secs(15);
const QUESTIONS: usize = 400;
/// For a batch that was interrupted: the database comes back, and its lease runs out.
const AGAIN: Duration = Duration::from_mins(1);

impl Stage {
    /// Makes the environment and starts the load on its Service.
    pub fn begin(name: &str, play: Play) -> Result<Self> {
        let images = Images::of_environment()?;
        let subject = Subject::create(name, &play.shape)?;
        let target = service::address(&subject.environment.kubectl, &subject.deployment())?;
        let dump = Dump::parse(include_str!("../../../../db/rates.sql"))?;
        let load = Load::start(Settings {
            target,
            rate: play.rate,
            batch_every: BATCH_EVERY,
            probe_every: None,
            overflow: false,
            token: subject.environment.ingest_token()?,
            questions: Questions::of(&dump, QUESTIONS, 1)?,
        })?;
        Ok(Self {
            images,
            play,
            subject,
            load,
            steps: Vec::new(),
        })
    }

    /// Nothing but the load, and a batch in flight.
    pub fn quiet(&mut self, duration: Duration) {
        let over = duration.min(self.in_flight());
        self.step("quiet", Kind::Quiet, |stage, step| {
            let batch = stage.load.send(LARGE, over)?;
            stage.until(step.from + duration)?;
            stage.applied(batch, over)
        });
    }

    /// A change with a batch in flight.
    pub fn change(&mut self, name: &str, change: &Change) {
        let expected = change.expected();
        let kind = match expected {
            Expected::Nothing => Kind::Rollout,
            Expected::InterruptedBatches => Kind::Database,
        };
        let over = self.in_flight();
        self.step(name, kind, |stage, step| {
            let batch = stage.load.send(LARGE, over)?;
            change.make(&mut stage.subject, &stage.load)?;
            step.change_seconds = stage.load.now().saturating_sub(step.from).as_secs_f64();
            match expected {
                Expected::Nothing => stage.applied(batch, over)?,
                Expected::InterruptedBatches => {
                    let outcome = stage.load.outcome(batch, over + AGAIN)?;
                    step.batch = Some(format!("{outcome:?}"));
                    stage.again()?;
                }
            }
            stage.until(step.from + stage.play.step)
        });
    }

    /// An image that does not work, and the way back.
    pub fn broken(&mut self, broken: Broken) {
        self.step(broken.mode(), Kind::Broken, |stage, step| {
            let image = stage.images.get(broken.mode())?;
            let trouble: Trouble = broken.play(&mut stage.subject, &image)?;
            step.trouble = Some(trouble);
            Ok(())
        });
    }

    /// A batch that takes longer than batches may: refused, nothing of it left, and taken when sent again.
    pub fn too_long(&mut self, most: Duration) {
        let pointer = "/api/rollout/maxBatchSeconds";
        let before = self.subject.value(pointer);
        self.step(
            "a batch longer than maxBatchSeconds",
            Kind::Deadline,
            |stage, step| {
                stage.subject.set(pointer, json!(most.as_secs()))?;
                stage.subject.settled()?;
                let began = Instant::now();
                let number = stage.load.send(LARGE, most * 4)?;
                let outcome = stage.load.outcome(number, most * 4)?;
                step.batch = Some(format!(
                    "{outcome:?} after {:.1} s",
                    began.elapsed().as_secs_f64()
                ));
                let Outcome::Refused { .. } = outcome else {
                    bail!("not refused with a problem document: {outcome:?}");
                };
                ensure!(
                    began.elapsed() >= most,
                    "refused after {:?} already",
                    began.elapsed()
                );
                stage.again()?;
                stage.subject.set(pointer, before)?;
                stage.subject.settled()
            },
        );
    }

    /// Rollouts without one of the protections, and then with it again.
    pub fn without(&mut self, protection: Protection, restarts: u32) {
        let usual = self.play.rate;
        self.step(protection.name(), Kind::Unprotected, |stage, _| {
            let slow = stage.images.get("slow")?;
            let over = stage.in_flight();
            let rest = Rest::begin()?;
            let removed = protection.remove(&stage.subject, &slow)?;
            let played = (|| {
                Protection::rolled_out(&stage.subject)?;
                stage.load.set_rate(protection.rate(usual));
                for _ in 0..restarts {
                    let batch = stage.load.send(LARGE, over)?;
                    Protection::restart(&stage.subject)?;
                    // Lost or not: it is counted.
                    stage.load.outcome(batch, over + AGAIN)?;
                }
                Ok(())
            })();
            stage.load.set_rate(usual);
            let put_back = removed.put_back(&stage.subject);
            drop(rest);
            put_back?;
            stage.subject.settled()?;
            played
        });
        // What its pods still do without protection is not the next step's.
        self.step("protected again", Kind::Between, |stage, _| {
            stage.subject.settled()?;
            stage.again()
        });
    }

    /// Ends the load, and holds the database against what was acknowledged.
    pub fn finish(self) -> Result<Report> {
        let log = self.load.stop()?;
        let rows = until("the database's batches", AGAIN, || {
            self.subject.environment.psql(STATEMENT).map(Look::Holds)
        })?;
        let differences = log.ledger.reconcile(&rows);
        Ok(Report::new(self.play, self.steps, &log, differences))
    }

    fn in_flight(&self) -> Duration {
        self.play.shape.propagation + BEYOND
    }

    /// Waits until the load's clock shows this.
    fn until(&self, time: Duration) -> Result<()> {
        let limit = time.saturating_sub(self.load.now()) + AGAIN;
        until(format_args!("the load has run for {time:?}"), limit, || {
            Ok(if self.load.now() >= time {
                Look::Holds(())
            } else {
                Look::NotYet(String::new())
            })
        })
    }

    fn applied(&self, batch: usize, over: Duration) -> Result<()> {
        let outcome = self.load.outcome(batch, over + AGAIN)?;
        ensure!(
            outcome == Outcome::Applied,
            "the batch in flight was answered with {outcome:?}"
        );
        Ok(())
    }

    /// Sends every batch that was not applied again, with its key, until it is.
    fn again(&self) -> Result<()> {
        for number in self.load.not_applied() {
            until(format_args!("batch {number} is taken"), AGAIN, || {
                let outcome = self.load.again(number)?;
                Ok(match outcome {
                    Outcome::Applied => Look::Holds(()),
                    other => Look::NotYet(format!("{other:?}")),
                })
            })?;
        }
        Ok(())
    }

    /// One step. What goes wrong is noted, and the next one is played all the same.
    fn step(&mut self, name: &str, kind: Kind, play: impl FnOnce(&mut Self, &mut Step) -> Result<()>) {
        let mut step = Step::new(name, kind, self.load.now());
        let played = play(self, &mut step);
        step.error = played.err().map(|error| format!("{error:#}"));
        step.to = self.load.now();
        step.seconds = step.to.saturating_sub(step.from).as_secs_f64();
        let summary = self.load.summary(&Phase {
            name: step.name.clone(),
            from: step.from,
            to: step.to,
        });
        eprintln!(
            "rollouts: {:<36} {:>6.1} s {:>6} requests, {} failed, {} wrong, {} batches failed, p99 {:.1} ms{}",
            step.name,
            step.seconds,
            summary.requests,
            summary.failed,
            summary.wrong,
            summary.failed_batches,
            summary.p99,
            step.error
                .as_ref()
                .map_or_else(String::new, |error| format!("\n  {error}")),
        );
        self.steps.push(step);
    }
}
