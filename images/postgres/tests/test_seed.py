"""What the loader makes of dumps: those of pg_dump load, and no dump leaves its scratch database."""

import gzip
import json
import uuid

from dumps import HEAD, TABLES

KEY = "x7PDgTzA1BCd0QpKUTbQ"
# A file in the loader's /tmp that nobody makes.
RUN = "touch /tmp/ran"


class SeedTests:
    """Mixed into the tests of a version, which make the pod."""

    def attempt(self, pod, dump):
        """Loads a dump; gives the scratch database's name, the exit status and the termination message."""
        uid = str(uuid.uuid4())
        content = dump if isinstance(dump, bytes) else dump.encode()
        status, message = pod.loaded(pod.load(uid, content))
        return "rates_seed_" + uid.replace("-", "")[:12], status, message

    def assert_loads(self, pod, dump):
        scratch, status, message = self.attempt(pod, dump)
        self.assertEqual((status, message), (0, ""))
        prices = "SELECT orig_code, dest_code, day, count(*), avg(price)::int FROM prices GROUP BY 1, 2, 3"
        self.assertEqual(pod.query(prices, database=scratch), "AAAAA|BBBBB|2021-01-01|3|1100")
        others = "SELECT count(*) FROM pg_class c WHERE relnamespace = 'public'::regnamespace AND relowner <> 'rates_owner'::regrole"
        self.assertEqual(pod.query(others, database=scratch), "0", "the owner has all of it")

    def assert_refused(self, pod, dump, *parts):
        _, status, message = self.attempt(pod, dump)
        self.assertEqual(status, 1, dump)
        said = json.loads(message)["message"]
        for part in parts:
            self.assertIn(part, said)
        self.assertFalse((pod.loader.tmp / "ran").exists(), "a program ran: {}".format(dump))
        self.assertEqual(pod.query("SELECT count(*) FROM pg_database WHERE datname LIKE 'rates%'"), "0")

    def shared(self, pod):
        """What a cluster's databases share, passwords left out."""
        return self.superuser(
            pod,
            "SELECT (SELECT string_agg(format('%s %s %s', datname, datdba, datacl), ',' ORDER BY datname) FROM pg_database),"
            " (SELECT string_agg(format('%s %s %s', rolname, rolsuper, rolcreatedb), ',' ORDER BY rolname) FROM pg_authid),"
            " (SELECT string_agg(s::text, ',' ORDER BY s::text) FROM pg_db_role_setting s),"
            " (SELECT string_agg(m::text, ',' ORDER BY m::text) FROM pg_auth_members m)",
        )

    def test_dumps_as_pg_dump_writes_them_are_loaded(self):
        pod = self.ready_pod()
        newer = HEAD.replace("SET lock_timeout", "SET transaction_timeout = 0;\nSET a_setting_of_the_future = 'x';\nSET lock_timeout")
        public = (
            "-- Name: public; Type: SCHEMA; Schema: -; Owner: -\nCREATE SCHEMA public;\n\n"
            "COMMENT ON SCHEMA public IS 'standard public schema';\n"
            "CREATE EXTENSION IF NOT EXISTS plpgsql WITH SCHEMA pg_catalog;\n"
            "COMMENT ON EXTENSION plpgsql IS 'PL/pgSQL procedural language';\n"
        )
        restricted = "--\n-- PostgreSQL database dump\n--\n\n\\restrict {0}\n\n{1}\\unrestrict {0}\n\n".format(KEY, HEAD + TABLES)
        for name, dump in (
            ("smallest", HEAD + TABLES),
            ("settings that only a newer server knows", newer + TABLES),
            ("what every database has already", HEAD + public + TABLES),
            ("restricted", restricted),
            ("restricted, with Windows' line ends", restricted.replace("\n", "\r\n")),
            ("with a byte order mark", b"\xef\xbb\xbf" + newer[:20].encode() + newer[20:].encode() + TABLES.encode()),
            ("with its own transaction", HEAD + "BEGIN;\n" + TABLES + "COMMIT;\n"),
        ):
            with self.subTest(name):
                self.assert_loads(pod, dump)

    def test_commands_of_psql_are_refused_with_their_line(self):
        pod = self.ready_pod()
        prelude = HEAD + TABLES
        for command in (
            "\\! " + RUN,
            "SELECT 1 \\g |" + RUN,
            "\\set x `{}`".format(RUN),
            "\\copy public.ports from program '{}'".format(RUN),
            "\\connect postgres",
            "\\i /etc/rates/app/uri",
            "\\o |" + RUN,
            "SELECT '\\\\! {}' \\gexec".format(RUN),
            "\\restrict other",
            "\\unrestrict other",
            "\\if true",
            # After what a reader of its own could lose its place in.
            "SELECT 'a;b', E'\\'', \"pg_class\".oid, $q$'$q$ /* /* ' */ \" */ FROM pg_class -- '\n;\\! {}".format(RUN),
            "SET standard_conforming_strings = off;\nSELECT '\\''; \\! " + RUN,
        ):
            with self.subTest(command):
                extra = command.count("\n")
                at = "psql:<stdin>:{}:".format(prelude.count("\n") + 1 + extra)
                self.assert_refused(pod, prelude + command + "\n", at, "no command of psql")
        with self.subTest("at once"):
            self.assert_refused(pod, "\\! {}\n".format(RUN), "psql:<stdin>:1:", "no command of psql")
        with self.subTest("behind a character whose second byte is a backslash"):
            dump = b"SET client_encoding = 'SJIS';\nSELECT '\x83\x5c'; \\! " + RUN.encode() + b"\n"
            self.assert_refused(pod, dump, "psql:<stdin>:2:", "no command of psql")
        with self.subTest("data are no commands"):
            odd = TABLES.replace("Aarhus", "\\\\! {0}\n".format(RUN)[:-1]).replace("Bergen", "\\\\connect")
            self.assert_loads(pod, HEAD + odd)

    def test_a_dump_stays_in_its_scratch_database(self):
        pod = self.ready_pod()
        before = self.shared(pod)
        # The rest of the dump is of that database.
        named = HEAD + "CREATE DATABASE rates WITH TEMPLATE = template0 ENCODING = 'UTF8';\n\\connect rates\n" + HEAD + TABLES
        at = "psql:<stdin>:{}:".format(HEAD.count("\n") + 1)
        self.assert_refused(pod, named, at, "permission denied to create database", "without --create")
        self.assertEqual(self.shared(pod), before)
        self.assert_refused(pod, "ALTER SYSTEM SET work_mem = '1MB';\n", "psql:<stdin>:1:")
        # Each in a program, which goes on with the next; but for its own role's, which the next attempt forgets.
        denied = (
            "CREATE ROLE intruder",
            "ALTER ROLE rates_owner SET work_mem = '1MB'",
            "ALTER ROLE rates_a PASSWORD 'known'",
            "ALTER DATABASE postgres RENAME TO rates",
            "ALTER DATABASE postgres SET work_mem = '1MB'",
            "ALTER DATABASE %I SET work_mem = '1MB'",
            "ALTER DATABASE %I OWNER TO rates_load",
            "COMMENT ON DATABASE %I IS 'mine'",
            "SET ROLE rates_owner",
            "SET ROLE rates_a",
            "SET SESSION AUTHORIZATION rates_a",
            "GRANT rates_owner TO rates_load",
            "COPY pg_class TO PROGRAM 'touch /tmp/ran'",
            "COPY pg_class TO '/tmp/ran'",
            "SELECT rates_internal.admit_loader('SCRAM-SHA-256$')",
        )
        tries = "".join(
            "BEGIN EXECUTE format($s${}$s$, current_database()); RAISE 'done: %', $s${}$s$;"
            " EXCEPTION WHEN insufficient_privilege OR undefined_function OR invalid_schema_name THEN NULL; END;\n".format(
                statement, statement.replace("%", "%%")
            )
            for statement in denied
        )
        program = "DO $d$ BEGIN\n{}END $d$;\nRESET ROLE;\n".format(tries)
        own = "ALTER ROLE rates_load SET default_transaction_read_only = on;\nALTER ROLE rates_load PASSWORD 'known';\n"
        self.assert_loads(pod, HEAD + TABLES + program + own)
        self.assertFalse((pod.data / "ran").exists() or (pod.postgres.tmp / "ran").exists())
        # A mended dump loads, after all that.
        self.assert_loads(pod, HEAD + TABLES)
        pod.own("DROP DATABASE " + pod.query("SELECT datname FROM pg_database WHERE datname LIKE 'rates_seed%'"))
        self.assertEqual(self.shared(pod), before)

    def test_the_dumps_role_is_let_in_for_its_attempt_alone(self):
        pod = self.ready_pod()
        self.assert_loads(pod, HEAD + TABLES)
        until = "SELECT rolvaliduntil - clock_timestamp() BETWEEN interval '0' AND interval '1 minute' FROM pg_authid WHERE rolname = 'rates_load'"
        self.assertEqual(self.superuser(pod, until), "t")
        plain = "SELECT rates_internal.admit_loader('plain')"
        self.assertIn("takes a SCRAM verifier", pod.query(plain, "rates_migrator", "migrator-1", check=False)[2])
        self.assertIn("permission denied", pod.query(plain, check=False)[2])

    def test_what_to_ask_of_pg_dump_is_said(self):
        pod = self.ready_pod()
        for statement, advice in (
            ("ALTER TABLE public.ports OWNER TO somebody;", "--no-owner --no-privileges"),
            ("GRANT SELECT ON TABLE public.ports TO somebody;", "--no-owner --no-privileges"),
            ("SET SESSION AUTHORIZATION 'somebody';", "--no-owner --no-privileges"),
            ("ALTER TABLE public.ports OWNER TO postgres;", "--no-owner --no-privileges"),
            ("COMMENT ON EXTENSION plpgsql IS 'x';", "--no-comments"),
            ("CREATE EXTENSION postgres_fdw WITH SCHEMA public;", "leave the extension out"),
            ("SET a_setting_of_the_future = 1;", "pg_dump of the server's version"),
        ):
            with self.subTest(statement):
                at = "psql:<stdin>:{}:".format((HEAD + TABLES).count("\n") + 1)
                self.assert_refused(pod, HEAD + TABLES + statement + "\n", at, advice)

    def test_what_is_no_plain_dump_is_named_with_what_to_do(self):
        pod = self.ready_pod()
        for content, what, advice in (
            (b"PGDMP\x01\x0e\x00", "a custom-format dump", "pg_restore --no-owner"),
            (gzip.compress(b"PGDMP\x01\x0e\x00"), "a custom-format dump", "pg_restore --no-owner"),
            (b"toc.dat".ljust(257, b"\0") + b"ustar\x0000", "a tar-format dump", "pg_restore --no-owner"),
            (b"dump.sql".ljust(257, b"\0") + b"ustar\x0000", "a tar archive", "unpack it"),
            (b"PK\x03\x04\x14\x00", "a zip archive", "unpack it"),
            (b"\x28\xb5\x2f\xfd\x04", "zstd", "zstd -d"),
            (b"\xfd7zXZ\x00\x00", "xz", "xz -d"),
            (b"BZh91AY&SY", "bzip2", "bzip2 -d"),
            (gzip.compress(gzip.compress(b"SELECT 1;")), "gzip twice", "gzip -d"),
            ((HEAD + TABLES).encode("utf-16"), "UTF-16", "pg_dump --file"),
            ((HEAD + TABLES).encode("utf-16-le"), "UTF-16", "pg_dump --file"),
            ((HEAD + TABLES).encode("utf-16-be"), "UTF-16", "pg_dump --file"),
            (b"", "the dump is empty (0 bytes)", "leave out"),
            (gzip.compress(b""), "the dump is empty (0 bytes)", "leave out"),
            (b"\n-- nothing\n", "made nothing in the database", "plain dump"),
        ):
            with self.subTest(what):
                self.assert_refused(pod, content, what, advice)
