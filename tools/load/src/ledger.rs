//! The batches: what was sent, what was answered, and so what a read or the database may show.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::ToSpan as _;
use serde::Serialize;

use super::batch::{Batch, EPOCH, Shown, Size};
use super::failure::Failure;
use super::record::{Wrong, WrongKind};

/// What came of sending a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// 201
    Applied,
    /// Another answer, and a problem document.
    Refused { status: u16, detail: String },
    /// An answer that says that it is not known.
    InDoubt,
    /// No whole answer.
    Failed(Failure),
}

/// A batch of which the database has something else than was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// None for rows of no batch.
    pub batch: Option<usize>,
    /// It was acknowledged, and is not there as it was sent.
    pub lost: bool,
    pub text: String,
}

#[derive(Default)]
pub struct Ledger(Mutex<State>);

#[derive(Default)]
struct State {
    entries: Vec<Entry>,
    /// Days that are given to batches.
    days: i32,
    /// The one that was acknowledged last.
    newest: Option<usize>,
}

struct Entry {
    batch: Batch,
    /// The token that its key belongs to.
    token: Option<String>,
    under_way: bool,
    /// When its last bytes were handed over for the first time.
    complete: Option<Instant>,
    answered: Option<(Instant, Outcome)>,
    applied: Option<Instant>,
}

impl Ledger {
    /// Another batch, not sent yet.
    pub fn plan(&self, size: Size, run: &str) -> usize {
        let mut state = self.state();
        let number = state.entries.len();
        let first = EPOCH.saturating_add(state.days.days());
        state.days += i32::from(size.days);
        state.entries.push(Entry {
            batch: Batch {
                number,
                key: format!("{run}-{number}"),
                first,
                size,
            },
            token: None,
            under_way: false,
            complete: None,
            answered: None,
            applied: None,
        });
        number
    }

    /// The batch, and the token to send it with: always the first one.
    pub fn begin(&self, number: usize, token: &str) -> Option<(Batch, String)> {
        self.with(number, |entry| {
            let token = entry.token.get_or_insert_with(|| token.to_owned()).clone();
            (entry.batch.clone(), token)
        })
    }

    /// The first bytes are handed over.
    pub fn under_way(&self, number: usize) {
        self.with(number, |entry| entry.under_way = true);
    }

    /// The last bytes are about to be.
    pub fn complete(&self, number: usize) {
        self.with(number, |entry| {
            entry.complete.get_or_insert_with(Instant::now);
        });
    }

    pub fn answered(&self, number: usize, outcome: Outcome) {
        let mut state = self.state();
        let Some(entry) = state.entries.get_mut(number) else {
            return;
        };
        let now = Instant::now();
        let applied = outcome == Outcome::Applied;
        if applied {
            entry.applied.get_or_insert(now);
        }
        entry.answered = Some((now, outcome));
        if applied {
            state.newest = Some(number);
        }
    }

    pub fn begin_again(&self, number: usize) {
        self.with(number, |entry| entry.answered = None);
    }

    #[must_use]
    pub fn is_under_way(&self, number: usize) -> bool {
        self.with(number, |entry| entry.under_way).unwrap_or(false)
    }

    #[must_use]
    pub fn outcome(&self, number: usize) -> Option<Outcome> {
        self.with(number, |entry| {
            entry.answered.as_ref().map(|(_, outcome)| outcome.clone())
        })?
    }

    #[must_use]
    pub fn describe(&self, number: usize) -> String {
        format!("{:?}", self.outcome(number))
    }

    #[must_use]
    pub fn not_applied(&self) -> Vec<usize> {
        let state = self.state();
        let entries = state.entries.iter();
        entries
            .filter(|entry| entry.answered.is_some() && entry.applied.is_none())
            .map(|entry| entry.batch.number)
            .collect()
    }

