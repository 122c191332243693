"""Copies a running environment's data into the scratch database: what its share schema shows at one moment.

The source's role manager makes the login and the schema (rates-postgres-shares), with masks and samples in the views. One
transaction of the source exports its snapshot; every other reads the same. Prices go from psql to psql through a pipe, in
binary, so no row touches a disk or this program on the way. It opens no other database and writes no marker.
"""

import contextlib
import io
import os
import signal
import subprocess
import tempfile
import time

import psycopg2
import psycopg2.extensions

import seed_dump

PATIENCE_SECONDS = 300
LOGIN_PREFIX, SCHEMA_PREFIX = "rates_copy_", "rates_share_"
# From here on the prices are copied in two parts at once. The source serves requests meanwhile: no more than that.
BYTES_FOR_TWO = 16 << 20
LOST_ITS_SERVER = 2
LOCKED = "could not obtain lock"

COLUMNS = {
    "regions": {"slug": "text", "name": "text", "parent_slug": "text"},
    "ports": {"code": "text", "name": "text", "parent_slug": "text"},
    "prices": {"orig_code": "text", "dest_code": "text", "day": "date", "price": "integer"},
}
# What the tables of a dump have, as pg_dump writes it, by what the source says of its own; in this order.
CONSTRAINTS = {
    "ports.code primary key": "ports ADD CONSTRAINT ports_pkey PRIMARY KEY (code)",
    "regions.slug primary key": "regions ADD CONSTRAINT regions_pkey PRIMARY KEY (slug)",
    "ports.parent_slug references regions": (
        "ports ADD CONSTRAINT ports_parent_slug_fkey FOREIGN KEY (parent_slug) REFERENCES public.regions (slug)"
    ),
    "regions.parent_slug references regions": (
        "regions ADD CONSTRAINT regions_parent_slug_fkey FOREIGN KEY (parent_slug) REFERENCES public.regions (slug)"
    ),
    "prices.dest_code references ports": (
        "prices ADD CONSTRAINT prices_dest_code_fkey FOREIGN KEY (dest_code) REFERENCES public.ports (code)"
    ),
    "prices.orig_code references ports": (
        "prices ADD CONSTRAINT prices_orig_code_fkey FOREIGN KEY (orig_code) REFERENCES public.ports (code)"
    ),
}

# What the server says where the role manager of the source has not done its part yet, or the source none.
WAITS_FOR = (
    ("password authentication failed", "its database has no login for this copy yet"),
    ("is not permitted to log in", "it has taken the consent to this copy back"),
    ("FATAL:  database", "it has no data yet: its own seed has not finished"),
    ("permission denied for schema", "it has taken the consent to this copy back"),
    ("lock timeout", "its tables are just being changed"),
)


class Refused(seed_dump.Unusable):
    """A copy that the source does not give, in words for the people who wrote both environments."""

    retry = False


class Passing(seed_dump.Unusable):
    """A copy that failed and may be tried again."""

    retry = True


