"""Who may be promoted, where Patroni's quorum commit leaves a gap: right after a promotion, and where somebody writes into
the leader key.

A new primary acknowledges commits at once, with one standby's word. Patroni writes down later who they wait for. If the
new primary is lost in between, it is the primary before that still counts as the one that has everything, and it may come
back with more log than the others, on a timeline that is over. Patroni compares positions in the log without their
timelines. Then what was acknowledged in between is lost.

So an instance writes down that it is the one that commits wait at before it is promoted, and positions are compared by
timelines: whoever is on a later one has more, and what another one has written on an earlier timeline, after that was
over, counts for nothing.

Patroni promotes whom the leader key names, and asks nothing more. A standby that did not take the key itself gives it up,
so that the instances elect one that has everything.
"""

from timelines import newest
from words import speaker

say = speaker("election")


def number(lsn):
    high, low = lsn.split("/")
    return (int(high, 16) << 32) + int(low, 16)


def counts(timeline, positions, own, forks):
    """How far another instance's log counts for one that is on timeline `own`, which began as `forks` say.

    `positions` are what it has received and what it has replayed: what it has only received may be of a later timeline
    than it says.
    """
    received, replayed = positions
    end = next((number(lsn) for before, lsn in forks if before == timeline and before < own), None)
    reached = max(received, replayed)
    if end is not None and replayed > end:
        return end
    return reached


def positions(status):
    log = status.data.get("xlog") or status.data.get("wal") or {}
    return int(log.get("received_location") or 0), int(log.get("replayed_location") or 0)


def compare_by_timelines(data):
    """A candidate asks the others where they are: it sees what counts of that, and gives way to a later timeline."""
    from patroni.ha import Ha

    fetch, is_healthiest = Ha.fetch_nodes_statuses, Ha._is_healthiest_node

    def is_healthiest_by_timelines(self, members, *arguments, **named):
        known = newest(data)
        if known is None:
            say("this instance cannot read its history, and is no candidate")
            return False
        # A new cluster has no role yet to ask as; then it is the last timeline that it has heard of.
        own = self.state_handler.get_replica_timeline() or known[0]
        later = []

        def what_counts(status):
            if status.failover_limitation() is not None or not status.in_recovery:
                return status
            # It may not know.
            timeline = status.timeline or 0
            if timeline > own:
                later.append(status)
            return status._replace(wal_position=counts(timeline, positions(status), own, known[1]))

        self.fetch_nodes_statuses = lambda members: [what_counts(status) for status in fetch(self, members)]
        try:
            healthiest = is_healthiest(self, members, *arguments, **named)
        finally:
            del self.fetch_nodes_statuses
        for status in later:
            say("{} is on timeline {}, and this instance on {}".format(status.member.name, status.timeline, own))
        return healthiest and not later

    Ha._is_healthiest_node = is_healthiest_by_timelines


def write_down_before_promotions():
    from patroni.ha import Ha

    prepare = Ha.process_sync_replication_prepromote

    def prepare_and_write_down(self):
        if not prepare(self):
            return False
        if not self.quorum_commit_mode_is_active():
            # Patroni has written it down.
            return True
        own, sync = self.state_handler.name, self.cluster.sync
        others = [name for name in sync.members if name != own]
        # Patroni has set how many of them a commit waits for, so that as many votes as before are enough.
        return bool(self.dcs.write_sync_state(own, others, sync.quorum, version=sync.version))

    Ha.process_sync_replication_prepromote = prepare_and_write_down


def promote_only_who_took_the_key():
    from patroni.ha import Ha
    from patroni.postgresql.misc import PostgresqlRole

    healthy = Ha.process_healthy_cluster
    primary = (PostgresqlRole.PRIMARY, PostgresqlRole.PROMOTED)

    def process_healthy_cluster(self):
        # A primary whose Patroni was started again did not take it either.
        stands_by = self.state_handler.role not in primary and not self.state_handler.is_primary()
        if self.is_synchronous_mode() and self.has_lock(False) and not self.is_leader() and stands_by:
            self.release_leader_key_voluntarily()
            return "gave up the leader key, which this instance did not take"
        return healthy(self)

    Ha.process_healthy_cluster = process_healthy_cluster
