"""The exporter beside the server, by its own image. A part of the database pod's tests (test_pod.py)."""

import os
import re
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

from control_plane import wait_until
from sandbox import READY_SECONDS, Image

# As the operator starts it (operator/src/build/stateful_set.rs, of which a snapshot is kept).
SNAPSHOT = (
    Path(__file__).resolve().parents[3] / "operator/tests/pipeline/snapshots/pipeline__builders__exporter.snap"
)
USER = 65532
METRICS = "http://127.0.0.1:9187/metrics"


def settings():
    """The container's arguments and variables, from the operator's snapshot."""
    lines = SNAPSHOT.read_text().split("---\n", 2)[2].splitlines()
    arguments = [line[4:].strip('"') for line in lines[lines.index("args:") + 1 : lines.index("env:")]]
    names = re.findall(r"- name: (DATA_SOURCE_NAME|PG_EXPORTER_\w+)\n +value: (.*)", "\n".join(lines))
    return arguments, {name: value.strip('"') for name, value in names}


def samples():
    """Each sample's name with its labels, and its value."""
    try:
        with urllib.request.urlopen(METRICS, timeout=10) as answer:
            text = answer.read().decode()
    except (urllib.error.URLError, ConnectionError):
        return {}
    found = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in found}


class ExporterTests:
    def exporter(self, pod, user=USER, change=lambda source: source):
        """Its container, in the pod's network, with the server's socket and nothing else of the pod."""
        root = self.folder / "exporter"
        if not root.exists():
            Image(os.environ["RATES_TEST_EXPORTER_IMAGE"], root)
        arguments, variables = settings()
        variables["DATA_SOURCE_NAME"] = change(variables["DATA_SOURCE_NAME"])
        script = [
            "set -e",
            "mount --bind {0} {0}".format(root),
            "mkdir -p {}/var/run/postgresql".format(root),
            "mount --bind -o ro {} {}/var/run/postgresql".format(pod.run, root),
            "mount -o remount,bind,ro {}".format(root),
            'exec /usr/sbin/chroot --userspec={0}:{0} --groups= {1} "$@"'.format(user, root),
        ]
        with open(pod.folder / "exporter.log", "ab") as log:
            process = subprocess.Popen(
                ["unshare", "--mount", "sh", "-c", "\n".join(script), "sh"]
                + ["/usr/bin/prometheus-postgres-exporter", *arguments],
                env=variables,
                stdout=log,
                stderr=log,
            )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def test_the_exporter_tells_of_the_server_without_a_password(self):
        pod = self.pod()
        # Before the server: both containers of a pod start at once.
        self.exporter(pod)
        wait_until(samples, READY_SECONDS, "the exporter answers")
        pod.start(self.kubernetes)
        self.wait_ready(pod)
        wait_until(lambda: samples().get("pg_up") == 1, READY_SECONDS, "it reaches the server")
        found = samples()
        for name, value in {
            "pg_exporter_last_scrape_error": 0,
            "pg_replication_is_replica": 0,
            'pg_scrape_collector_success{collector="replication_slot"}': 1,
            'pg_scrape_collector_success{collector="wal"}': 1,
        }.items():
            self.assertEqual(found.get(name), value, name)
        for name in (
            "pg_wal_size_bytes",
            'pg_database_size_bytes{datname="postgres"}',
            'pg_stat_database_blks_hit{datid="',
            'pg_stat_activity_count{application_name="',
            "pg_long_running_transactions_oldest_timestamp_seconds",
            "pg_stat_bgwriter_buffers_alloc_total",
            "pg_stat_checkpointer_num_requested_total"
            if self.version == "17"
            else "pg_stat_bgwriter_checkpoints_req_total",
        ):
            self.assertTrue(any(sample.startswith(name) for sample in found), name)
        for without in ("pg_settings_", "pg_locks_", "pg_stat_user_tables_", "pg_roles_"):
            self.assertFalse([sample for sample in found if sample.startswith(without)])
        self.a_wait_for_a_lock_is_seen(pod)
        self.the_login_reads_no_rows_and_comes_by_the_socket_alone(pod)
        log = (pod.folder / "exporter.log").read_text()
        self.assertNotIn("level=WARN", log)

    def a_wait_for_a_lock_is_seen(self, pod):
        """Rung by rung of the ladder, this is what the others are seen by, too."""
        with_lock = "SELECT pg_advisory_lock(13), pg_sleep(60)"
        psql = ["/usr/sbin/chroot", str(pod.image.root), "/usr/bin/env", "PATH=" + pod.path()]
        psql += ["PGPASSWORD=migrator-1", "psql", "-X", "-q", "-w", "-h", "127.0.0.1", "-U", "rates_migrator"]
        psql += ["-d", "postgres"]
        sessions = [subprocess.Popen([*psql, "-c", sql], stdout=subprocess.DEVNULL) for sql in (with_lock, with_lock)]
        try:
            waits = re.compile(r'pg_stat_activity_count{.*state="active".*wait_event="advisory",wait_event_type="Lock"')
            wait_until(
                lambda: any(waits.match(name) and value == 1 for name, value in samples().items()),
                READY_SECONDS,
                "one waits for the other",
            )
        finally:
            for session in sessions:
                session.kill()
                session.wait()

    def the_login_reads_no_rows_and_comes_by_the_socket_alone(self, pod):
        for password in ("", "monitor", "super-1"):
            status, _, error = pod.query("SELECT 1", "rates_monitor", password or " ", check=False)
            self.assertNotEqual(status, 0)
            self.assertIn("pg_hba.conf rejects", error)
        superuser = self.superuser
        passwords = "SELECT has_table_privilege('rates_monitor', 'pg_authid', 'SELECT')"
        self.assertEqual(superuser(pod, passwords), "f")
        self.assertEqual(superuser(pod, "SELECT rolpassword IS NULL FROM pg_authid WHERE rolname = 'rates_monitor'"), "t")
        self.assertEqual(superuser(pod, "SELECT pg_has_role('rates_monitor', 'pg_read_server_files', 'MEMBER')"), "f")

    def test_whoever_has_the_exporters_container_is_nobody_else_to_the_server(self):
        pod = self.ready_pod()
        # The last is its own login, and not for another user than the exporter's.
        for name, user in (("postgres", USER), ("replicator", USER), ("rates_a", USER), ("rates_monitor", 12345)):
            exporter = self.exporter(pod, user, lambda source, name=name: source.replace("rates_monitor", name))
            wait_until(samples, READY_SECONDS, "the exporter answers")
            self.assertEqual(samples().get("pg_up"), 0, name)
            log = (pod.folder / "exporter.log").read_text()
            refused = r"Peer authentication failed for user ..?{0}|no pg_hba.conf entry for host .*user ..?{0}"
            self.assertRegex(log, refused.format(name))
            exporter.kill()
            exporter.wait()
