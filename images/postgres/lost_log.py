"""A standby that was away for so long that the primary has removed the log that it needs next.

The primary keeps a bounded amount for it (`max_slot_wal_keep_size`), and PostgreSQL asks for the removed rest for ever:
"requested WAL segment … has already been removed". Such a standby is set aside, and gets a copy.
"""

import re
import time

from cycle import login_at, other_leader, stop_and_set_aside
from words import speaker

say = speaker("lost_log")

# A server that has just started reads its own log first, and moves meanwhile.
STILL_SECONDS = 10
SEGMENT = re.compile(r"[0-9A-F]{24}")
# How far a standby is, in segments of the log; and whether it gets more.
POSITION = """SELECT setting::bigint,
    floor((greatest(pg_last_wal_replay_lsn(), pg_last_wal_receive_lsn()) - '0/0'::pg_lsn) / setting::bigint)::bigint,
    greatest(pg_last_wal_replay_lsn(), pg_last_wal_receive_lsn())::text,
    EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming')
FROM pg_settings WHERE name = 'wal_segment_size'"""


def oldest(names, segment_size):
    """The number of the first segment of the log that is there, whatever its timeline; None where none is."""
    each = (1 << 32) // segment_size
    numbers = [int(name[8:16], 16) * each + int(name[16:24], 16) for name in names if SEGMENT.fullmatch(name)]
    return min(numbers, default=None)


def files_at(ha, leader):
    """The files of the primary's log; None where the leader is no primary yet."""
    login = login_at(ha, leader)
    if not ha._rewind.check_leader_is_not_in_recovery(login):
        return None
    from patroni import psycopg

    connection = psycopg.connect(**login)
    try:
        with connection.cursor() as cursor:
            # Of these functions it may call those that pg_rewind does.
            cursor.execute("SELECT pg_ls_dir('pg_wal', true, false)")
            return [row[0] for row in cursor.fetchall()]
    finally:
        connection.close()


class Check:
    def __init__(self, set_aside):
        self.set_aside = set_aside
        self.position = None
        self.since = 0.0

    def is_still(self, position, streaming):
        """Whether it has been at one place for long, and gets nothing."""
        now = time.monotonic()
        if streaming or position is None or position != self.position:
            self.position, self.since = position, now
            return False
        return now - self.since >= STILL_SECONDS

    def look(self, ha):
        from patroni import psycopg
        from patroni.exceptions import PostgresException

        leader = other_leader(ha)
        if not leader or not ha.state_handler.is_running():
            self.position = None
            return
        try:
            size, segment, position, streaming = ha.state_handler.query(POSITION)[0]
            if not self.is_still(position, streaming):
                return
            names = files_at(ha, leader)
        except (psycopg.Error, PostgresException, OSError, TypeError, ValueError) as error:
            # It is asked again.
            say("whether {} has the log after {} is not known: {}".format(leader.name, self.position, error))
            return
        first = names and oldest(names, size)
        if first is not None and segment < first:
            self.position = None
            stop_and_set_aside(ha, self.set_aside, "{} has no longer the log after {}".format(leader.name, position))