class Source:
    """The environment that is copied; its URI's file is read again for every connection."""

    def __init__(self, uri_file, name, options, say):
        self.uri_file, self.options, self.say = uri_file, options, say
        self.name = name.partition(":")[2] or name

    def parameters(self):
        with open(self.uri_file, encoding="utf-8") as file:
            parameters = psycopg2.extensions.parse_dsn(file.read().strip())
        parameters.update(connect_timeout="5", application_name="rates-seed-load", client_encoding="UTF8")
        return dict(parameters, options=self.options)

    def schema(self):
        user = self.parameters().get("user", "")
        if not user.startswith(LOGIN_PREFIX):
            raise Refused("the login of the copy of {} is {!r}: it must begin with {}".format(self.name, user, LOGIN_PREFIX))
        return SCHEMA_PREFIX + user[len(LOGIN_PREFIX) :]

    def wait(self):
        """A transaction in the source, which exports its snapshot, once the source lets this copy in. Gives the
        connection, the snapshot's name, and what the source says of itself."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        said, pause = None, 0.1
        while True:
            connection = None
            try:
                connection = psycopg2.connect(**self.parameters())
                self.check(connection)
                snapshot, about = self.begin(connection)
                is_changing = about["outdated"] or about["refused"] or not about["position"]
                reason = "it is just being changed" if is_changing else None
            except (psycopg2.Error, OSError) as error:
                text = str(error).strip()
                reason = next((words for part, words in WAITS_FOR if part in text), text)
            else:
                if not reason:
                    return connection, snapshot, about
            if connection:
                connection.close()
            if reason != said:
                self.say("waiting for {}: {}".format(self.name, reason))
                said = reason
            if time.monotonic() > deadline:
                raise Passing("{} let no copy begin in {} seconds: {}".format(self.name, PATIENCE_SECONDS, reason))
            time.sleep(pause)
            pause = min(pause * 1.5, 1.0)

    def lock(self, *tables):
        """Has the tables behind the views stay as they are: a snapshot alone shows a table empty that is truncated or
        rewritten after it."""
        return "LOCK TABLE {} IN ACCESS SHARE MODE".format(", ".join(self.schema() + "." + table for table in tables))

    def check(self, connection):
        """Before anything is locked: where a copy is refused there are no tables to lock."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT refused FROM {}.source".format(self.schema()))
            (refused,) = cursor.fetchone()
        connection.rollback()
        if refused:
            connection.close()
            raise Refused("{} cannot be copied: {}".format(self.name, refused))

    def begin(self, connection):
        connection.set_session("REPEATABLE READ", readonly=True)
        names = ("refused", "outdated", "position", "at", "sample", "masks", "constraints", "bytes")
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '5s'")
            cursor.execute(self.lock(*COLUMNS))
            # One statement: position and time are the snapshot's.
            query = "SELECT CASE WHEN position IS NOT NULL THEN pg_export_snapshot() END, {} FROM {}.source"
            cursor.execute(query.format(", ".join(names), self.schema()))
            snapshot, *values = cursor.fetchone()
        return snapshot, dict(zip(names, values))


class Copy:
    """One copy into the scratch database, as its owner."""

    def __init__(self, source, scratch, connection, owner):
        """`scratch`: how to connect; `connection`: a connection to it."""
        self.source, self.owner = source, owner
        self.scratch, self.connection = scratch, connection
        self.schema = source.schema()
        self.pipes = []
        # When the source let it in.
        self.started = None

    def run(self):
        """Gives what was copied, for the marker."""
        outside, snapshot, about = self.source.wait()
        self.started = time.monotonic()
        with contextlib.closing(outside), self.connection.cursor() as cursor:
            cursor.execute("SET ROLE " + self.owner)
            self.make_tables(cursor, about["constraints"])
            rows = {table: self.copy_table(outside, cursor, table) for table in ("regions", "ports")}
            rows["prices"] = self.copy_prices(snapshot, self.parts(outside, about["bytes"]))
            for said, definition in CONSTRAINTS.items():
                if said in about["constraints"]:
                    cursor.execute("ALTER TABLE ONLY public." + definition)
            cursor.execute("ANALYZE public.regions, public.ports, public.prices")
            cursor.execute("RESET ROLE")
        return {
            "position": about["position"],
            "at": about["at"].isoformat(),
            "rows": rows,
            "masks": about["masks"],
            "sample": about["sample"],
        }

    @staticmethod
    def make_tables(cursor, constraints):
        for table, columns in COLUMNS.items():
            required = lambda name, table=table: " NOT NULL" if "{}.{} not null".format(table, name) in constraints else ""
            listed = ", ".join("{} {}{}".format(name, kind, required(name)) for name, kind in columns.items())
            cursor.execute("CREATE TABLE public.{} ({})".format(table, listed))

    def select(self, table, condition=""):
        columns = ", ".join("{0}::{1}".format(*column) for column in COLUMNS[table].items())
        return "COPY (SELECT {} FROM {}.{}{}) TO STDOUT (FORMAT binary)".format(columns, self.schema, table, condition)

    @staticmethod
    def insert(table):
        return "COPY public.{} ({}) FROM STDIN (FORMAT binary)".format(table, ", ".join(COLUMNS[table]))

    def copy_table(self, outside, cursor, table):
        """Some thousand rows at most."""
        rows = io.BytesIO()
        with outside.cursor() as reader:
            reader.copy_expert(self.select(table), rows)
        rows.seek(0)
        cursor.copy_expert(self.insert(table), rows)
        return cursor.rowcount

    def parts(self, outside, size):
        """The conditions of the parts of the prices: all of them, or those from either half of the ports."""
        if size < BYTES_FOR_TWO:
            return [""]
        with outside.cursor() as cursor:
            query = "SELECT code FROM {0}.ports ORDER BY code OFFSET (SELECT count(*) FROM {0}.ports) / 2 LIMIT 1"
            cursor.execute(query.format(self.schema))
            found = cursor.fetchone()
            if not found:
                return [""]
            return [cursor.mogrify(" WHERE orig_code {} %s".format(sign), found).decode() for sign in ("<", ">=")]

    def copy_prices(self, snapshot, parts):
        """Gives the number of prices."""
        with self.services() as service_file:
            try:
                for part in parts:
                    self.pipes.append(Pipe(self, service_file, snapshot, self.select("prices", part), self.insert("prices")))
                signal.signal(signal.SIGTERM, lambda *_: (self.kill(), os._exit(143)))
                return sum(pipe.wait() for pipe in self.pipes)
            finally:
                self.kill()

    def kill(self):
        for pipe in self.pipes:
            pipe.kill()

    @contextlib.contextmanager
    def services(self):
        """A service file for both ends: it keeps passwords off command lines."""
        with tempfile.NamedTemporaryFile("w", prefix="service-", encoding="utf-8") as file:
            for name, parameters in (("source", self.source.parameters()), ("scratch", self.scratch)):
                file.write("[{}]\n".format(name))
                file.writelines("{}={}\n".format(*entry) for entry in parameters.items() if entry[0] != "options")
            file.flush()
            yield file.name


