"""A new pod: its server, roles and parameters, and what a kill at any moment leaves. A part of the database pod's tests (test_pod.py)."""

import json
import os
import random
import shutil
import time

from control_plane import wait_until
from sandbox import READY_SECONDS, say
from test_roles import RIGHT_ROLES, ROLES

KILLS = int(os.environ.get("RATES_TEST_KILLS", "5"))


class CreationTests:
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

    def test_why_a_server_does_not_start_is_told_until_it_does(self):
        config = {"ttl": 20, "loop_wait": 2, "retry_timeout": 5, "failsafe_mode": True}
        told = lambda: self.annotation("rates.internal/start-failure")
        pod = self.pod()
        for parameters, words in (
            ({"max_stack_depth": 2147483647}, '"max_stack_depth" must not exceed'),
            ({"shared_buffers": "4000GB"}, "could not map anonymous shared memory"),
        ):
            config["postgresql"] = {"parameters": parameters}
            self.write_config(config)
            if not pod.containers:
                pod.start(self.kubernetes)
            wait_until(lambda words=words: words in (told() or ""), READY_SECONDS, words)
        self.assertIn("FATAL:  could not map anonymous shared memory", pod.postgres.log())
        config["postgresql"]["parameters"]["shared_buffers"] = "24MB"
        self.write_config(config)
        self.wait_ready(pod)
        wait_until(lambda: told() is None, READY_SECONDS, "nothing is told any more")
        # The server goes on without whoever read what it said.
        self.superuser(pod, "SELECT pg_reload_conf()")
        self.assertEqual(pod.query("SHOW shared_buffers"), "24MB")

    def test_a_server_that_was_stopped_did_not_fail_to_start(self):
        pod = self.ready_pod()
        script = (
            "rm -f /tmp/why; printf 'x %s\\n' \"$@\" | awk -v file=/tmp/why -f /usr/local/share/rates/start-failure.awk"
            " >/dev/null; if [ -e /tmp/why ]; then cat /tmp/why >&2; fi"
        )

        def why(*lines):
            reader = pod.postgres.execute("/usr/bin/env", "--chdir=/tmp", "sh", "-c", script, "sh", *lines)
            return reader.communicate(timeout=READY_SECONDS)[1].strip()

        stop = "LOG:  received fast shutdown request"
        session = "FATAL:  terminating connection due to administrator command"
        full = 'PANIC:  could not write to file "pg_wal/xlogtemp.1": No space left on device'
        self.assertEqual(why('FATAL:  role "x" does not exist', stop, session, "LOG:  database system is shut down"), "")
        self.assertEqual(why(stop, session, full), full.removeprefix("PANIC:  "))
        self.assertEqual(why("FATAL:  one", "HINT:  two", "LOG:  database system is shut down"), "one; two")

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
                self.assertEqual(self.superuser(pod, "SELECT count(*) FROM pg_roles WHERE rolname ~ '^(rates|repl)'"), "8")
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
