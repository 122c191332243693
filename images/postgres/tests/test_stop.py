"""Stops: the fast shutdown, the batches that it waits for; and an API server that is away. A part of the database pod's tests (test_pod.py)."""

import signal
import time
from threading import Thread

from control_plane import wait_until
from sandbox import READY_SECONDS


class StopTests:
    # The lock of the batches, which a stop waits for.
    LOCK = 7226436020231031

    def test_a_stop_is_a_fast_shutdown(self):
        pod = self.ready_pod()
        self.assertEqual(pod.roles.terminate(), 128 + signal.SIGTERM)
        pod.postgres.terminate()
        self.assertIn("received fast shutdown request", pod.postgres.log())
        self.assertIn("database system is shut down", pod.postgres.log())

    def test_the_role_manager_ends_while_it_waits_for_the_server(self):
        pod = self.ready_pod()
        # Its look at the roles waits behind this lock for half a minute.
        lock = "BEGIN; LOCK TABLE pg_auth_members; SELECT pg_sleep(120)"
        holder = Thread(target=pod.query, args=(lock, "postgres", "super-1"), kwargs={"check": False})
        holder.start()
        held = "SELECT count(*) FROM pg_locks WHERE relation = 'pg_auth_members'::regclass AND mode = 'AccessExclusiveLock'"
        wait_until(lambda: self.superuser(pod, held) == "1", READY_SECONDS, "the lock is held")
        try:
            pod.restart_roles()
            waits = "SELECT count(*) FROM pg_locks WHERE relation = 'pg_auth_members'::regclass AND NOT granted"
            wait_until(lambda: self.superuser(pod, waits) == "1", READY_SECONDS, "it waits for the server")
            self.assertEqual(pod.roles.terminate(20), 128 + signal.SIGTERM)
        finally:
            pod.kill()
            holder.join()

    def locks(self, pod, granted):
        """Who has the lock, or waits for it, by the names of their sessions."""
        return self.superuser(
            pod,
            "SELECT string_agg(application_name, ' ' ORDER BY application_name) FROM pg_locks JOIN pg_stat_activity USING (pid)"
            " WHERE locktype = 'advisory' AND granted = {}".format(granted),
        )

    def session(self, pod, sql):
        """A session of the application that goes on by itself."""
        return self.background(pod, sql, "SELECT pg_sleep(3600)")

    def test_a_stop_waits_for_batches_and_then_lets_none_in(self):
        pod = self.ready_pod()
        pod.own("CREATE DATABASE rates")
        share = "SELECT pg_advisory_lock_shared({})".format(self.LOCK)
        first = self.session(pod, share)
        wait_until(lambda: self.locks(pod, True) == "batch", READY_SECONDS, "a batch has the lock")
        drain = pod.postgres.execute("/usr/local/bin/rates-postgres-drain")
        wait_until(lambda: self.locks(pod, False) == "rates-postgres-drain", READY_SECONDS, "the drain waits")
        self.assertIsNone(drain.poll())
        first.kill()
        pod.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'batch'", database="rates")
        self.assertEqual((drain.wait(READY_SECONDS), drain.stderr.read()), (0, ""))
        # The program is gone, the lock is not.
        self.assertEqual(self.locks(pod, True), "rates-postgres-drain")
        second = self.session(pod, share)
        wait_until(lambda: self.locks(pod, False) == "batch", READY_SECONDS, "a new batch waits")
        pod.postgres.terminate()
        self.assertNotEqual(second.wait(READY_SECONDS), 0)
        self.assertIn("no batch is under way", pod.postgres.log())
        self.assertIn("database system is shut down", pod.postgres.log())

    def test_a_stop_that_waits_for_long_lets_new_batches_in_meanwhile(self):
        pod = self.ready_pod()
        pod.own("CREATE DATABASE rates")
        share = "SELECT pg_advisory_lock_shared({})".format(self.LOCK)
        self.session(pod, share)
        wait_until(lambda: self.locks(pod, True) == "batch", READY_SECONDS, "a batch has the lock")
        drain = pod.postgres.execute("/usr/local/bin/rates-postgres-drain")
        wait_until(lambda: self.locks(pod, False) == "rates-postgres-drain", READY_SECONDS, "the drain waits")
        self.session(pod, share)
        wait_until(lambda: self.locks(pod, True) == "batch batch", READY_SECONDS, "the new one comes in beside the long one")
        self.assertIsNone(drain.poll())

    def test_a_stop_waits_no_longer_than_its_bound(self):
        pod = self.ready_pod()
        pod.own("CREATE DATABASE rates")
        self.session(pod, "SELECT pg_advisory_lock_shared({})".format(self.LOCK))
        wait_until(lambda: self.locks(pod, True) == "batch", READY_SECONDS, "a batch has the lock")
        started = time.monotonic()
        drain = pod.postgres.execute("/usr/bin/env", "DRAIN_BOUND_SECONDS=3", "/usr/local/bin/rates-postgres-drain")
        self.assertEqual((drain.wait(READY_SECONDS), drain.stderr.read()), (0, ""))
        took = time.monotonic() - started
        self.assertTrue(3 <= took < 15, took)
        self.assertEqual(self.locks(pod, True), "batch")

    def test_a_stop_waits_for_nothing_where_there_are_no_batches(self):
        pod = self.ready_pod()
        drain = pod.postgres.execute("/usr/local/bin/rates-postgres-drain")
        # By itself it waits for eleven minutes.
        self.assertEqual((drain.wait(READY_SECONDS), drain.stderr.read()), (0, ""))
        self.assertEqual(self.locks(pod, True), "")
        # And without a server.
        for socket in pod.run.iterdir():
            socket.unlink()
        drain = pod.postgres.execute("/usr/local/bin/rates-postgres-drain")
        self.assertEqual((drain.wait(READY_SECONDS), drain.stderr.read()), (0, ""))

    def test_the_primary_goes_on_while_the_api_server_is_away(self):
        pod = self.ready_pod()
        pod.own("CREATE DATABASE away")
        pod.own("CREATE TABLE away (n int)", database="away")
        # From its second round on, Patroni knows the members that it may rely on.
        wait_until(lambda: self.leader("failsafe"), READY_SECONDS, "Patroni wrote the members")
        renewed = self.leader("renewTime")
        wait_until(lambda: self.leader("renewTime") != renewed, READY_SECONDS, "Patroni's next round")
        self.kubernetes.api_server.kill()
        self.kubernetes.api_server.wait()
        try:
            # Longer than the ttl: without the failsafe mode the primary would have stepped down.
            end = time.monotonic() + 30
            wait_until(lambda: "failsafe mode is enabled" in pod.postgres.log(), READY_SECONDS, "Patroni misses the API server")
            while time.monotonic() < end:
                pod.query("INSERT INTO away VALUES (1)", database="away")
        finally:
            self.kubernetes.start_api_server()
        self.assertNotIn("demot", pod.postgres.log())
