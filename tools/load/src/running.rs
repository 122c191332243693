//! A load under way, on a thread of its own.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use client::wait::{Look, until};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::batch::Size;
use super::driver::Driver;
use super::ledger::{Ledger, Outcome};
use super::log::Log;
use super::record::{Lane, Phase, Summary};
use super::settings::Settings;

/// A load that runs until it is stopped.
pub struct Load {
    driver: Arc<Driver>,
    runtime: Handle,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Load {
    /// Starts it on a thread of its own.
    pub fn start(settings: Settings) -> Result<Self> {
        let driver = Arc::new(Driver::new(settings));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start the load's runtime")?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let running = Arc::clone(&driver);
        let thread = std::thread::Builder::new()
            .name("load".to_owned())
            .spawn(move || runtime.block_on(running.run(stopped)))
            .context("cannot start the load's thread")?;
        Ok(Self {
            driver,
            runtime: handle,
            stop,
            thread,
        })
    }

    /// The time of the load, in which records are.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.driver.now()
    }

    /// Requests a second from now on.
    pub fn set_rate(&self, rate: f64) {
        self.driver.set_rate(rate);
    }

    /// The token of the batches from now on.
    pub fn set_token(&self, token: String) {
        self.driver.set_token(token);
    }

    /// Begins to send a batch whose content takes so long; gives its number when its first bytes are under way.
    pub fn send(&self, size: Size, over: Duration) -> Result<usize> {
        let number = self.driver.plan(size);
        self.runtime
            .spawn(Arc::clone(&self.driver).send(number, over, Instant::now()));
        until(format_args!("batch {number} is under way"), PATIENCE, || {
            Ok(if self.driver.ledger.is_under_way(number) {
                Look::Holds(())
            } else {
                Look::NotYet(self.driver.ledger.describe(number))
            })
        })?;
        Ok(number)
    }

    /// Waits for the answer to a batch.
    pub fn outcome(&self, number: usize, patience: Duration) -> Result<Outcome> {
        until(format_args!("batch {number} is answered"), patience, || {
            Ok(self
                .driver
                .ledger
                .outcome(number)
                .map_or_else(|| Look::NotYet("no answer".to_owned()), Look::Holds))
        })
    }

    /// Sends a batch again with its key, all at once, and gives the answer.
    pub fn again(&self, number: usize) -> Result<Outcome> {
        self.begin_again(number);
        self.outcome(number, PATIENCE)
    }

    /// Begins to send a batch again with its key, all at once.
    pub fn begin_again(&self, number: usize) {
        self.driver.ledger.begin_again(number);
        self.runtime
            .spawn(Arc::clone(&self.driver).send(number, Duration::ZERO, Instant::now()));
    }

    /// The batches that were answered with anything but 201.
    #[must_use]
    pub fn not_applied(&self) -> Vec<usize> {
        self.driver.ledger.not_applied()
    }

    /// Ends it once everything that is due was answered or failed.
    pub fn stop(self) -> Result<Log> {
        if self.stop.send(()).is_err() {
            bail!("the load ended before it was asked to");
        }
        self.thread
            .join()
            .map_err(|_| anyhow!("the load's thread panicked"))?;
        Ok(self.driver.log())
    }

    /// The longest time in a phase, which is over, without a right answer on one of these lanes.
    #[must_use]
    pub fn longest_gap(&self, phase: &Phase, chosen: impl Fn(Lane) -> bool) -> Duration {
        self.driver.gap(phase, chosen)
    }

    /// The ledger of its batches.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.driver.ledger
    }

    /// What was recorded until now in a phase.
    #[must_use]
    pub fn summary(&self, phase: &Phase) -> Summary {
        self.driver.summary(phase)
    }
}

/// For a batch to begin, and for one without delay to be answered.
const PATIENCE: Duration = Duration::from_mins(1);
