"""Copies of one environment by another: what they hold, and what the login of a copy may read. A part of the database pod's
tests (test_pod.py), with both versions at once."""

import contextlib
import json
import re
import socket
import threading
from pathlib import Path

from control_plane import run, wait_until
from sandbox import READY_SECONDS
from sharing import (
    CONTENT,
    SHAPE,
    SUPERUSER,
    TABLES,
    Reader,
    copy,
    migrate,
    scratch,
    seed,
    share,
)

# Batches as the API takes them in: rows that nobody sees, and then one row that decides.
BATCH = """
WITH b AS (
    INSERT INTO rates_internal.batches (owner, token, asynchronous) VALUES ('test', '\\x00', false) RETURNING id
) INSERT INTO rates_internal.batch_prices (batch_id, orig_code, dest_code, days, totals, counts, prices)
SELECT id, pair.orig, pair.dest, ARRAY[date '2022-01-01', '2022-01-02'], ARRAY[3000000, 1000000], ARRAY[3, 1],
    ARRAY[1000000, 1000000, 1000000, 1000000]
FROM b, (VALUES ('P10', 'P11'), ('P28', 'P29')) AS pair (orig, dest);
UPDATE rates_internal.batches SET status = 'applied', rows = 8, finished_at = now() WHERE status = 'receiving';
"""
OF_A_BATCH = 8


# In the database that a copy fills: it stands still there while somebody has an advisory lock.
HOLDS = {
    # The copy has begun, and has read nothing.
    "begun": """
CREATE FUNCTION public.hold() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    PERFORM pg_catalog.pg_advisory_xact_lock(7);
END $$;
CREATE EVENT TRIGGER hold ON ddl_command_start WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION public.hold()""",
    # The prices are being read.
    "prices": """
CREATE FUNCTION public.held() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    PERFORM pg_catalog.pg_advisory_xact_lock(7);
    RETURN NULL;
END $$;
CREATE FUNCTION public.hold() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF pg_catalog.to_regclass('public.prices') IS NOT NULL AND NOT EXISTS (SELECT FROM pg_trigger WHERE tgname = 'held') THEN
        CREATE TRIGGER held BEFORE INSERT ON public.prices FOR EACH STATEMENT EXECUTE FUNCTION public.held();
    END IF;
END $$;
CREATE EVENT TRIGGER hold ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION public.hold()""",
}
MIGRATOR = ("rates_migrator", "migrator-1")


class Batches:
    """Applies batches one after the other, and counts those that began and those that were acknowledged."""

    def __init__(self, pod):
        self.pod, self.begun, self.acknowledged, self.stopped = pod, 0, 0, False
        self.thread = threading.Thread(target=self.run)

    def __enter__(self):
        self.thread.start()
        wait_until(lambda: self.acknowledged > 2, READY_SECONDS, "batches go in")
        return self

    def __exit__(self, *_):
        self.stopped = True
        self.thread.join()

    def run(self):
        while not self.stopped:
            self.begun += 1
            self.pod.script(BATCH, "rates")
            self.acknowledged += 1


