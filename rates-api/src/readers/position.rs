//! How far a server's write-ahead log goes, which says what it has.

use tokio_postgres::Row;
use tokio_postgres::types::PgLsn;

use crate::database::{Origin, Timelines, timeline};

/// A place in the log of one cluster. Everything that could be seen when the primary was there is in every server that is
/// at it or beyond, on the same timeline: another one, begun by a promotion, has another history behind the same numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    pub origin: Origin,
    lsn: u64,
}

/// The snapshot and, taken after it, the position of a primary; on a standby it fails.
///
/// `pg_current_snapshot()` is what decides visibility (PostgreSQL, "Snapshot functions"): every transaction that
/// writes has an id, and beginning or ending one changes it. Ids may return after a failover, so the time at which the
/// server started belongs to it. The log is looked at as far as it is written: what is seen need not be flushed, where
/// `synchronous_commit` is off.
pub const OF_PRIMARY: &str = "SELECT pg_current_snapshot()::text || ' ' || extract(epoch FROM pg_postmaster_start_time())::text, \
     left(pg_walfile_name(pg_current_wal_insert_lsn()), 8), pg_current_wal_insert_lsn()";

/// The position of a standby, or of one that was promoted; and whether it is in recovery. The control file learns of a new
/// timeline late, at the next restartpoint: until then a standby counts as one of the old timeline.
///
/// The place comes before the timeline: a server that is promoted between the two has all up to that place on the new
/// timeline too.
pub const OF_STANDBY: &str = "SELECT \
     CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END, \
     CASE WHEN pg_is_in_recovery() THEN to_hex(timeline_id) \
          ELSE left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) END, \
     pg_is_in_recovery() \
     FROM pg_control_checkpoint()";

/// As [`OF_STANDBY`], where the database has the function that tells which timeline the standby receives: it is on it from
/// the first byte. A receiver follows a timeline only from a place that is in its history.
pub const OF_RECEIVING_STANDBY: &str = "SELECT \
     CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END, \
     CASE WHEN pg_is_in_recovery() THEN to_hex(coalesce(rates_internal.receiver_timeline(), timeline_id)) \
          ELSE left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) END, \
     pg_is_in_recovery() \
     FROM pg_control_checkpoint()";

/// Whether [`OF_RECEIVING_STANDBY`] can be asked here.
pub const HAS_RECEIVER: &str = "SELECT coalesce(has_function_privilege(to_regprocedure('rates_internal.receiver_timeline()')::oid, 'EXECUTE'), false)";

/// Between two pages of the log, the next record begins behind a header. A standby that has replayed the last one is
/// before it.
const PAGE: u64 = 8192;
const HEADER: u64 = 24;

impl Position {
    /// What a row of [`OF_PRIMARY`] says.
    pub fn of_primary(row: &Row, system: i64) -> Self {
        Self::new(system, row.get(1), row.get(2))
    }

    /// What a row of [`OF_STANDBY`] or [`OF_RECEIVING_STANDBY`] says; none before anything was replayed.
    pub fn of_standby(row: &Row, system: i64) -> Option<Self> {
        let lsn: Option<PgLsn> = row.get(0);
        Some(Self::new(system, row.get(1), lsn?))
    }

    fn new(system: i64, of_text: Option<&str>, lsn: PgLsn) -> Self {
        let lsn = u64::from(lsn);
        Self {
            origin: Origin {
                system,
                timeline: timeline(of_text),
            },
            lsn: if lsn % PAGE == HEADER { lsn - HEADER } else { lsn },
        }
    }

    /// Whether whoever is here has all that there was at the other one.
    #[must_use]
    pub fn has(&self, other: &Self) -> bool {
        self.origin == other.origin && self.lsn >= other.lsn
    }
}

/// A standby that follows a timeline says that there is a primary on it. One that was promoted says nothing: whoever did
/// that may have made a copy of the database to try something.
pub fn note(position: Option<&(Position, bool)>, timelines: &Timelines) {
    if let Some((position, true)) = position {
        timelines.note(position.origin);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(system: i64, timeline: &str, lsn: u64) -> Position {
        Position::new(system, Some(timeline), lsn.into())
    }

    #[test]
    fn only_the_same_history_as_far_or_further_has_it_all() {
        let wanted = at(7, "00000002", 100);
        assert!(at(7, "00000002", 100).has(&wanted));
        assert!(at(7, "00000002", 101).has(&wanted));
        assert!(!at(7, "00000002", 99).has(&wanted));
        assert!(!at(7, "00000001", 200).has(&wanted), "a branch that was left");
        assert!(
            !at(7, "00000003", 200).has(&wanted),
            "a promotion that may have lost it"
        );
        assert!(!at(8, "00000002", 200).has(&wanted), "another cluster");
    }

    #[test]
    fn a_page_that_holds_its_header_only_has_no_record() {
        assert!(at(7, "00000001", 2 * PAGE).has(&at(7, "00000001", 2 * PAGE + HEADER)));
        assert!(!at(7, "00000001", 2 * PAGE).has(&at(7, "00000001", 2 * PAGE + HEADER + 8)));
    }
}
