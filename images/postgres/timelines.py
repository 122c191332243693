"""Where two primaries were promoted one right after the other.

The first one is lost as soon as it is promoted, and has told some instances of its timeline. Whoever is promoted next, and
has not heard of it, begins another one with the same number. Patroni takes the two for one, and PostgreSQL asks for ever
for a log that nobody has, or reads on in another one. An instance that has heard of a timeline that is not the primary's
is set aside, and gets a copy.
"""

import os
import re

from cycle import login_at, other_leader, stop_and_set_aside
from words import speaker

say = speaker("timelines")

HISTORY = re.compile(r"[0-9A-F]{8}\.history")


def forks(text):
    """Of each timeline before the last one: its number, and where the next one began."""
    lines = (line.split() for line in text.splitlines())
    return [(int(line[0]), line[1]) for line in lines if len(line) > 1 and line[0].isdigit()]


def newest(data):
    """The newest timeline that an instance has heard of, and its history."""
    try:
        files = sorted(file for file in os.listdir(os.path.join(data, "pg_wal")) if HISTORY.fullmatch(file))
        if not files:
            return 1, []
        with open(os.path.join(data, "pg_wal", files[-1]), encoding="utf-8") as file:
            return int(files[-1][:8], 16), forks(file.read())
    except OSError:
        return None


def agree(own, primary):
    """Whether a primary went through what an instance has heard of."""
    (own_timeline, own_forks), (timeline, primary_forks) = own, primary
    through = [number for number, _ in primary_forks] + [timeline]
    return primary_forks[: len(own_forks)] == own_forks and own_timeline in through[len(own_forks) :][:1]


def history_of(ha, leader):
    """The primary's timeline and its history; None where it does not say, or is no primary yet."""
    if not ha._rewind.check_leader_is_not_in_recovery(login_at(ha, leader)):
        return None
    with ha.state_handler.get_replication_connection_cursor(**leader.conn_kwargs()) as cursor:
        cursor.execute("IDENTIFY_SYSTEM")
        timeline = cursor.fetchone()[1]
        if timeline == 1:
            return 1, []
        cursor.execute("TIMELINE_HISTORY {}".format(timeline).encode())
        text = cursor.fetchone()[1]
        return timeline, forks(text if isinstance(text, str) else bytes(text).decode())


class Check:
    """Compares once for each primary and each timeline."""

    def __init__(self, data, set_aside):
        self.data = data
        self.set_aside = set_aside
        self.agreed = None

    def look(self, ha):
        from patroni import psycopg

        leader = other_leader(ha)
        if not leader:
            return
        own = newest(self.data)
        seen = (leader.name, leader.timeline, own)
        if own is None or seen == self.agreed:
            return
        try:
            primary = history_of(ha, leader)
        except (psycopg.Error, OSError, TypeError, ValueError) as error:
            # It is asked again.
            say("{} does not tell its history: {}".format(leader.name, error))
            return
        if primary is None:
            return
        if agree(own, primary):
            self.agreed = seen
            return
        why = "its timeline {} is not one of {}, which is on {}".format(own[0], leader.name, primary[0])
        stop_and_set_aside(ha, self.set_aside, why)
