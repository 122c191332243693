"""Three instances: what comes back after a loss, and what is no standby yet. A part of the database pod's tests
(test_pod.py), for one version."""

import os
import shutil
import signal
import socket
from pathlib import Path
from threading import Timer

from control_plane import HOST, wait_until
from instances import ADMIN
from sandbox import READY_SECONDS


class CopyTests:
    def find(self, container, program):
        """The container's processes that run a program, as the machine numbers them, the oldest first."""
        found = []
        for process in sorted(container.processes()):
            try:
                if Path(os.readlink("/proc/{}/exe".format(process))).name.startswith(program):
                    found.append(process)
            except OSError:
                pass
        return found

    def lost(self, pod):
        """Ends a pod as a lost node does, and gives its data directory."""
        pod.kill()
        pod.new_temporary_files()
        return pod.data / "pgdata"

    def identity(self, pod):
        """Of the folder: a copy has another one."""
        return (pod.data / "pgdata").stat().st_ino

    def only_the_data_is_there(self, pod):
        wait_until(lambda: os.listdir(pod.data) == ["pgdata"], READY_SECONDS, "what lay aside is removed")

    def diverge(self, primary):
        """Has the primary commit what no standby has, and loses it; then there is another."""
        self.superuser(primary, "CREATE TABLE IF NOT EXISTS written (n bigint)")
        standbys = self.instances.standbys()
        for standby in standbys:
            self.instances.freeze(standby)
        # Before it writes down that nobody streams.
        for process in self.find(primary.postgres, "python"):
            os.kill(process, signal.SIGSTOP)
        # What is on its way would arrive.
        self.superuser(primary, "SELECT pg_terminate_backend(pid) FROM pg_stat_replication")
        self.superuser(primary, "SET synchronous_commit = local; INSERT INTO written VALUES (-1); CHECKPOINT")
        primary.kill()
        for standby in standbys:
            self.instances.thaw(standby)
        successor = self.instances.primary()
        self.assertIsNot(successor, primary)
        self.assertEqual(self.superuser(successor, "SELECT count(*) FROM written WHERE n = -1"), "0")
        return successor

    def follows(self, pod):
        """Whether it has what the primary has."""
        primary = self.instances.healthy()
        self.assertIsNot(pod, primary)
        self.assertEqual(self.superuser(pod, "SELECT count(*) FROM written WHERE n = -1"), "0")
        self.only_the_data_is_there(pod)

    def test_a_former_primary_with_data_of_its_own_is_rewound(self):
        primary = self.instances.healthy()
        before = self.identity(primary)
        self.diverge(primary)
        self.follows(primary)
        self.assertIn("running pg_rewind from", primary.postgres.log())
        self.assertEqual(self.identity(primary), before, "it was rewound and not copied")

    def test_a_former_primary_that_cannot_be_rewound_is_copied(self):
        primary = self.instances.healthy()
        before = self.identity(primary)
        successor = self.diverge(primary)
        # A file here and a folder there: pg_rewind refuses that.
        (primary.data / "pgdata/obstacle").mkdir()
        os.chown(primary.data / "pgdata/obstacle", 999, 999)
        (successor.data / "pgdata/obstacle").write_text("")
        os.chown(successor.data / "pgdata/obstacle", 999, 999)
        self.follows(primary)
        self.assertNotEqual(self.identity(primary), before)
        self.assertIn("Patroni clones this instance anew", primary.postgres.log())

    def test_a_lost_volume_is_filled_from_the_primary_that_of_the_first_instance_too(self):
        self.instances.healthy()
        first = self.instances.pods[0]
        shutil.rmtree(self.lost(first))
        self.assertIsNot(self.instances.healthy(), first)
        self.only_the_data_is_there(first)

    def test_half_a_data_directory_is_set_aside_and_copied(self):
        primary = self.instances.healthy()
        self.superuser(primary, "CREATE TABLE IF NOT EXISTS written (n bigint)")
        dead, alive = self.instances.standbys()
        data = self.lost(dead)
        (data / "PG_VERSION").unlink()
        shutil.rmtree(data / "base/1")
        # And under a server that runs.
        before = self.identity(alive)
        shutil.rmtree(alive.data / "pgdata/pg_xact")
        wait_until(lambda: self.identity_changed(alive, before), READY_SECONDS, "the other is copied")
        self.instances.healthy()
        for pod in (dead, alive):
            self.assertIn("is missing, and x-postgres-", pod.postgres.log())
            self.only_the_data_is_there(pod)

    def identity_changed(self, pod, before):
        try:
            return self.identity(pod) != before
        except FileNotFoundError:
            return False

    def test_a_standby_whose_log_the_primary_removed_is_copied(self):
        primary = self.instances.healthy()
        standby = self.instances.standbys()[0]
        before = self.identity(standby)
        config = self.instances.config()
        parameters = dict(config["postgresql"]["parameters"], max_slot_wal_keep_size="16MB", wal_keep_size="0")
        parameters.update(min_wal_size="32MB", max_wal_size="48MB")
        self.instances.write_config(dict(config, postgresql=dict(config["postgresql"], parameters=parameters)))
        try:
            wait_until(lambda: self.superuser(primary, "SHOW max_slot_wal_keep_size") == "16MB", READY_SECONDS, "it is set")
            self.lost(standby)
            needed = self.superuser(primary, "SELECT pg_walfile_name(pg_current_wal_lsn())")
            there = "SELECT count(*) FROM pg_ls_waldir() WHERE name = '{}'".format(needed)

            def removed():
                fill = "SELECT pg_logical_emit_message(true, 'x', 'x'), pg_switch_wal()"
                self.superuser(primary, fill + "; CHECKPOINT")
                return self.superuser(primary, there) == "0"

            wait_until(removed, READY_SECONDS, "the log after the standby's is gone")
            self.assertIs(self.instances.healthy(), primary)
        finally:
            self.instances.write_config(config)
        self.assertIn("{} has no longer the log after".format(primary.name), standby.postgres.log())
        self.assertNotEqual(self.identity(standby), before)
        self.only_the_data_is_there(standby)

    def test_a_copy_under_way_acknowledges_nothing(self):
        primary = self.instances.healthy()
        config = self.instances.config()
        self.instances.write_config(dict(config, synchronous_mode_strict=True))
        gone, copied = self.instances.standbys()
        # Enough for a copy that is met before it ends.
        filling = "SELECT repeat(md5(n::text), 30) AS text FROM generate_series(1, 200000) AS n"
        self.superuser(primary, "CREATE TABLE filling AS " + filling)
        gone.kill()
        shutil.rmtree(self.lost(copied))
        copied.start(self.kubernetes)
        # The process that was started first copies the files, its child the log.
        copies = lambda: self.find(copied.postgres, "pg_basebackup")
        program, _ = wait_until(lambda: len(copies()) == 2 and copies(), READY_SECONDS, "the copy begins")
        os.kill(program, signal.SIGSTOP)
        try:
            streams = "SELECT state FROM pg_stat_replication WHERE application_name !~ '^x-'"
            wait_until(lambda: "streaming" in self.superuser(primary, streams), READY_SECONDS, "its log streams")
            everybody = lambda: "*" in self.superuser(primary, "SHOW synchronous_standby_names")
            wait_until(everybody, READY_SECONDS, "whoever streams might acknowledge a commit")
            # With a slot the copy tells what it has flushed, at the end of each segment of the log.
            Timer(0.5, self.superuser, (primary, "SELECT pg_switch_wal()")).start()
            self.assertFalse(self.instances.writes(primary, 6))
        finally:
            os.kill(program, signal.SIGCONT)
        wait_until(lambda: self.instances.writes(primary), READY_SECONDS, "the standby acknowledges")
        self.superuser(primary, "DROP TABLE filling")
        self.instances.write_config(config)
        self.instances.healthy()

    def test_a_primary_whose_standbys_are_frozen_stops_in_bounded_time(self):
        primary = self.instances.healthy()
        for standby in self.instances.standbys():
            self.instances.freeze(standby)
        self.assertFalse(self.instances.writes(primary))
        primary.postgres.terminate()
        self.instances.healthy()

    def test_a_changed_password_of_the_log_is_taken_by_standbys(self):
        primary = self.instances.healthy()
        config = self.instances.config()
        self.instances.write_config(dict(config, synchronous_mode_strict=True))
        wait_until(lambda: self.instances.writes(primary), READY_SECONDS, "commits wait for a standby, and get it")
        for password in ("replica-2", "replica-1"):
            for pod in self.instances.pods:
                pod.write_secret("admin", **{**ADMIN, "replication-password": password})
            # No standby is there that could acknowledge the change.
            self.superuser(primary, "SELECT pg_terminate_backend(pid) FROM pg_stat_replication")
            works = lambda password=password: primary.query("SELECT 1", "replicator", password, check=False)[0] == 0
            wait_until(works, READY_SECONDS, "the role manager sets it")
            self.assertIs(self.instances.healthy(), primary)
        self.instances.write_config(config)

    def test_the_primary_of_several_goes_on_while_the_api_server_is_away(self):
        primary = self.instances.healthy()
        wait_until(lambda: len(self.instances.record("leader").get("failsafe", "").split(",")) == 3, READY_SECONDS, "the members")
        said = primary.postgres.log().count("failsafe mode is enabled")
        self.kubernetes.api_server.kill()
        self.kubernetes.api_server.wait()
        try:
            wait_until(
                lambda: primary.postgres.log().count("failsafe mode is enabled") > said + 2, 30, "Patroni misses the API server"
            )
            self.assertTrue(self.instances.writes(primary))
        finally:
            self.kubernetes.start_api_server()
        self.assertIs(self.instances.healthy(), primary)

    def test_lowered_parameters_come_into_force_on_all_of_them(self):
        primary = self.instances.healthy()
        config = self.instances.config()
        shown = lambda pod: pod.query("SHOW max_connections", check=False)[1]
        config["postgresql"]["parameters"]["max_connections"] = 60
        self.instances.write_config(config)
        # What a roll ends with.
        primary.postgres.execute("/usr/local/bin/rates-postgres-drain").wait(READY_SECONDS)
        successor = self.instances.primary()
        self.assertIsNot(successor, primary)
        wait_until(lambda: shown(successor) == "60", READY_SECONDS, "the new primary has them")
        for standby in self.instances.standbys():
            # In place of its next look.
            standby.restart_roles()
            wait_until(lambda standby=standby: shown(standby) == "60", READY_SECONDS, "a standby has them")
        config["postgresql"]["parameters"]["max_connections"] = 100
        self.instances.write_config(config)
        self.instances.healthy()

    def test_a_promotion_does_not_wait_for_a_silent_api_server(self):
        primary = self.instances.healthy()
        program = (
            "import sys, time; sys.path.insert(0, '/usr/local/share/rates'); import fencing; began = time.monotonic();"
            " fencing.fence('x-postgres-9'); print(round(time.monotonic() - began, 1), file=sys.stderr)"
        )
        with socket.create_server((HOST, 0)) as silent:
            port = "KUBERNETES_SERVICE_PORT={}".format(silent.getsockname()[1])
            asked = primary.postgres.execute("/usr/bin/env", port, "/usr/bin/python3", "-c", program)
            _, took = asked.communicate(timeout=READY_SECONDS)
        self.assertTrue(1 <= float(took.splitlines()[0]) < 3, took)