class Wire:
    """What goes over the pods' network meanwhile."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 26)
        # The first pod's end of its link.
        self.socket.bind(("pod1", 0))
        self.socket.settimeout(0.2)
        self.stopped, self.packets = False, []
        self.thread = threading.Thread(target=self.run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopped = True
        self.thread.join()
        self.socket.close()

    def run(self):
        while not self.stopped:
            try:
                self.packets.append(self.socket.recv(1 << 16))
            except socket.timeout:
                pass

    def content(self):
        return b"".join(self.packets)


class ShareTests:
    def setUp(self):
        self.old, self.new = self.environments.pods
        self.addCleanup(lambda: [self.tell_if_failed(pod) for pod in self.environments.pods])
        self.addCleanup(lambda: [share(pod) for pod in self.environments.pods])

    def let_in(self, pod, *readers):
        share(pod, *readers)
        for reader in readers:
            wait_until(lambda reader=reader: reader.is_let_in(pod), READY_SECONDS, "the reader is let in")
        return readers[0]

    def copied(self, pod, source, reader):
        """Copies, and gives the marker's column."""
        self.assertEqual(pod.loaded(copy(pod, source, reader)), (0, ""))
        return json.loads(pod.query("SELECT copied FROM rates_internal.seed", database=scratch(reader)))

    def failure(self, pod, source, reader, container=None):
        container = container or copy(pod, source, reader)
        status, message = pod.loaded(container)
        self.assertEqual(status, 1, message)
        answer = json.loads(message)
        self.assertEqual(pod.query("SELECT count(*) FROM pg_database WHERE datname = '{}'".format(scratch(reader))), "0")
        return answer["message"], answer["retry"]

    def as_superuser(self, pod, sql, database="rates"):
        return pod.query(sql, *SUPERUSER, database)

    def end_sleep(self, pod):
        """Ends what holds a lock."""
        self.as_superuser(pod, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'", "postgres")

    @contextlib.contextmanager
    def holding(self, pod, statements, database, login=SUPERUSER):
        """A session that keeps what it has locked."""
        run = lambda: pod.query(statements + "; SELECT pg_sleep(300)", *login, database, check=False)
        thread = threading.Thread(target=run)
        thread.start()
        there = "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND query = 'SELECT pg_sleep(300)'".format(database)
        try:
            wait_until(lambda: self.as_superuser(pod, there, "postgres") == "1", READY_SECONDS, "it is locked")
            yield
        finally:
            self.end_sleep(pod)
            thread.join(READY_SECONDS)

    def buffer_little(self):
        """The kernel takes megabytes of what nobody reads: a copy that stands still would have been read whole."""
        for pod in self.environments.pods:
            for way in ("rmem", "wmem"):
                path = "/proc/sys/net/ipv4/tcp_" + way
                write = lambda values, pod=pod, path=path: run(*pod.enter, "sh", "-c", "echo {} > {}".format(values, path))
                self.addCleanup(write, Path(path).read_text().strip())
                write("4096 131072 524288")

    def waits(self, pod, what):
        """Waits until a session waits for a lock."""
        query = "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND " + what
        wait_until(lambda: self.as_superuser(pod, query, "postgres") == "t", READY_SECONDS, what)

    @contextlib.contextmanager
    def stopped(self, target, source, reader, where):
        """A copy that stands still, until the end."""
        with contextlib.ExitStack() as held:
            with self.holding(source, "BEGIN; LOCK TABLE public.regions", "rates"):
                container = copy(target, source, reader)
                self.waits(source, "usename = '{}'".format(reader.login))
                self.as_superuser(target, HOLDS[where], scratch(reader))
                held.enter_context(self.holding(target, "SELECT pg_advisory_lock(7)", scratch(reader), MIGRATOR))
            self.waits(target, "wait_event = 'advisory' AND datname = '{}'".format(scratch(reader)))
            yield container

    def restored(self, pod, price):
        """Begins to put other prices in the place of those that are there, as a restore does; gives its thread."""
        run = lambda: pod.own(
            "BEGIN; TRUNCATE rates_internal.seed_prices; INSERT INTO rates_internal.seed_prices (orig_code, dest_code, day, price)"
            " SELECT a.code, b.code, '2021-01-01', {} FROM public.ports AS a, public.ports AS b WHERE a.code < b.code; COMMIT".format(price),
            "rates",
        )
        thread = threading.Thread(target=run)
        thread.start()
        return thread

    def compare(self, target, source, reader, database=None):
        expected = self.as_superuser(source, CONTENT)
        self.assertEqual(self.as_superuser(target, CONTENT, database or scratch(reader)), expected)

    def test_a_copy_from_either_version_to_either_equals_the_source_and_is_migrated(self):
        for source, target in ((self.old, self.new), (self.new, self.old), (self.old, self.old), (self.new, self.new)):
            with self.subTest(source=source.name, target=target.name):
                reader = self.let_in(source, Reader())
                copied = self.copied(target, source, reader)
                database = scratch(reader)
                self.compare(target, source, reader)
                # As the tables of a dump are, in every respect.
                target.own("CREATE DATABASE dump")
                self.addCleanup(target.own, "DROP DATABASE IF EXISTS dump")
                target.own(TABLES, "dump")
                self.assertEqual(self.as_superuser(target, SHAPE, database), self.as_superuser(target, SHAPE, "dump"))
                target.own("DROP DATABASE dump")
                prices = int(self.as_superuser(target, "SELECT count(*) FROM prices", database))
                self.assertEqual(copied["rows"], {"ports": 20, "regions": 2, "prices": prices})
                self.assertEqual((copied["masks"], copied["sample"]), ([], None))
                self.assertRegex(copied["position"], "^[0-9A-F]+/[0-9A-F]+$")
                marker = target.query("SELECT source, checksum, rows, seconds > 0 FROM rates_internal.seed", database=database)
                self.assertEqual(marker, "environment:rates/source|snapshot:{}|{}|t".format(copied["position"], prices))
                migrate(target, database)
                self.compare(target, source, reader)

    def test_a_copy_is_the_source_at_one_moment_while_batches_go_in(self):
        reader = self.let_in(self.old, Reader())
        there = int(self.as_superuser(self.old, "SELECT count(*) FROM rates_internal.batches"))
        seeds = int(self.as_superuser(self.old, "SELECT count(*) FROM rates_internal.seed_prices"))
        with Batches(self.old) as batches:
            before = batches.acknowledged
            copied = self.copied(self.new, self.old, reader)
            after = batches.begun
            self.assertGreater(batches.acknowledged, before, "batches went in meanwhile")
        prices = copied["rows"]["prices"] - seeds
        self.assertEqual(prices % OF_A_BATCH, 0, "whole batches")
        found = prices // OF_A_BATCH - there
        self.assertTrue(before <= found <= after, (before, found, after))
        # Of each batch one half is in the first part of the copy, and one in the second.
        counts = "SELECT orig_code, count(*) FROM prices WHERE day >= '2022-01-01' GROUP BY orig_code ORDER BY orig_code"
        half = prices // 2
        self.assertEqual(self.as_superuser(self.new, counts, scratch(reader)), "P10|{0}\nP28|{0}".format(half))

    def test_what_is_masked_never_leaves_and_samples_and_noise_are_the_same_in_each_copy(self):
        mask = {
            "prices": {"noise": 20},
            "days": {"shift": -30},
            "portNames": {"constant": "A 'port' \\"},
            "regionNames": {"constant": "A region"},
        }
        first, second = Reader(sample=40, mask=mask), Reader(sample=40, mask=mask)
        self.let_in(self.old, first, second)
        self.as_superuser(self.old, "ALTER SYSTEM SET log_statement = 'all'; SELECT pg_reload_conf()", "postgres")
        before = len(self.old.postgres.log())
        with Wire() as wire:
            copied = self.copied(self.new, self.old, first)
        self.as_superuser(self.old, "ALTER SYSTEM RESET log_statement; SELECT pg_reload_conf()", "postgres")
        said = ["prices: noise 20 %", "days: shift -30 days", "portNames: constant A 'port' \\", "regionNames: constant A region"]
        self.assertEqual((copied["masks"], copied["sample"]), (said, 40))

        # Its statements name nothing but the views.
        lines = [line for line in self.old.postgres.log()[before:].splitlines() if first.login in line]
        relations = re.findall(r"FROM ([a-z_0-9]+\.[a-z_]+)", "\n".join(lines))
        self.assertEqual(set(relations), {first.schema + "." + name for name in ("source", "ports", "regions", "prices")})
        # Neither do names cross the wire as they are; the masks' do.
        self.assertIn(b"A 'port' \\", wire.content())
        self.assertNotIn(b"Raw", wire.content())
        database = scratch(first)
        names = "SELECT string_agg(DISTINCT name, '|') FROM {}"
        self.assertEqual(self.as_superuser(self.new, names.format("ports"), database), "A 'port' \\")
        self.assertEqual(self.as_superuser(self.new, names.format("regions"), database), "A region")

        # Raw prices are from 100000 to 100976 but for those of batches.
        near = "SELECT min(price) >= 80000 AND max(price) <= 121172 AND count(DISTINCT price) > 1000 FROM prices WHERE day < '2021-11-01'"
        self.assertEqual(self.as_superuser(self.new, near, database), "t")
        self.assertEqual(self.as_superuser(self.new, "SELECT min(day) FROM prices", database), "2020-12-02")

        # About as many pairs as are asked for, each with all of its prices and in both directions.
        pairs = "SELECT orig_code, dest_code, count(*) FROM {} GROUP BY 1, 2 ORDER BY 1, 2"
        got = {tuple(row.split("|")) for row in self.as_superuser(self.new, pairs.format("prices"), database).splitlines()}
        all_pairs = {tuple(row.split("|")) for row in self.as_superuser(self.old, pairs.format("prices")).splitlines()}
        self.assertTrue(0.2 < len(got) / len(all_pairs) < 0.6, (len(got), len(all_pairs)))
        self.assertLessEqual(got, all_pairs)
        directions = {row[:2] for row in got}
        self.assertEqual(directions, {(dest, orig) for orig, dest in directions} & {row[:2] for row in all_pairs})
        self.assertNotEqual(
            self.as_superuser(self.new, "SELECT count(DISTINCT round(price, -4)) FROM prices", database), "1", "pairs differ"
        )

        # Another reader's copy tells nothing more.
        content = self.as_superuser(self.new, CONTENT, database)
        self.copied(self.new, self.old, second)
        self.assertEqual(self.as_superuser(self.new, CONTENT, scratch(second)), content)

    def test_the_login_of_a_copy_can_read_its_views_and_nothing_else(self):
        reader = self.let_in(self.new, Reader(mask={"portNames": {"constant": "x"}}))
        other = Reader()
        self.let_in(self.new, reader, other)
        self.assertEqual(reader.query(self.new, "SELECT DISTINCT name FROM {}.ports".format(reader.schema)), "x")
        for statement in (
            "SELECT FROM public.ports",
            "SELECT FROM public.regions",
            "SELECT FROM public.prices",
            "SELECT FROM rates_internal.seed_prices",
            "SELECT FROM rates_internal.batches",
            "SELECT FROM rates_shares.key",
            "SELECT FROM {}.ports".format(other.schema),
            "DELETE FROM {}.ports".format(reader.schema),
            "CREATE TABLE {}.mine (n int)".format(reader.schema),
            "CREATE TABLE public.mine (n int)",
            "CREATE TEMPORARY TABLE mine (n int)",
            "SET ROLE rates_owner",
            "SET temp_file_limit = -1",
            "SELECT pg_advisory_lock(1)",
            "SELECT lo_create(0)",
            "SELECT pg_notify('batches', '')",
            "SELECT pg_read_file('PG_VERSION')",
            "COPY {}.ports TO PROGRAM 'true'".format(reader.schema),
            "SELECT FROM pg_authid",
        ):
            with self.subTest(statement):
                code, _, error = reader.query(self.new, statement, check=False)
                self.assertNotEqual(code, 0)
                self.assertIn("permission denied", error.replace("must be", "permission denied: must be"))
        code, _, error = reader.query(self.new, "SELECT lo_create(0)", "postgres", check=False)
        self.assertIn("permission denied", error)
        seen = "SELECT count(*) FROM pg_stat_activity WHERE usename <> current_user AND query NOT IN ('', '<insufficient privilege>')"
        self.assertEqual(reader.query(self.new, seen), "0")
        self.assertEqual(reader.query(self.new, "SELECT count(*) FROM pg_stats WHERE schemaname = 'public'"), "0")
        # What the reader asks for is never tried on a row that the sample leaves out: it would fail there.
        sampled = self.let_in(self.new, Reader(sample=50))
        seen = set(sampled.query(self.new, "SELECT DISTINCT orig_code || dest_code FROM {}.prices".format(sampled.schema)).split())
        hidden = set(self.as_superuser(self.new, "SELECT DISTINCT orig_code || dest_code FROM prices").split()) - seen
        tell = "SELECT count(*) > 0 FROM {}.prices WHERE 1 / (orig_code || dest_code <> '{}')::integer = 1"
        self.assertEqual(sampled.query(self.new, tell.format(sampled.schema, min(hidden))), "t")
        code, _, error = sampled.query(self.new, tell.format(sampled.schema, min(seen)), check=False)
        self.assertIn("division by zero", error)
        # The application's own login still may do all of that.
        self.assertEqual(self.new.query("SELECT pg_advisory_lock(1), pg_notify('batches', '')", database="rates"), "|")

    def test_a_new_column_is_refused_until_it_is_gone(self):
        for table in ("ports", "prices"):
            with self.subTest(table):
                reader = self.let_in(self.new, Reader())
                place = {"ports": "public.ports", "prices": "rates_internal.seed_prices"}[table]
                self.new.own("ALTER TABLE {} ADD COLUMN secret text".format(place), "rates")
                # At once, also before the role manager looks again.
                message, retry = self.failure(self.old, self.new, reader)
                self.assertIn('table {} of the source has a column "secret"'.format(table), message)
                self.assertFalse(retry)
                views = "SELECT count(*) FROM pg_views WHERE schemaname = '{}'".format(reader.schema)
                if table == "ports":
                    # The look of every half minute sees it, and so does the one of a role manager that begins.
                    self.new.restart_roles()
                    wait_until(lambda views=views: self.as_superuser(self.new, views) == "1", READY_SECONDS, "no data is shown")
                self.new.own("ALTER TABLE {} DROP COLUMN secret".format(place), "rates")
                self.copied(self.old, self.new, reader)
                self.compare(self.old, self.new, reader)

    def test_what_the_pods_do_not_understand_is_not_shared(self):
        reader = Reader(mask={"prices": {"rounded": 10}})
        share(self.new, reader)
        message, retry = self.failure(self.old, self.new, reader)
        self.assertIn("the mask `prices: rounded` is not known", message)
        self.assertFalse(retry)
        self.assertIn("does not exist", reader.query(self.new, "SELECT FROM {}.ports".format(reader.schema), check=False)[2])

    def test_consent_that_is_taken_back_ends_sessions_and_leaves_nothing(self):
        reader, stays = Reader(), Reader()
        self.let_in(self.new, reader, stays)
        sleep = threading.Thread(target=lambda: results.append(reader.query(self.new, "SELECT pg_sleep(300)", check=False)))
        results = []
        sleep.start()
        there = "SELECT count(*) FROM pg_stat_activity WHERE usename = '{}' AND query LIKE '%sleep%'".format(reader.login)
        wait_until(lambda: self.as_superuser(self.new, there) == "1", READY_SECONDS, "a session is there")
        share(self.new, stays)
        sleep.join(READY_SECONDS)
        self.assertNotEqual(results[0][0], 0)
        self.assertIn("terminating connection", results[0][2])
        left = "SELECT (SELECT count(*) FROM pg_roles WHERE rolname = '{0}') + (SELECT count(*) FROM pg_namespace WHERE nspname = '{1}')"
        left = left.format(reader.login, reader.schema)
        wait_until(lambda: self.as_superuser(self.new, left) == "0", READY_SECONDS, "login and schema are gone")
        self.assertTrue(stays.is_let_in(self.new))
        # A password that is made anew opens, and the one before does not.
        changed = Reader("reader-2")
        changed.uid, changed.digits, changed.login, changed.schema = stays.uid, stays.digits, stays.login, stays.schema
        share(self.new, changed)
        wait_until(lambda: changed.is_let_in(self.new), READY_SECONDS, "the new password opens")
        self.assertFalse(stays.is_let_in(self.new))
        # What was there before the role manager began is found, too.
        share(self.new)
        self.new.restart_roles()
        nothing = "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'rates_copy_%'"
        wait_until(lambda: self.as_superuser(self.new, nothing) == "0", READY_SECONDS, "nothing is left")
        self.assertNotIn(changed.entry()["verifier"], self.new.postgres.log() + self.new.roles.log())

    def test_a_copy_waits_for_its_login_and_a_broken_one_leaves_nothing(self):
        reader = Reader()
        container = copy(self.new, self.old, reader)
        wait_until(lambda: "has no login for this copy yet" in container.log(), READY_SECONDS, "it says what it waits for")
        share(self.old, reader)
        self.assertEqual(self.new.loaded(container), (0, ""))

        self.buffer_little()
        of_reader = "FROM pg_stat_activity WHERE usename = '{}' AND query LIKE 'COPY%prices%' AND state = 'active'".format(reader.login)
        reads = lambda: self.as_superuser(self.old, "SELECT count(*) " + of_reader, "postgres") == "2"
        with self.stopped(self.new, self.old, reader, "prices") as container:
            wait_until(reads, READY_SECONDS, "it reads")
            self.as_superuser(self.old, "SELECT pg_terminate_backend(pid) " + of_reader, "postgres")
        message, retry = self.failure(self.new, self.old, reader, container)
        self.assertTrue(retry, message)
        self.assertIn("rates/source", message)
        with self.stopped(self.new, self.old, reader, "prices") as container:
            wait_until(reads, READY_SECONDS, "it reads")
            container.terminate()
        self.assertEqual(self.new.query("SELECT count(*) FROM pg_database WHERE datname = 'copied'"), "0")
        self.copied(self.new, self.old, reader)

    def test_a_source_that_is_restored_in_the_middle_is_copied_as_it_was_or_as_it_is(self):
        source, target = self.new, self.old
        reader = self.let_in(source, Reader())
        source.own("CREATE TABLE public.kept AS TABLE rates_internal.seed_prices", "rates")
        back = "TRUNCATE rates_internal.seed_prices; INSERT INTO rates_internal.seed_prices TABLE public.kept; DROP TABLE public.kept"
        self.addCleanup(source.own, back, "rates")
        content = lambda: self.as_superuser(source, CONTENT)
        restores = "query LIKE 'TRUNCATE%'"

        # The copy reads: what is restored waits for it.
        before = content()
        with self.stopped(target, source, reader, "prices") as container:
            restoring = self.restored(source, 1)
            self.waits(source, restores)
        self.assertEqual(target.loaded(container), (0, ""))
        restoring.join(READY_SECONDS)
        self.assertEqual(self.as_superuser(target, CONTENT, scratch(reader)), before)
        self.assertNotEqual(content(), before)

        # It waits to begin: it holds what was restored meanwhile.
        with self.holding(source, "BEGIN; LOCK TABLE public.regions", "rates"):
            container = copy(target, source, reader)
            self.waits(source, "usename = '{}'".format(reader.login))
            self.restored(source, 2).join(READY_SECONDS)
        self.assertEqual(target.loaded(container), (0, ""))
        self.compare(target, source, reader)

        # It has begun and reads nothing yet: neither waits for the other, and the next attempt holds what was restored.
        before = content()
        with self.stopped(target, source, reader, "begun") as container:
            restoring = self.restored(source, 3)
            self.waits(source, restores)
        message, retry = self.failure(target, source, reader, container)
        self.assertIn("the copy of rates/source ended for a change of its tables", message)
        self.assertTrue(retry)
        restoring.join(READY_SECONDS)
        self.assertNotEqual(content(), before)
        self.copied(target, source, reader)
        self.compare(target, source, reader)

    def test_what_is_not_let_in_says_why_when_its_patience_is_over(self):
        reader = self.let_in(self.old, Reader())
        program = (
            "import sys; sys.path.insert(0, '/usr/local/share/rates/'); import seed_copy; seed_copy.PATIENCE_SECONDS = 0.2\n"
            "seed_copy.Source('/tmp/uri', 'environment:rates/source', '', print).wait()"
        )
        for login, database, words in (
            (reader.login, "nowhere", "it has no data yet"),
            ("rates_copy_000000000000", "rates", "its database has no login for this copy yet"),
        ):
            uri = "postgresql://{}:{}@{}:5432/{}".format(login, reader.password, self.old.address, database)
            (self.image.root / "tmp/uri").write_text(uri)
            done = self.image.run("/usr/bin/python3", "-B", "-c", program)
            self.assertIn("seed_copy.Passing: rates/source let no copy begin in 0.2 seconds: " + words, done.stderr)

    def test_a_share_waits_for_no_lock_that_others_wait_behind(self):
        reader = Reader()
        hold = "BEGIN; LOCK TABLE public.ports; SELECT pg_sleep(300)"
        lock = threading.Thread(target=lambda: self.old.query(hold, *SUPERUSER, "rates", check=False))
        lock.start()
        held = "SELECT count(*) FROM pg_locks WHERE relation = 'public.ports'::regclass AND mode = 'AccessExclusiveLock' AND granted"
        wait_until(lambda: self.as_superuser(self.old, held) == "1", READY_SECONDS, "the table is locked")
        share(self.old, reader)
        wait_until(lambda: "canceling statement due to lock timeout" in self.old.roles.log(), READY_SECONDS, "it gives up")
        self.assertFalse(reader.is_let_in(self.old), "nothing half-made is seen")
        self.end_sleep(self.old)
        lock.join(READY_SECONDS)
        wait_until(lambda: reader.is_let_in(self.old), READY_SECONDS, "the reader is let in")


class ShareFailoverTests:
    def test_what_copies_may_read_is_on_the_promoted_standby_and_is_kept_there(self):
        primary = self.instances.healthy()
        reader = Reader(sample=50)
        # The instances are those of all tests: another one may have left its database.
        primary.query("DROP DATABASE IF EXISTS rates WITH (FORCE)", *SUPERUSER)
        seed(primary, 1000)
        for pod in self.instances.pods:
            share(pod, reader)
        wait_until(lambda: reader.is_let_in(primary), READY_SECONDS, "the reader is let in")
        pairs = "SELECT string_agg(DISTINCT orig_code || dest_code, ' ') FROM {}.prices".format(reader.schema)
        before = reader.query(primary, pairs)
        primary.kill()
        promoted = self.instances.primary()
        self.assertEqual(reader.query(promoted, pairs), before)
        for pod in self.instances.pods:
            share(pod)
        there = "SELECT count(*) FROM pg_roles WHERE rolname = '{}'".format(reader.login)
        wait_until(lambda: promoted.query(there, *SUPERUSER) == "0", READY_SECONDS, "the login is gone")
        self.instances.healthy()
        promoted.query("DROP DATABASE rates WITH (FORCE)", *SUPERUSER)