class Pipe:
    """Two psql, of which one writes what the other reads."""

    def __init__(self, copy, service_file, snapshot, select, insert):
        self.name, self.errors = copy.source.name, []
        psql = ["psql", "--no-psqlrc", "--no-password", "--set=ON_ERROR_STOP=1", "--no-align", "--tuples-only"]
        environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "PGSERVICEFILE": service_file}
        # Whoever waits for the lock that the snapshot's session has is not waited for: neither would ever go on.
        lock = copy.source.lock("prices") + " NOWAIT"
        snapshot = "SET TRANSACTION SNAPSHOT '{}'".format(snapshot)
        reading = ["BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", snapshot, lock, select]
        writing = ["SET ROLE " + copy.owner, insert]

        def start(service, options, commands, stdin):
            self.errors.append(tempfile.TemporaryFile("w+"))  # noqa: SIM115, read when it has ended
            return subprocess.Popen(
                [*psql, *("--command=" + command for command in commands)],
                env=dict(environment, PGSERVICE=service, PGOPTIONS=options),
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=self.errors[-1],
            )

        self.reader = start("source", copy.source.options, ["\\set QUIET on", *reading], subprocess.DEVNULL)
        self.writer = start("scratch", copy.scratch["options"], writing, self.reader.stdout)
        # So that one that reads no more ends the other.
        self.reader.stdout.close()

    def wait(self):
        """Gives the number of rows."""
        told = self.writer.stdout.read()
        codes = [self.reader.wait(), self.writer.wait()]
        if codes == [0, 0]:
            # `COPY 3`
            return int(told.split()[-1])
        said = [self.said(errors) for errors in self.errors]
        if LOCKED in said[0]:
            raise Passing("the copy of {} ended for a change of its tables, which waits for the copy".format(self.name))
        # One that is ended because the other has ended says nothing of the cause.
        where = "{}: {}".format(self.name, said[0]) if said[0] and codes[0] > 0 else "this environment's database: " + said[1]
        # A snapshot lives as long as the session that exports it.
        passing = LOST_ITS_SERVER in codes or "snapshot" in said[0]
        raise (Passing if passing else Refused)("the copy ended: " + where)

    @staticmethod
    def said(errors):
        errors.seek(0)
        return errors.read().strip()

    def kill(self):
        for process in (self.reader, self.writer):
            if process.poll() is None:
                process.kill()
                process.wait()
