"""The database pod end to end, from its entry points, for each image.

`run` starts it; what it needs is told by the environment:
  RATES_TEST_POSTGRES_IMAGES  VERSION=ARCHIVE, comma-separated
  RATES_TEST_KUBE             the local cluster's `kube`
  RATES_TEST_KUBECTL          kubectl
  RATES_TEST_KILLS            how many kills during creation (5)

The last line on standard output counts the tests as libtest does.
"""

import gzip
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import uuid
from pathlib import Path
from threading import Thread

from sandbox import Image, Kubernetes, Pod, wait_until
from test_fetch import FetchTests
from test_privileges import PrivilegeTests
from test_rest_api import RestApiTests
from test_revocation import RevocationTests
from test_seed import SeedTests

KILLS = int(os.environ.get("RATES_TEST_KILLS", "5"))
# Long beside the 2 s of an idle machine, for one that is busy with other things.
READY_SECONDS = 60

DUMP = b"""
SET statement_timeout = 0;
SELECT pg_catalog.set_config('search_path', '', false);
CREATE TABLE public.ports (code text NOT NULL, name text NOT NULL, parent_slug text NOT NULL);
CREATE TABLE public.prices (orig_code text NOT NULL, dest_code text NOT NULL, day date NOT NULL, price integer NOT NULL);
COPY public.ports (code, name, parent_slug) FROM stdin;
AAAAA\tFirst\tnorth
BBBBB\tSecond\tsouth
\\.
COPY public.prices (orig_code, dest_code, day, price) FROM stdin;
AAAAA\tBBBBB\t2021-01-01\t10
AAAAA\tBBBBB\t2021-01-01\t20
BBBBB\tAAAAA\t2021-01-02\t30
\\.
ALTER TABLE ONLY public.ports ADD CONSTRAINT ports_pkey PRIMARY KEY (code);
"""
# After it the loader waits while it counts the prices.
SLOW_COUNT = b"""
ALTER TABLE public.prices RENAME TO kept;
CREATE VIEW public.prices AS SELECT kept.* FROM public.kept, pg_catalog.pg_sleep(3600);
"""
SUPERUSER = ("postgres", "super-1")

ROLES = """
SELECT string_agg(concat_ws(' ', rolname, rolcanlogin, rolsuper, rolcreatedb, rolcreaterole, rolreplication), ', ' ORDER BY rolname)
FROM pg_roles WHERE rolname IN ('postgres', 'replicator', 'rates_owner', 'rates_migrator', 'rates_service', 'rates_a', 'rates_b')"""

RIGHT_ROLES = (
    "postgres t t t t t, rates_a t f f f f, rates_b f f f f f, rates_migrator t f f f f, rates_owner f f t f f,"
    " rates_service f f f f f, replicator t f f f t"
)
RIGHT_MEMBERS = """
SELECT concat_ws(' ', pg_has_role('rates_a', 'rates_service', 'USAGE'), pg_has_role('rates_a', 'rates_owner', 'MEMBER'),
  pg_has_role('rates_migrator', 'rates_owner', 'USAGE'))"""


def say(text):
    print(text, file=sys.stderr, flush=True)


