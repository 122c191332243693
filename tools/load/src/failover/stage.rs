//! An environment, the load on it, and one fault after the other.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::database::{Database, Pod};
use super::fault::{Fault, Primary};
use super::play::Play;
use super::report::{Report, Round};
use super::scene::Scene;

use crate::rollouts::Subject;
use crate::{Lane, Load, Phase, Questions, STATEMENT, Settings};
use client::dump::Dump;
use client::proxy::Proxy;
use client::service;
use client::wait::{Look, until, until_measured};

pub struct Stage {
    pub subject: Subject,
    proxy: Proxy,
    play: Play,
    load: Load,
    rounds: Vec<Round>,
    /// Batches that were found to be wrong, each counted with the round after which it was first.
    known: BTreeSet<String>,
}

const BATCH_EVERY: Duration = Duration::from_secs(2);
const QUESTIONS: usize = 400;
/// Until all is whole again after a fault has ended: a lost instance is cloned anew, a container waits to be restarted.
const WHOLE: Duration = Duration::from_mins(4);
/// For a batch that was interrupted, to be taken when it is sent again.
const AGAIN: Duration = Duration::from_mins(1);
/// So many of those are sent together.
const AT_ONCE: usize = 4;
/// What is measured goes on for so long after all is whole.
const AFTER: Duration = Duration::from_secs(2);

impl Stage {
    /// Makes the environment and starts the load on its Service.
    pub fn begin(name: &str, play: Play, prepare: impl FnOnce(&Subject) -> Result<()>) -> Result<Self> {
        let subject = Subject::with_spec(name, play.spec.clone())?;
        let proxy = Proxy::start()?;
        until("the database is whole", WHOLE, || {
            let database = Database {
                environment: &subject.environment,
                api: proxy.client(),
            };
            database.healthy(play.instances)
        })?;
        prepare(&subject)?;
        let target = service::address(&subject.environment.kubectl, &subject.deployment())?;
        let dump = Dump::parse(include_str!("../../../../db/rates.sql"))?;
        let load = Load::start(Settings {
            target,
            rate: play.rate,
            batch_every: BATCH_EVERY,
            probe_every: Some(play.probe_every),
            overflow: true,
            token: subject.environment.ingest_token()?,
            questions: Questions::of(&dump, QUESTIONS, 1)?,
        })?;
        Ok(Self {
            subject,
            proxy,
            play,
            load,
            rounds: Vec::new(),
            known: BTreeSet::new(),
        })
    }

