"""What each login may do in the database. A part of the database pod's tests (test_pod.py)."""

import threading

from control_plane import wait_until
from sandbox import READY_SECONDS

ADMIN = {"superuser-password": "super-1", "replication-password": "replica-1", "patroni-password": "patroni-1"}
TABLES = (
    "CREATE TABLE public.ports (code text PRIMARY KEY); "
    "CREATE TABLE public.prices (code text REFERENCES public.ports, price int); "
    "CREATE SCHEMA rates_internal; "
    "CREATE TABLE rates_internal.batches (id bigint GENERATED ALWAYS AS IDENTITY, status text); "
    "CREATE TABLE rates_internal.numbered (id serial, n int); "
    "CREATE TABLE rates_internal.migrations (version int); "
    "CREATE TABLE rates_internal.seed (source text)"
)
ROWS = [
    "INSERT INTO ports VALUES ('AAAAA')",
    "INSERT INTO prices VALUES ('AAAAA', 1), ('AAAAA', 2)",
    "UPDATE prices SET price = price + 1",
    "INSERT INTO rates_internal.batches (status) VALUES ('receiving')",
    "INSERT INTO rates_internal.numbered (n) VALUES (1)",
    "SELECT FROM rates_internal.batches FOR UPDATE",
    "SELECT FROM rates_internal.migrations, rates_internal.seed",
    "DELETE FROM prices WHERE price = 3",
]
REFUSED = [
    "CREATE TABLE public.mine (n int)",
    "CREATE TABLE rates_internal.mine (n int)",
    "CREATE TEMPORARY TABLE mine (n int)",
    "CREATE SCHEMA mine",
    "CREATE EXTENSION plpgsql_check",
    "CREATE EXTENSION hstore",
    "CREATE FUNCTION public.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE VIEW public.mine AS SELECT 1",
    "CREATE INDEX ON prices (price)",
    "CREATE TRIGGER mine BEFORE INSERT ON prices FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "CREATE ROLE mine",
    "CREATE DATABASE mine",
    "ALTER TABLE prices ADD COLUMN mine int",
    "ALTER TABLE prices DISABLE TRIGGER ALL",
    "ALTER TABLE prices OWNER TO rates_a",
    "ALTER DATABASE rates RENAME TO mine",
    "ALTER DATABASE rates SET work_mem = '1GB'",
    "ALTER DEFAULT PRIVILEGES FOR ROLE rates_owner GRANT ALL ON TABLES TO rates_a",
    "GRANT rates_owner TO rates_a",
    "GRANT rates_service TO rates_migrator",
    "DROP TABLE prices",
    "DROP DATABASE rates",
    "TRUNCATE prices",
    "TRUNCATE rates_internal.batches",
    "UPDATE rates_internal.migrations SET version = 0",
    "INSERT INTO rates_internal.seed VALUES ('mine')",
    "SET ROLE rates_owner",
    "SET ROLE rates_migrator",
    "SET ROLE rates_b",
    "SET ROLE replicator",
    "SET ROLE postgres",
    "SET SESSION AUTHORIZATION rates_owner",
    "COPY prices TO PROGRAM 'cat'",
    "SELECT pg_read_file('PG_VERSION')",
]


class PrivilegeTests:
    def not_allowed(self, pod, statement, database):
        code, _, error = pod.query(statement, database=database, check=False)
        words = ("permission denied", "must be", "must have", "does not exist", "is not available", "could not open extension")
        self.assertTrue(code and any(text in error.lower() for text in words), (database, statement, code, error))

    def test_the_applications_login_has_rows_and_nothing_else(self):
        pod = self.ready_pod()
        pod.own("CREATE DATABASE rates TEMPLATE template1")
        pod.own(TABLES, database="rates")
        for statement in ROWS[:6]:
            pod.query(statement, database="rates")
        # The rest of it with the next look.
        pod.restart_roles()
        wait_until(lambda: (pod.run / "roles-applied").exists(), READY_SECONDS, "the roles were looked at")
        for statement in ROWS[1:]:
            pod.query(statement, database="rates")
        for statement in REFUSED:
            self.not_allowed(pod, statement, "rates")
        for database in ("postgres", "template1"):
            self.not_allowed(pod, "CREATE TABLE public.mine (n int)", database)
            self.not_allowed(pod, "CREATE TEMPORARY TABLE mine (n int)", database)
        # What a later migration makes is served, too.
        pod.own("CREATE TABLE rates_internal.later (id bigint GENERATED ALWAYS AS IDENTITY, n int)", database="rates")
        pod.query("INSERT INTO rates_internal.later (n) VALUES (1)", database="rates")
        self.assertEqual(pod.query("SELECT sum(n) FROM rates_internal.later", database="rates"), "1")
        self.not_allowed(pod, "TRUNCATE rates_internal.later", "rates")

    def test_an_environment_from_before_is_moved_over_without_a_failed_statement(self):
        """The database of the release before: made from template0, and the application's logins act as the owner."""
        pod = self.pod()
        pod.write_secret("admin", **ADMIN)
        pod.start(self.kubernetes)
        self.wait_ready(pod)
        pod.query("SET ROLE rates_owner; CREATE DATABASE rates TEMPLATE template0")
        pod.query("SET ROLE rates_owner; " + TABLES, database="rates")
        for statement in ROWS:
            pod.query(statement, database="rates")
        failed, stop = [], threading.Event()

        def serve():
            while not stop.is_set():
                for statement in ROWS[1:]:
                    code, _, error = pod.query(statement, database="rates", check=False)
                    if code:
                        failed.append((statement, error))

        serving = threading.Thread(target=serve)
        serving.start()
        try:
            slow = self.background(pod, "SELECT pg_sleep(3)")
            # The operator of the next release adds a key.
            pod.write_secret("admin", **ADMIN, **{"migrator-password": "migrator-1"})
            told = lambda: self.annotation("rates.internal/migrator") == "rates_migrator"
            wait_until(told, READY_SECONDS, "the operator is told of the Jobs' login")
            member = "SELECT pg_has_role('rates_a', 'rates_owner', 'MEMBER')"
            wait_until(lambda: self.superuser(pod, member) == "f", READY_SECONDS, "the login is no owner any more")
            self.assertIsNotNone(slow.poll(), "a statement from before the grants has ended")
            for statement in REFUSED:
                self.not_allowed(pod, statement, "rates")
            pod.own("CREATE TABLE rates_internal.later (n int)", database="rates")
            pod.query("INSERT INTO rates_internal.later VALUES (1)", database="rates")
        finally:
            stop.set()
            serving.join()
        self.assertEqual(failed, [])
        # And back to the operator before, whose Jobs come as the application's login.
        pod.write_secret("admin", **ADMIN)
        wait_until(lambda: self.superuser(pod, member) == "t", READY_SECONDS, "the login is an owner again")

    def test_a_password_of_the_jobs_login_that_is_made_anew_revokes_the_one_before(self):
        pod = self.ready_pod()
        intruder = self.intruder(pod, "rates_migrator", "migrator-1")
        pod.write_secret("admin", **ADMIN, **{"migrator-password": "migrator-2"})
        wait_until(lambda: self.opens(pod, "rates_migrator", "migrator-2"), READY_SECONDS, "the new password works")
        self.assertFalse(self.opens(pod, "rates_migrator", "migrator-1"))
        self.put_out(intruder, "its session is ended")