class PodTests(FetchTests, PrivilegeTests, RestApiTests, RevocationTests, SeedTests):
    """The tests, for any version; the classes below name one."""

    version = None

    @classmethod
    def setUpClass(cls):
        archives = dict(
            entry.split("=", 1) for entry in os.environ.get("RATES_TEST_POSTGRES_IMAGES", "").split(",") if entry
        )
        if cls.version not in archives:
            raise unittest.SkipTest("RATES_TEST_POSTGRES_IMAGES names no archive for {}".format(cls.version))
        cls.folder = Path(tempfile.mkdtemp(prefix="rates-pod-"))
        cls.folder.chmod(0o755)
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        (cls.folder / "kube").mkdir()
        cls.kubernetes = Kubernetes(
            cls.folder / "kube", os.environ["RATES_TEST_KUBE"], os.environ["RATES_TEST_KUBECTL"]
        )
        cls.addClassCleanup(cls.kubernetes.stop)
        cls.kubernetes.start()
        cls.image = Image(archives[cls.version], cls.folder / "root")

    def setUp(self):
        self.kubernetes.make_environment()
        self.addCleanup(self.kubernetes.remove_environment)

    def pod(self):
        pod = Pod(self.image, tempfile.mkdtemp(prefix="pod-", dir=self.folder))
        pod.folder.chmod(0o755)
        self.addCleanup(self.throw_away, pod)
        return pod

    def throw_away(self, pod):
        pod.kill()
        if any(test is self for test, _ in self._outcome.result.errors + self._outcome.result.failures):
            for name in ("postgres", "roles", "load"):
                path = pod.folder / (name + ".log")
                if path.exists():
                    say("--- {}\n{}".format(name, path.read_text(errors="replace")[-4000:]))
        shutil.rmtree(pod.folder)

    def ready_pod(self):
        pod = self.pod()
        pod.start(self.kubernetes)
        self.wait_ready(pod)
        return pod

    def wait_ready(self, pod):
        started = time.monotonic()
        wait_until(pod.is_ready, READY_SECONDS, "the pod is ready")
        return time.monotonic() - started

    def superuser(self, pod, sql):
        return pod.query(sql, user="postgres", password=self.admin(pod, "superuser-password"))

    def admin(self, pod, key):
        return (pod.secrets / "admin" / key).read_text()

    # Creation

    def test_a_new_pod_is_ready_with_its_roles(self):
        pod = self.pod()
        started = time.monotonic()
        pod.start(self.kubernetes)
        self.wait_ready(pod)
        say("{}: ready with roles after {:.1f} s".format(self.version, time.monotonic() - started))
        self.assertIn("PostgreSQL {}".format(self.version), pod.query("SELECT version()"))
        self.assertEqual(self.superuser(pod, ROLES), RIGHT_ROLES)
        self.assertEqual(
            pod.query(
                "SELECT concat_ws(' ', pg_encoding_to_char(encoding), datcollate, datctype,"
                " current_setting('data_checksums'), current_setting('password_encryption')) FROM pg_database"
                " WHERE datname = 'template1'"
            ),
            "UTF8 C C.UTF-8 on scram-sha-256",
        )
        self.assertEqual(pod.query("SELECT 1", user="replicator", password="replica-1"), "1")
        # Patroni writes its settings as the leader that it became a moment before, beside getting ready.
        config = wait_until(
            lambda: self.kubernetes.config_maps()["x-postgres-config"]["annotations"].get("config"),
            READY_SECONDS,
            "Patroni wrote its settings",
        )
        self.assertIn('"failsafe_mode":true', config)
        pod_object = json.loads(self.kubernetes.kubectl("get", "pod", "x-postgres-0", "-o", "json"))
        self.assertEqual(pod_object["metadata"]["labels"]["rates.internal/role"], "primary")
        told = wait_until(lambda: self.annotation("rates.internal/postgres-version"), READY_SECONDS, "the version is told")
        self.assertTrue(told == self.version or told.startswith(self.version + "."), told)

    def config(self):
        return json.loads(self.kubernetes.config_maps()["x-postgres-config"]["annotations"]["config"])

    def write_config(self, config):
        annotation = json.dumps({"metadata": {"annotations": {"config": json.dumps(config)}}})
        self.kubernetes.kubectl("patch", "configmap", "x-postgres-config", "--type=merge", "-p", annotation)

    def test_parameters_that_are_there_before_the_first_start_need_no_restart(self):
        config = {"ttl": 20, "loop_wait": 5, "retry_timeout": 5, "failsafe_mode": True}
        config["postgresql"] = {"parameters": {"shared_buffers": "24MB", "work_mem": "5MB"}}
        self.write_config(config)
        pod = self.ready_pod()
        shown = lambda name: pod.query("SHOW " + name)
        status = lambda: json.loads(self.annotation("status") or "{}")
        self.assertEqual((shown("shared_buffers"), shown("work_mem")), ("24MB", "5MB"))
        wait_until(lambda: status().get("state") == "running", READY_SECONDS, "Patroni wrote its state")
        self.assertNotIn("pending_restart", status())
        self.assertEqual(self.config(), config, "Patroni leaves them as they are")

        config["postgresql"]["parameters"]["work_mem"] = "6MB"
        self.write_config(config)
        wait_until(lambda: shown("work_mem") == "6MB", READY_SECONDS, "it is reloaded")
        self.assertNotIn("pending_restart", status())

        config["postgresql"]["parameters"]["shared_buffers"] = "40MB"
        self.write_config(config)
        reason = wait_until(lambda: status().get("pending_restart_reason"), READY_SECONDS, "Patroni asks for a restart")
        self.assertEqual(reason["shared_buffers"]["new_value"], "40MB")
        pod.kill()
        pod.start(self.kubernetes)
        self.wait_ready(pod)
        self.assertEqual(shown("shared_buffers"), "40MB")
        wait_until(lambda: "pending_restart" not in status(), READY_SECONDS, "nothing waits any more")

    def test_a_lowered_parameter_that_the_data_remember_comes_into_force_with_the_next_pod(self):
        config = {"ttl": 20, "loop_wait": 5, "retry_timeout": 5, "failsafe_mode": True}
        config["postgresql"] = {"parameters": {"max_connections": 100}}
        self.write_config(config)
        pod = self.ready_pod()
        status = lambda: json.loads(self.annotation("status") or "{}")
        self.assertEqual(pod.query("SHOW max_connections"), "100")
        # While it is gone: in its first moments this pod, too, would bring it into force.
        pod.kill()
        config["postgresql"]["parameters"]["max_connections"] = 60
        self.write_config(config)
        pod.start(self.kubernetes)
        self.wait_ready(pod)
        lowered = lambda: pod.query("SHOW max_connections", check=False)[1] == "60"
        wait_until(lowered, READY_SECONDS, "it is in force")
        wait_until(lambda: "pending_restart" not in status(), READY_SECONDS, "nothing waits any more")

    def test_patroni_makes_no_object_of_its_own(self):
        pod = self.ready_pod()
        wait_until(lambda: self.leader("leader"), READY_SECONDS, "Patroni wrote that it leads")
        names = {name for name in self.kubernetes.config_maps() if name != "kube-root-ca.crt"}
        self.assertEqual(
            names, {"x-postgres-config", "x-postgres-leader", "x-postgres-failover", "x-postgres-sync"}
        )
        self.assertNotIn("forbidden", pod.postgres.log().lower())

    def leader(self, annotation):
        return (self.kubernetes.config_maps()["x-postgres-leader"].get("annotations") or {}).get(annotation)

    def test_a_kill_at_any_moment_of_the_creation_is_recovered_from(self):
        moments = random.Random(20210131)
        slowest = 0.0
        for attempt in range(KILLS):
            # Most of it happens in the first 2.5 s; the rest of the 6 s is a running server.
            delay = moments.uniform(0, 2.5) if attempt % 4 else moments.uniform(2.5, 6)
            with self.subTest(attempt=attempt, delay=round(delay, 3)):
                pod = self.pod()
                for _ in range(1 + attempt % 3):
                    pod.start(self.kubernetes)
                    time.sleep(delay)
                    pod.kill()
                    if attempt % 2:
                        pod.new_temporary_files()
                complete = (pod.data / "pgdata").exists()
                identity = self.identity(pod) if complete else None
                pod.start(self.kubernetes)
                slowest = max(slowest, self.wait_ready(pod))
                if complete:
                    self.assertEqual(self.identity(pod), identity, "a complete cluster was replaced")
                self.assertEqual(self.superuser(pod, "SELECT count(*) FROM pg_roles WHERE rolname ~ '^(rates|repl)'"), "7")
                self.assertEqual(pod.query("SELECT 'alive'"), "alive")
                self.assertFalse((pod.data / "pgdata.new").exists())
                pod.kill()
                shutil.rmtree(pod.data / "pgdata")
                self.kubernetes.remove_environment()
                self.kubernetes.make_environment()
        say("{}: {} kills, ready again after at most {:.1f} s".format(self.version, KILLS, slowest))

    def identity(self, pod):
        """The system identifier: the first 8 bytes of the control file."""
        return (pod.data / "pgdata/global/pg_control").read_bytes()[:8]

    # What is there is kept

    def test_data_survives_kills_and_a_new_environment(self):
        pod = self.ready_pod()
        pod.own("CREATE DATABASE kept")
        pod.own("CREATE TABLE kept (n int)", database="kept")
        for number in range(5):
            pod.query("INSERT INTO kept VALUES ({})".format(number), database="kept")
            pod.kill()
            pod.start(self.kubernetes)
            self.wait_ready(pod)
        pod.kill()
        self.kubernetes.remove_environment()
        pod.new_temporary_files()
        # An environment made anew on a retained volume: no record of the cluster, other passwords.
        self.kubernetes.make_environment()
        pod.write_secret("app", username="rates_b", password="another")
        pod.write_secret("admin", **{"superuser-password": "super-2", "replication-password": "replica-2"})
        pod.start(self.kubernetes)
        self.wait_ready(pod)
        self.assertEqual(pod.query("SELECT count(*) FROM kept", database="kept"), "5")

    def test_a_killed_server_whose_number_another_program_has_is_started_at_once(self):
        pod = self.ready_pod()
        pod.kill()
        # In a pod whose containers share their processes it is one of the others'; here it is the first one's.
        note = pod.data / "pgdata/postmaster.pid"
        note.write_text("1\n" + note.read_text().split("\n", 1)[1])
        before = len(pod.postgres.log())
        pod.start(self.kubernetes)
        self.wait_ready(pod)
        log = pod.postgres.log()[before:]
        self.assertIn("the server that was process 1 is gone, and tini has its number", log)
        self.assertNotIn('lock file "postmaster.pid" already exists', log)

    def test_a_lost_volume_is_not_replaced_by_an_empty_cluster(self):
        pod = self.ready_pod()
        pod.kill()
        shutil.rmtree(pod.data / "pgdata")
        pod.start(self.kubernetes)
        wait_until(lambda: "exists already" in pod.postgres.log(), READY_SECONDS, "the pod says what it waits for")
        self.assertFalse((pod.data / "pgdata.new").exists())

    def test_an_incomplete_data_directory_is_refused_and_left(self):
        pod = self.pod()
        (pod.data / "pgdata").mkdir()
        (pod.data / "pgdata/precious").write_text("data")
        os.chown(pod.data / "pgdata", 999, 999)
        pod.start(self.kubernetes)
        self.assertEqual(pod.postgres.process.wait(READY_SECONDS), 1)
        self.assertIn("is not a complete cluster", pod.postgres.log())
        self.assertEqual((pod.data / "pgdata/precious").read_text(), "data")

    def test_data_of_another_major_version_is_refused_and_left(self):
        pod = self.pod()
        (pod.data / "pgdata/global").mkdir(parents=True)
        (pod.data / "pgdata/PG_VERSION").write_text("9\n")
        (pod.data / "pgdata/global/pg_control").write_text("x")
        pod.start(self.kubernetes)
        self.assertEqual(pod.postgres.process.wait(READY_SECONDS), 1)
        self.assertIn("was made by PostgreSQL 9", pod.postgres.log())
        self.assertTrue((pod.data / "pgdata/PG_VERSION").exists())

    def test_a_missing_secret_is_named(self):
        pod = self.pod()
        (pod.secrets / "admin/superuser-password").unlink()
        pod.start(self.kubernetes)
        self.assertEqual(pod.postgres.process.wait(READY_SECONDS), 1)
        self.assertIn("/etc/rates/admin/superuser-password is missing", pod.postgres.log())

    # Stopping, and losing the API server

    def test_a_stop_is_a_fast_shutdown(self):
        pod = self.ready_pod()
        started = time.monotonic()
        self.assertEqual(pod.roles.terminate(), 128 + signal.SIGTERM)
        pod.postgres.terminate()
        self.assertLess(time.monotonic() - started, 20)
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
            self.assertEqual(pod.roles.terminate(10), 128 + signal.SIGTERM)
        finally:
            pod.kill()
            holder.join()

    # The lock of the batches, which a stop waits for

    LOCK = 7226436020231031

    def locks(self, pod, granted):
        """Who has the lock, or waits for it, by the names of their sessions."""
        return self.superuser(
            pod,
            "SELECT string_agg(application_name, ' ' ORDER BY application_name) FROM pg_locks JOIN pg_stat_activity USING (pid)"
            " WHERE locktype = 'advisory' AND granted = {}".format(granted),
        )

    def session(self, pod, sql):
        """A session of the application that goes on by itself."""
        uri = "postgresql://{username}@127.0.0.1:5432/rates?application_name=batch".format(**pod.login)
        command = ["/usr/sbin/chroot", str(self.image.root), "/usr/bin/env", "PATH=" + pod.path(), "psql", "-X", "-q", uri]
        session = subprocess.Popen(
            [*command, "-c", sql, "-c", "SELECT pg_sleep(3600)"],
            env={"PGPASSWORD": pod.login["password"]},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.addCleanup(session.kill)
        return session

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
        started = time.monotonic()
        pod.postgres.terminate()
        self.assertLess(time.monotonic() - started, 20)
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
        wait_until(lambda: self.locks(pod, True) == "batch batch", 15, "the new one comes in beside the long one")
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
        started = time.monotonic()
        drain = pod.postgres.execute("/usr/local/bin/rates-postgres-drain")
        self.assertEqual((drain.wait(READY_SECONDS), drain.stderr.read()), (0, ""))
        self.assertLess(time.monotonic() - started, 3)
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
            wait_until(lambda: "failsafe mode is enabled" in pod.postgres.log(), 30, "Patroni misses the API server")
            while time.monotonic() < end:
                pod.query("INSERT INTO away VALUES (1)", database="away")
        finally:
            self.kubernetes.start_api_server()
        self.assertNotIn("demot", pod.postgres.log())

    # Roles

    def test_a_changed_secret_is_followed_and_the_other_login_goes_on(self):
        pod = self.ready_pod()
        old = dict(pod.login)
        pod.write_secret("app", username="rates_b", password='new "$HOME" `id` \\ \'')
        wait_until(lambda: pod.query("SELECT 1", check=False)[0] == 0, READY_SECONDS, "the new login works")
        self.assertEqual(pod.query("SELECT 1", user=old["username"], password=old["password"]), "1")
        pod.write_secret("app", username="rates_a", password="third")
        wait_until(lambda: pod.query("SELECT 1", check=False)[0] == 0, READY_SECONDS, "the third login works")
        self.assertNotEqual(pod.query("SELECT 1", "rates_a", old["password"], check=False)[0], 0)
        pod.write_secret("admin", **{"superuser-password": "super-2", "replication-password": "replica-2"})
        wait_until(
            lambda: pod.query("SELECT 1", "postgres", "super-2", check=False)[0] == 0, READY_SECONDS, "the superuser's"
        )

    def annotation(self, name):
        pod = json.loads(self.kubernetes.kubectl("get", "pod", "x-postgres-0", "-o", "json"))
        return pod["metadata"].get("annotations", {}).get(name)

    def test_a_password_is_rotated_through_the_other_login(self):
        pod = self.ready_pod()
        old = dict(pod.login)
        passwords = {"superuser-password": "super-1", "replication-password": "replica-1"}
        following = {"next-username": "rates_b", "next-password": "next ' \\ one", "next-id": "0123456789"}
        works = lambda user, password: pod.query("SELECT 1", user, password, check=False)[0] == 0

        pod.write_secret("admin", **passwords, **following)
        told = lambda: self.annotation("rates.internal/next-login") == "0123456789"
        wait_until(told, READY_SECONDS, "the operator is told")
        self.assertTrue(works("rates_b", following["next-password"]), "it works as soon as that is told")
        self.assertTrue(works(old["username"], old["password"]), "and so does the one in use")

        # The admin Secret's file may change before the application's does.
        pod.write_secret("admin", **passwords, **{"retired-username": "rates_a"})
        pod.restart_roles()
        wait_until(lambda: (pod.roles.tmp / "roles-applied").exists(), READY_SECONDS, "the roles were looked at")
        self.assertTrue(works(old["username"], old["password"]), "still in use as far as can be seen")

        pod.write_secret("app", username="rates_b", password=following["next-password"])
        wait_until(lambda: not works(old["username"], old["password"]), READY_SECONDS, "the old one is shut")
        self.assertTrue(works("rates_b", following["next-password"]))
        self.assertEqual(self.superuser(pod, "SELECT rolpassword IS NULL FROM pg_authid WHERE rolname = 'rates_a'"), "t")

        # And back, with a new password.
        pod.write_secret("admin", **passwords, **{"next-username": "rates_a", "next-password": "third", "next-id": "2"})
        wait_until(lambda: self.annotation("rates.internal/next-login") == "2", READY_SECONDS, "it is told again")
        self.assertTrue(works("rates_a", "third"))
        self.assertNotIn("third", pod.roles.log() + pod.postgres.log())

    def test_roles_that_were_changed_in_the_database_are_repaired(self):
        pod = self.ready_pod()
        damages = (
            "ALTER ROLE rates_a PASSWORD 'other'",
            "ALTER ROLE rates_a NOLOGIN",
            "REVOKE rates_owner FROM rates_migrator",
            "REVOKE rates_service FROM rates_a",
            "ALTER ROLE rates_owner NOCREATEDB",
            "ALTER ROLE rates_b SUPERUSER",
            "DROP ROLE replicator",
        )
        for number, damage in enumerate(damages):
            with self.subTest(damage):
                if damage.startswith("DROP"):
                    self.superuser(pod, "DROP OWNED BY replicator")
                self.superuser(pod, damage)
                # The first is found at the half minute's look, the others when the keeper starts anew.
                if number:
                    pod.restart_roles()
                wait_until(
                    lambda: pod.query("SELECT 1", check=False)[0] == 0
                    and self.superuser(pod, ROLES)
                    == RIGHT_ROLES
                    and self.superuser(pod, RIGHT_MEMBERS) == "t f t",
                    READY_SECONDS,
                    "the roles are right again",
                )

    def test_a_login_that_is_neither_of_the_two_is_refused_in_words(self):
        pod = self.pod()
        pod.write_secret("app", username="postgres", password="x")
        pod.start(self.kubernetes)
        wait_until(lambda: "it must be rates_a or rates_b" in pod.roles.log(), READY_SECONDS, "the sentence")
        self.assertFalse(pod.is_ready())

    def test_no_password_is_logged(self):
        pod = self.ready_pod()
        self.superuser(pod, "ALTER SYSTEM SET log_statement = 'all'")
        self.superuser(pod, "ALTER SYSTEM SET log_min_duration_statement = 0")
        self.superuser(pod, "SELECT pg_reload_conf()")
        pod.write_secret("app", username="rates_b", password="unmistakable-1")
        pod.write_secret("admin", **{"superuser-password": "unmistakable-2", "replication-password": "unmistakable-3"})
        wait_until(lambda: pod.query("SELECT 1", check=False)[0] == 0, READY_SECONDS, "the new login works")
        wait_until(
            lambda: pod.query("SELECT 1", "postgres", "unmistakable-2", check=False)[0] == 0, READY_SECONDS, "postgres"
        )
        container = pod.load(str(uuid.uuid4()), b"SELECT broken;")
        self.assertEqual(pod.loaded(container)[0], 1)
        logs = pod.postgres.log() + pod.roles.log() + pod.loader.log()
        self.assertIn("SELECT broken", logs)
        self.assertNotIn("unmistakable", logs)

    # Seeds

    def uid(self):
        return str(uuid.uuid4())

    def scratch(self, uid):
        return "rates_seed_" + uid.replace("-", "")[:12]

    def marker(self, pod, database):
        return pod.query("SELECT source, checksum, rows, seconds > 0 FROM rates_internal.seed", database=database)

    def test_a_plain_and_a_gzip_dump_are_loaded_with_a_marker(self):
        pod = self.ready_pod()
        checksum = "sha256:" + hashlib.sha256(DUMP).hexdigest()
        for content, source in ((DUMP, "bundled"), (gzip.compress(DUMP), "configMap:dumps/real's")):
            uid = self.uid()
            self.assertEqual(pod.loaded(pod.load(uid, content, source)), (0, ""))
            self.assertEqual(self.marker(pod, self.scratch(uid)), "{}|{}|3|t".format(source, checksum))
            self.assertEqual(pod.query("SELECT sum(price) FROM prices", database=self.scratch(uid)), "60")
            owner = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname IN ('public', 'rates_internal')"
            self.assertEqual(pod.query(owner, database=self.scratch(uid)), "rates_owner")
        # The second attempt dropped what the first one left.
        self.assertEqual(pod.query("SELECT count(*) FROM pg_database WHERE datname LIKE 'rates%'"), "1")

    def test_no_dump_is_an_empty_database_with_a_marker(self):
        pod = self.ready_pod()
        uid = self.uid()
        self.assertEqual(pod.loaded(pod.load(uid)), (0, ""))
        self.assertIn("|0|t", self.marker(pod, self.scratch(uid)))

    def test_a_database_that_is_there_is_left_alone(self):
        pod = self.ready_pod()
        pod.own("CREATE DATABASE rates")
        self.assertEqual(pod.loaded(pod.load(self.uid(), DUMP)), (0, ""))
        self.assertEqual(pod.query("SELECT count(*) FROM pg_database WHERE datname LIKE 'rates_seed%'"), "0")

    def failure(self, pod, content, **settings):
        uid = self.uid()
        status, message = pod.loaded(pod.load(uid, content, **settings))
        self.assertEqual(status, 1)
        self.assertLessEqual(len(message.encode()), 4096)
        answer = json.loads(message)
        self.assertEqual(answer["outcome"], "failed")
        code, _, _ = pod.query("SELECT FROM rates_internal.seed", database=self.scratch(uid), check=False)
        self.assertNotEqual(code, 0, "a failed load has no marker")
        return answer["message"]

    def test_a_dump_that_fails_says_what_psql_said(self):
        pod = self.ready_pod()
        said = self.failure(pod, DUMP.replace(b"2021-01-02\t30", b"2021-01-02\tthirty"))
        self.assertIn('invalid input syntax for type integer: "thirty"', said)
        self.assertIn("COPY prices, line 3", said)
        self.assertIn("psql:<stdin>:", said)
        packed = gzip.compress(DUMP)
        self.assertIn("not valid gzip", self.failure(pod, packed[:-40]))
        self.assertIn("not valid gzip", self.failure(pod, packed[:-8] + b"12345678"))
        self.assertIn("syntax error", self.failure(pod, b"CREATE TABLE a (n int);\nCREATE nonsense;\n"))
        self.assertIn("role \"nobody\" does not exist", self.failure(pod, DUMP + b"ALTER TABLE public.ports OWNER TO nobody;"))
        self.assertIn("permission denied", self.failure(pod, b"CREATE ROLE intruder;"))
        long = b"DO $$ BEGIN RAISE EXCEPTION '" + "ä\"\\".encode() * 4000 + b"'; END $$;"
        self.assertTrue(self.failure(pod, long))
        self.assertIn("cannot be read", self.failure(pod, None, SEED_FILE="/seed/missing"))

    def test_a_load_that_is_killed_is_started_over_by_the_next(self):
        pod = self.ready_pod()
        endless = DUMP + b"SELECT pg_sleep(3600);\n"
        first = self.uid()
        container = pod.load(first, endless)
        wait_until(
            lambda: pod.query("SELECT count(*) FROM prices", database=self.scratch(first), check=False)[1] == "3",
            READY_SECONDS,
            "the first load is half done",
        )
        container.kill()
        second = self.uid()
        self.assertEqual(pod.loaded(pod.load(second, DUMP)), (0, ""))
        names = pod.query("SELECT string_agg(datname, ' ') FROM pg_database WHERE datname LIKE 'rates%'")
        self.assertEqual(names, self.scratch(second))

    def test_a_url_that_leads_into_the_cluster_is_refused(self):
        pod = self.ready_pod()
        for url in ("https://127.0.0.1:6443/dump", "https://169.254.169.254/latest", "https://kubernetes.default.svc/"):
            settings = {"SEED_URL": url, "SEED_SHA256": "0" * 64, "SEED_MOST_BYTES": "1000", "SEED_FILE": "/seed/dump"}
            status, message = pod.loaded(pod.load(self.uid(), None, **settings))
            self.assertEqual(status, 1)
            self.assertRegex(message, "is not a public")
            self.assertFalse(json.loads(message)["retry"])

    def test_a_dump_in_a_volume_is_a_file_of_that_volume(self):
        pod = self.ready_pod()
        self.assertEqual(pod.loaded(pod.load(self.uid(), DUMP, SEED_ROOT="/seed")), (0, ""))
        status, message = pod.loaded(pod.load(self.uid(), None, SEED_ROOT="/seed", SEED_FILE="/seed/a/b.sql"))
        self.assertEqual((status, json.loads(message)["retry"]), (1, True))
        self.assertIn("there is no file a/b.sql in the volume", message)
        (pod.folder / "seed/link").symlink_to("/etc/rates/app/uri")
        status, message = pod.loaded(pod.load(self.uid(), None, SEED_ROOT="/seed", SEED_FILE="/seed/link"))
        self.assertEqual((status, json.loads(message)["retry"]), (1, False))
        self.assertIn("link is not a file of the volume", message)

    def test_a_load_waits_for_the_database(self):
        pod = self.pod()
        container = pod.load(self.uid(), DUMP)
        pod.start(self.kubernetes)
        self.assertEqual(pod.loaded(container), (0, ""))

    def test_a_load_whose_connection_is_ended_may_be_tried_again(self):
        pod = self.ready_pod()
        for more, statement in ((b"SELECT pg_sleep(3600);\n", "pg_sleep"), (SLOW_COUNT, "count")):
            container = pod.load(self.uid(), DUMP + more)
            waiting = "SELECT pid FROM pg_stat_activity WHERE usename = 'rates_load' AND query ~ 'SELECT {}'".format(statement)
            wait_until(lambda: pod.query(waiting, *SUPERUSER) != "", READY_SECONDS, "it waits")
            pod.query("SELECT pg_terminate_backend(({}))".format(waiting), *SUPERUSER)
            status, message = pod.loaded(container)
            self.assertEqual((status, json.loads(message)["retry"]), (1, True), message)

    def test_a_load_ends_when_it_is_told_to(self):
        pod = self.ready_pod()
        uid = self.uid()
        container = pod.load(uid, DUMP + b"SELECT pg_sleep(3600);\n")
        wait_until(
            lambda: pod.query("SELECT 1 FROM prices LIMIT 1", database=self.scratch(uid), check=False)[1] == "1",
            READY_SECONDS,
            "the load is half done",
        )
        container.terminate(10)


class Postgres13(PodTests, unittest.TestCase):
    version = "13.5"


class Postgres17(PodTests, unittest.TestCase):
    version = "17"


class Part(unittest.TestLoader):
    """Every so many of the tests, as RATES_TEST_PART says: `1/2` are the first, the third and so on."""

    def getTestCaseNames(self, case):
        part, parts = (int(number) for number in os.environ.get("RATES_TEST_PART", "1/1").split("/"))
        return super().getTestCaseNames(case)[part - 1 :: parts]


def main():
    program = unittest.main(verbosity=2, exit=False, testLoader=Part())
    result = program.result
    failed = len(result.failures) + len(result.errors)
    skipped = len(result.skipped)
    print(
        "test result: {}. {} passed; {} failed; {} ignored; 0 measured; 0 filtered out".format(
            "ok" if result.wasSuccessful() else "FAILED",
            result.testsRun - failed - sum(1 for test, _ in result.skipped if isinstance(test, unittest.TestCase)),
            failed,
            skipped,
        )
    )
    sys.exit(0 if result.wasSuccessful() else 1)


if __name__ == "__main__":
    main()