    /// The last batch that was acknowledged, or one of the last that were sent, or the one that comes next.
    pub fn draw(&self, random: &mut fastrand::Rng) -> Option<Batch> {
        let state = self.state();
        if random.bool()
            && let Some(newest) = state.newest
        {
            return state.entries.get(newest).map(|entry| entry.batch.clone());
        }
        let from = state.entries.len().saturating_sub(RECENT);
        random
            .choice(&state.entries[from..])
            .map(|entry| entry.batch.clone())
    }

    /// Whether a read that took so long may show this of a batch.
    pub fn judge(&self, number: usize, shown: Shown, began: Instant, ended: Instant) -> Result<(), Wrong> {
        self.with(number, |entry| {
            let since = |at: Instant, later: Instant| later.saturating_duration_since(at);
            match shown {
                Shown::Nothing => match entry.applied {
                    Some(applied) if applied <= began => Err(Wrong {
                        kind: WrongKind::Stale,
                        text: format!(
                            "batch {number} was acknowledged {:?} before a read that shows nothing of it",
                            since(applied, began)
                        ),
                    }),
                    _ => Ok(()),
                },
                Shown::Whole => match (entry.complete, &entry.answered) {
                    (None, _) => Err(Wrong::other(format!(
                        "batch {number} is shown, and was not sent whole yet"
                    ))),
                    (Some(complete), _) if complete > ended => Err(Wrong::other(format!(
                        "batch {number} was shown {:?} before it was sent whole",
                        since(ended, complete)
                    ))),
                    (_, Some((refused, Outcome::Refused { status, .. })))
                        if entry.applied.is_none() && *refused <= began =>
                    {
                        Err(Wrong::other(format!(
                            "batch {number} is shown, and was refused with {status}"
                        )))
                    }
                    _ => Ok(()),
                },
            }
        })
        .unwrap_or_else(|| Err(Wrong::other(format!("there is no batch {number}"))))
    }

    /// Holds the database's rows, `DAY|COUNT|SUM` a line, against all batches once all are answered; gives what differs.
    #[must_use]
    pub fn reconcile(&self, rows: &str) -> Vec<String> {
        self.reconcile_at(rows, Instant::now())
            .into_iter()
            .map(|difference| difference.text)
            .collect()
    }

    /// As [`Ledger::reconcile`], while batches are under way: the rows are those of this moment or later.
    #[must_use]
    pub fn reconcile_at(&self, rows: &str, asked: Instant) -> Vec<Difference> {
        let mut found: BTreeMap<&str, &str> = rows.lines().filter_map(|line| line.split_once('|')).collect();
        let state = self.state();
        let mut differences = Vec::new();
        for entry in &state.entries {
            let expected = entry.batch.rows();
            let days: Vec<_> = expected.lines().filter_map(|line| line.split_once('|')).collect();
            let there: Vec<_> = days.iter().map(|(day, _)| found.remove(*day)).collect();
            let nothing = there.iter().all(Option::is_none);
            let whole = there
                .iter()
                .zip(&days)
                .all(|(found, (_, row))| *found == Some(*row));
            let applied = entry.applied.is_some_and(|applied| applied <= asked);
            let right = match &entry.answered {
                _ if applied => whole,
                Some((answered, Outcome::Refused { .. }))
                    if entry.applied.is_none() && *answered <= asked =>
                {
                    nothing
                }
                None if entry.complete.is_none() => nothing,
                _ => whole || nothing,
            };
            if !right {
                let outcome = entry.answered.as_ref().map(|(_, outcome)| outcome);
                differences.push(Difference {
                    batch: Some(entry.batch.number),
                    lost: applied,
                    text: format!(
                        "batch {} ({outcome:?}): the database has {there:?}, of {days:?}",
                        entry.batch.number
                    ),
                });
            }
        }
        differences.extend(found.iter().map(|(day, row)| Difference {
            batch: None,
            lost: false,
            text: format!("{day} has {row}, and no batch was sent for it"),
        }));
        differences
    }

    /// How many were acknowledged since a moment.
    #[must_use]
    pub fn acknowledged_since(&self, moment: Instant) -> usize {
        let state = self.state();
        let applied = state.entries.iter().filter_map(|entry| entry.applied);
        applied.filter(|applied| *applied >= moment).count()
    }

