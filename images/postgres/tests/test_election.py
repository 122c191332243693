"""Somebody writes into Patroni's leader key. A part of the database pod's tests (test_pod.py)."""

from control_plane import wait_until
from sandbox import READY_SECONDS


class ElectionTests:
    # More log than waits in the buffers of a connection.
    FILLING = "SELECT repeat(md5(n::text), 30) AS text FROM generate_series(1, 40000) AS n"

    def test_a_standby_that_somebody_names_in_the_leader_key_is_not_promoted_without_what_was_acknowledged(self):
        primary = self.instances.healthy()
        self.table(primary)
        behind = self.instances.standbys()[0]
        find = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walreceiver'"
        inside = self.superuser(behind, find)
        behind.postgres.execute("/bin/sh", "-c", "kill -STOP " + inside).wait()
        self.superuser(primary, "CREATE TABLE filling AS " + self.FILLING)
        self.superuser(primary, "INSERT INTO written VALUES (-4)")
        said = len(primary.postgres.log())
        demoted = lambda: "Demoting self (immediate-nolock)" in primary.postgres.log()[said:]
        given_up = lambda: "gave up the leader key, which this instance did not take" in behind.postgres.log()
        self.instances.write_record("leader", {"leader": behind.name})
        try:
            wait_until(lambda: demoted() or given_up(), READY_SECONDS, "one of the two has seen it")
        finally:
            behind.postgres.execute("/bin/sh", "-c", "kill -CONT " + inside).wait()
        successor = self.instances.healthy()
        self.assertEqual(self.superuser(successor, "SELECT count(*) FROM written WHERE n = -4"), "1")
        self.assertTrue(given_up())
        self.superuser(successor, "DROP TABLE filling")