    fn database(&self) -> Database<'_> {
        Database {
            environment: &self.subject.environment,
            api: self.proxy.client(),
        }
    }

    /// Nothing but the load.
    pub fn quiet(&mut self, duration: Duration) -> Result<()> {
        let mut round = Round::new("quiet", self.load.now());
        let end = round.from + duration;
        until("the load has run", duration + AGAIN, || {
            Ok(if self.load.now() >= end {
                Look::Holds(())
            } else {
                Look::NotYet(String::new())
            })
        })?;
        self.measure(&mut round);
        self.rounds.push(round);
        Ok(())
    }

    /// One fault, once. What goes wrong is noted: false, and the next one can be played all the same.
    pub fn fault(&mut self, fault: &dyn Fault) -> bool {
        self.named(fault.name(), fault)
    }

    /// As [`Stage::fault`], counted apart, as something is missing that protects from it.
    pub fn fault_without(&mut self, missing: &str, fault: &dyn Fault) {
        self.named(&format!("{}, {missing}", fault.name()), fault);
    }

    fn named(&mut self, name: &str, fault: &dyn Fault) -> bool {
        let mut round = Round::new(name, self.load.now());
        let played = self.round(fault, &mut round);
        round.error = played.err().map(|error| format!("{error:#}"));
        self.measure(&mut round);
        if let Err(error) = self.compare(&mut round) {
            round.error.get_or_insert_with(|| format!("{error:#}"));
        }
        eprintln!("failover: {round}");
        let right = round.error.is_none();
        self.rounds.push(round);
        right
    }

    fn round(&mut self, fault: &dyn Fault, round: &mut Round) -> Result<()> {
        let instances = self.play.instances;
        until_measured("all is whole before the fault", WHOLE, || {
            self.database().healthy(instances)
        })?;
        let primary = self.database().primary()?;
        let mut scene = Scene {
            subject: &mut self.subject,
            load: &self.load,
            api: self.proxy.client(),
            instances,
            primary: primary.clone(),
            notes: Vec::new(),
        };
        round.from = self.load.now();
        let began = Instant::now();
        let played = fault.play(&mut scene);
        round.notes = scene.notes;
        round.played = began.elapsed().as_secs_f64();
        let whole = until_measured("all is whole again", WHOLE, || self.database().healthy(instances));
        round.whole = whole.is_ok().then(|| began.elapsed().as_secs_f64());
        if whole.is_err() {
            round.notes.extend(self.diagnosis());
        }
        std::thread::sleep(AFTER);
        round.acknowledged = self.load.ledger().acknowledged_since(began);
        round.to = self.load.now();
        played?;
        whole?;
        self.again()?;
        let now = self.database().leader()?;
        round.moved = format!("{} to {now}", primary.name);
        let moved = now != primary.name;
        match fault.expected().primary {
            Primary::Another => ensure!(moved, "{now} is the primary as before"),
            Primary::Same => ensure!(
                !moved,
                "{now} is the primary now, and nothing was wrong with the one before"
            ),
            Primary::Any => {}
        }
        Ok(())
    }

    /// The last words of every instance that is not well.
    fn diagnosis(&self) -> Vec<String> {
        let mut pods = self.database().pods().unwrap_or_default();
        pods.retain(|pod| !pod.ready || pod.ending);
        let kubectl = &self.subject.environment.kubectl;
        let look = |arguments: &[&str]| {
            kubectl
                .run(arguments.iter().copied())
                .unwrap_or_else(|error| format!("{error:#}"))
        };
        pods.iter()
            .map(|Pod { name, .. }| {
                let last = "--tail=30";
                format!(
                    "{name}:\n{}\npostgres:\n{}\nroles:\n{}",
                    look(&["describe", "pod", name]),
                    look(&["logs", name, "--container=postgres", last]),
                    look(&["logs", name, "--container=roles", last]),
                )
            })
            .collect()
    }

    fn measure(&self, round: &mut Round) {
        if round.to <= round.from {
            round.to = self.load.now();
        }
        let phase = Phase {
            name: round.fault.clone(),
            from: round.from,
            to: round.to,
        };
        let gap = |chosen: fn(Lane) -> bool| self.load.longest_gap(&phase, chosen).as_secs_f64();
        round.without_write = gap(|lane| lane == Lane::Batch);
        round.without_read = gap(|lane| lane != Lane::Batch);
        round.summary = self.load.summary(&phase);
    }

    /// Holds the database against the ledger.
    fn compare(&mut self, round: &mut Round) -> Result<()> {
        let asked = Instant::now();
        let rows = rows(self.database())?;
        for difference in self.load.ledger().reconcile_at(&rows, asked) {
            let key = difference
                .batch
                .map_or_else(|| difference.text.clone(), |number| number.to_string());
            if self.known.insert(key) {
                round.lost += usize::from(difference.lost);
                round.differences.push(difference.text);
            }
        }
        Ok(())
    }

    /// Sends every batch that was not applied again, with its key, until it is: a few at once, as the API takes no more.
    /// Those that come meanwhile are left to the next round.
    fn again(&self) -> Result<()> {
        let first = self.load.not_applied();
        let waiting = || {
            let mut waiting = self.load.not_applied();
            waiting.retain(|number| first.contains(number));
            waiting
        };
        let limit = AGAIN + Duration::from_secs(1) * u32::try_from(first.len())?;
        until_measured(
            "every interrupted batch is taken when it is sent again",
            limit,
            || {
                let waiting = waiting();
                let few: Vec<_> = waiting.iter().take(AT_ONCE).copied().collect();
                for number in &few {
                    self.load.begin_again(*number);
                }
                for number in few {
                    self.load.outcome(number, AGAIN)?;
                }
                Ok(if waiting.is_empty() {
                    Look::Holds(())
                } else {
                    Look::NotYet(format!("{} of {}", waiting.len(), first.len()))
                })
            },
        )
    }

    /// Ends the load, and holds the database against what was acknowledged.
    pub fn finish(self) -> Result<Report> {
        let log = self.load.stop()?;
        let database = Database {
            environment: &self.subject.environment,
            api: self.proxy.client(),
        };
        let rows = rows(database)?;
        let differences = log.ledger.reconcile(&rows);
        Ok(Report::new(&self.play, self.rounds, &log, differences))
    }
}

/// The rows of all batches, as the primary has them.
fn rows(database: Database<'_>) -> Result<String> {
    until("the database's batches", AGAIN, || {
        let primary = database.leader()?;
        database.sql(&primary, "rates", STATEMENT).map(Look::Holds)
    })
}
