"""Loads of dumps: their markers, failures, kills and repetitions. A part of the database pod's tests (test_pod.py)."""

import fcntl
import gzip
import hashlib
import json
import shutil
import uuid
from pathlib import Path

from control_plane import wait_until
from dumps import HEAD, PRIMARY_KEY, TABLES
from sandbox import READY_SECONDS, Container

DUMP = (HEAD + TABLES + PRIMARY_KEY).encode()
# After it the loader waits while it counts the prices.
SLOW_COUNT = b"""
ALTER TABLE public.prices RENAME TO kept;
CREATE VIEW public.prices AS SELECT kept.* FROM public.kept, pg_catalog.pg_sleep(3600);
"""
SUPERUSER = ("postgres", "super-1")


class LoadTests:
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
            self.assertEqual(pod.query("SELECT sum(price) FROM prices", database=self.scratch(uid)), "3300")
            analyzed = "SELECT reltuples FROM pg_class WHERE oid = 'public.prices'::regclass"
            self.assertEqual(pod.query(analyzed, database=self.scratch(uid)), "3")
            owner = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname IN ('public', 'rates_internal')"
            self.assertEqual(pod.query(owner, database=self.scratch(uid)), "rates_owner")
        self.assertNotIn("can analyze it", pod.postgres.log())
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
        said = self.failure(pod, DUMP.replace(b"\t1200", b"\tthirty"))
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

    def test_fetching_passes_its_tests_in_the_images_own_python(self):
        folder = self.image.root / "usr/local/share/rates/tests"
        folder.mkdir(exist_ok=True)
        shutil.copy(Path(__file__).parent / "test_fetch.py", folder)
        done = self.image.run("/usr/bin/python3", "-B", "/usr/local/share/rates/tests/test_fetch.py")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stderr, "Ran [1-9][0-9]* tests")

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

    def test_who_waits_for_a_load_sees_its_end_however_it_ends(self):
        pod = self.ready_pod()
        endless = DUMP + b"SELECT pg_sleep(3600);\n"

        def begun(content):
            uid = self.uid()
            container, path = self.load_beside(pod, uid, content)
            wait_until(path.exists, READY_SECONDS, "the load has begun")
            return uid, container, path

        # Only a good end is told in the file; any end shows by the lock.
        uid, container, path = begun(endless)
        self.half_done(pod, uid)
        self.assertTrue(self.is_locked(path))
        self.assertEqual(path.read_text(), "")
        pod.query("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query ~ '^SELECT pg_sleep'", *SUPERUSER)
        self.assertEqual(pod.loaded(container)[0], 1)
        self.assertEqual((self.is_locked(path), path.read_text()), (False, ""), "it failed")

        for end in (Container.kill, Container.terminate):
            uid, container, path = begun(endless)
            self.half_done(pod, uid)
            self.assertTrue(self.is_locked(path))
            end(container)
            wait_until(lambda path=path: not self.is_locked(path), READY_SECONDS, "the kernel has taken the lock away")
            self.assertEqual(path.read_text(), "")

        uid, container, path = begun(DUMP)
        self.assertEqual(pod.loaded(container), (0, ""))
        self.assertEqual((self.is_locked(path), path.read_text()), (False, "done\n"))
        # One that is started again finds the work done.
        pod.own("ALTER DATABASE {} RENAME TO rates".format(self.scratch(uid)))
        uid, container, path = begun(DUMP)
        self.assertEqual(pod.loaded(container), (0, ""))
        self.assertEqual((self.is_locked(path), path.read_text()), (False, "done\n"))

    def load_beside(self, pod, uid, content):
        """A load that another container waits for, and the file by which that one does."""
        steps = pod.folder / "steps"
        shutil.rmtree(steps, ignore_errors=True)
        steps.mkdir()
        shutil.chown(steps, 999, 999)
        container = pod.load(uid, content, mounts=[(steps, "steps")], SEED_END_FILE="/steps/load")
        return container, steps / "load"

    def half_done(self, pod, uid):
        wait_until(
            lambda: pod.query("SELECT 1 FROM prices LIMIT 1", database=self.scratch(uid), check=False)[1] == "1",
            READY_SECONDS,
            "the load is half done",
        )

    def is_locked(self, path):
        with open(path, encoding="ascii") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def test_a_load_whose_connection_is_ended_may_be_tried_again(self):
        pod = self.ready_pod()
        for more, statement in ((b"SELECT pg_sleep(3600);\n", "pg_sleep"), (SLOW_COUNT, "count")):
            container = pod.load(self.uid(), DUMP + more)
            waiting = "SELECT pid FROM pg_stat_activity WHERE usename = 'rates_load' AND query ~ 'SELECT {}'".format(statement)
            wait_until(lambda waiting=waiting: pod.query(waiting, *SUPERUSER) != "", READY_SECONDS, "it waits")
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
        container.terminate()