    /// How many there are, and how many of them were acknowledged.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let state = self.state();
        let applied = state.entries.iter().filter(|entry| entry.applied.is_some());
        (state.entries.len(), applied.count())
    }

    fn with<T>(&self, number: usize, change: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        self.state().entries.get_mut(number).map(change)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The statement whose answer [`Ledger::reconcile`] takes.
pub const STATEMENT: &str =
    "SELECT day, count(*), sum(price) FROM prices WHERE day >= '2030-01-01' GROUP BY day ORDER BY day";

/// Of so many of the last batches something is asked.
const RECENT: usize = 40;

/// How long a whole batch may take beyond its own content's time.
pub const BATCH_PATIENCE: Duration = Duration::from_mins(1);

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { days: 2, prices: 3 };

    fn ledger_of_one() -> (Ledger, String) {
        let ledger = Ledger::default();
        let number = ledger.plan(SIZE, "test");
        let (batch, _) = ledger.begin(number, "token").unwrap();
        (ledger, batch.rows())
    }

    #[test]
    fn an_acknowledged_batch_is_in_the_database_once_and_whole() {
        let (ledger, rows) = ledger_of_one();
        ledger.complete(0);
        ledger.answered(0, Outcome::Applied);
        assert_eq!(ledger.reconcile(&rows), Vec::<String>::new());
        assert_eq!(ledger.reconcile("").len(), 1, "lost");
        let half = rows.lines().next().unwrap();
        assert_eq!(ledger.reconcile(half).len(), 1, "a part");
        assert_eq!(ledger.reconcile(&rows.replace("|3|", "|6|")).len(), 1, "twice");
    }

    #[test]
    fn a_refused_batch_leaves_nothing_and_one_without_an_answer_is_whole_or_absent() {
        let (ledger, rows) = ledger_of_one();
        ledger.complete(0);
        ledger.answered(
            0,
            Outcome::Refused {
                status: 503,
                detail: String::new(),
            },
        );
        assert_eq!(ledger.reconcile("").len(), 0);
        assert_eq!(ledger.reconcile(&rows).len(), 1);
        ledger.answered(0, Outcome::Failed(Failure::timed_out(1)));
        assert_eq!(ledger.reconcile("").len(), 0);
        assert_eq!(ledger.reconcile(&rows).len(), 0);
        assert_eq!(ledger.reconcile(rows.lines().next().unwrap()).len(), 1);
    }

    #[test]
    fn a_batch_under_way_may_be_there_or_not_and_one_acknowledged_before_must_be() {
        let (ledger, rows) = ledger_of_one();
        let before = Instant::now();
        assert_eq!(ledger.reconcile_at(&rows, before).len(), 1, "it was not sent");
        ledger.complete(0);
        assert_eq!(ledger.reconcile_at(&rows, before).len(), 0);
        assert_eq!(ledger.reconcile_at("", before).len(), 0);
        ledger.answered(0, Outcome::Applied);
        assert_eq!(ledger.reconcile_at("", before).len(), 0, "the rows may be older");
        let lost = ledger.reconcile_at("", Instant::now());
        assert!(lost[0].lost && lost[0].batch == Some(0), "{lost:?}");
    }

    #[test]
    fn rows_that_no_batch_brought_are_seen() {
        assert_eq!(Ledger::default().reconcile("2031-01-01|3|9").len(), 1);
    }

    #[test]
    fn a_read_may_not_miss_what_was_acknowledged_nor_show_what_was_not_sent() {
        let (ledger, _) = ledger_of_one();
        let before = Instant::now();
        assert!(ledger.judge(0, Shown::Whole, before, Instant::now()).is_err());
        ledger.complete(0);
        ledger.answered(0, Outcome::Applied);
        let after = Instant::now();
        assert!(ledger.judge(0, Shown::Whole, before, after).is_ok());
        assert!(ledger.judge(0, Shown::Nothing, before, after).is_ok());
        assert!(ledger.judge(0, Shown::Nothing, after, Instant::now()).is_err());
    }
}
