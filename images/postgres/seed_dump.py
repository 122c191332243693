"""A dump as it is on disk, as psql gets it, and what is behind psql's refusals. It opens no database and starts no program.

Only the head of a dump is changed, before its first table, where every statement has a line of its own. So no text
within quotes or within COPY's data is ever taken for a statement.
"""

import gzip
import hashlib
import re
import zlib

CHUNK = 1 << 20
# The end of a dump, in which pg_dump's `\unrestrict` stands.
TAIL = 4096
# A longer one is no statement of the head.
LONGEST_LINE = 1000
PLAIN = "the seed must be a plain dump, as it is or compressed with gzip (`pg_dump --no-owner --no-privileges`)"

# How other formats begin, and what to do with them.
FORMATS = (
    (0, b"PGDMP", "a custom-format dump", "`pg_restore --no-owner --no-privileges --file=dump.sql FILE` makes a plain one"),
    (0, b"toc.dat\0", "a tar-format dump", "`pg_restore --no-owner --no-privileges --file=dump.sql FILE` makes a plain one"),
    (257, b"ustar", "a tar archive", "unpack it"),
    (0, b"PK\3\4", "a zip archive", "unpack it"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it"),
    (0, b"\x28\xb5\x2f\xfd", "compressed with zstd", "unpack it with `zstd -d`"),
    (0, b"\xfd7zXZ\0", "compressed with xz", "unpack it with `xz -d`"),
    (0, b"BZh", "compressed with bzip2", "unpack it with `bzip2 -d`"),
    (0, b"\x04\x22\x4d\x18", "compressed with lz4", "unpack it with `lz4 -d`"),
    (0, b"\x1f\x8b", "compressed with gzip twice", "unpack it once with `gzip -d`"),
    (0, b"\xff\xfe", "UTF-16 text", "write it as UTF-8: `pg_dump --file=dump.sql` in place of PowerShell's `>`"),
    (0, b"\xfe\xff", "UTF-16 text", "write it as UTF-8: `pg_dump --file=dump.sql` in place of PowerShell's `>`"),
    (0, b"\0", "UTF-16 text or no text at all", "write it as UTF-8: `pg_dump --file=dump.sql`"),
    (1, b"\0", "UTF-16 text or no text at all", "write it as UTF-8: `pg_dump --file=dump.sql`"),
)

STATEMENT_END = rb"(?:[^;'\"$\\]|'[^'\\]*')*;[ \t]*(?:--.*)?"
RESTRICT = re.compile(rb"\\restrict[ \t]+([A-Za-z0-9]+)[ \t]*")
SET = re.compile(rb"SET[ \t]+(?:SESSION[ \t]+)?([a-z_]+)[ \t]*(?:=|TO)" + STATEMENT_END, re.IGNORECASE)
# What is in every database, or belongs to the server.
NOT_TO_BE_MADE = re.compile(
    rb"CREATE SCHEMA \"?public\"?;|COMMENT ON (?:SCHEMA \"?public\"?|EXTENSION [^ ;]+) IS (?:'[^'\\]*'|NULL);[ \t]*"
)
HEAD = re.compile(
    rb"[ \t]*(?:--.*)?|SELECT pg_catalog\.set_config" + STATEMENT_END
    + rb"|(?:CREATE|ALTER|COMMENT ON) (?:SCHEMA|EXTENSION)" + STATEMENT_END
)


# What is behind psql's messages, and what to do.
ADVICE = (
    (
        "backslash commands are restricted|unrestrict: wrong key|invalid command \\\\",
        (
            "a dump may hold SQL and the data of COPY, and no command of psql but \\restrict and \\unrestrict as pg_dump writes them:"
            " take `pg_dump --no-owner --no-privileges`, without --create, and not pg_dumpall"
        ),
    ),
    (
        "permission denied to (create|drop) database|must be owner of database",
        "a dump is of one database, without CREATE DATABASE: take pg_dump without --create, and not pg_dumpall",
    ),
    (
        (
            'role "[^"]*" does not exist|must be (a )?member of role|must be able to SET ROLE|permission denied to set '
            "(role|session)|permission denied to (create|alter|drop) role"
        ),
        "owners and rights are the environment's own: take `pg_dump --no-owner --no-privileges`",
    ),
    ("must be owner of (extension|schema)", "take `pg_dump --no-comments --no-owner`, and no --clean"),
    (
        "permission denied to create extension|could not open extension control file|extension .* is not available",
        "leave the extension out: `pg_dump --schema=public`, or `--extension=plpgsql` of PostgreSQL 14 and later",
    ),
    ('schema "public" already exists', "take the tables alone: `pg_dump --table='public.*'`"),
    ("unrecognized configuration parameter", "take the pg_dump of the server's version or of an earlier one"),
)


class Unusable(Exception):
    """What cannot be loaded, in words for the person who wrote the seed."""


class Dump:
    """A dump's uncompressed bytes in chunks, with their checksum."""

    def __init__(self, path):
        self.path = path
        self.hash = hashlib.sha256()
        self.size = 0

    def chunks(self):
        try:
            file = open(self.path, "rb")  # noqa: SIM115, closed below
        except OSError as error:
            raise Unusable("the dump cannot be read: {}".format(error)) from error
        with file:
            compressed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            source = gzip.GzipFile(fileobj=file, mode="rb") if compressed else file
            while True:
                try:
                    chunk = source.read(CHUNK)
                except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                    raise Unusable("the dump is not valid gzip: {}".format(error)) from error
                except OSError as error:
                    raise Unusable("the dump cannot be read: {}".format(error)) from error
                if not self.size:
                    check_format(chunk)
                if not chunk:
                    return
                self.hash.update(chunk)
                self.size += len(chunk)
                yield chunk

    def checksum(self):
        return "sha256:" + self.hash.hexdigest()


def check_format(beginning):
    """Refuses what is no plain dump by how it begins."""
    if not beginning:
        raise Unusable("the dump is empty (0 bytes): {}; for an environment without data leave out `seed`".format(PLAIN))
    for offset, magic, what, advice in FORMATS:
        if beginning[offset : offset + len(magic)] == magic:
            raise Unusable("the dump is {}: {}; {}".format(what, advice, PLAIN))


def for_psql(chunks, known_settings, skipped):
    """The dump as psql gets it, with as many lines: without what only a newer server knows, without what every database
    has already, and without the pair of `\\restrict` and `\\unrestrict` that pg_dump writes. `skipped` is told of
    each line that is left out."""
    pending, key, in_head, number = b"", None, True, 0
    for chunk in chunks:
        pending += chunk
        start = 0
        while in_head:
            end = pending.find(b"\n", start)
            if end < 0:
                in_head = len(pending) - start < LONGEST_LINE
                break
            line = pending[start:end].rstrip(b"\r")
            if number == 0 and line.startswith(b"\xef\xbb\xbf"):
                line = line[3:]
            if len(line) > LONGEST_LINE:
                in_head = False
                break
            restrict, setting = RESTRICT.fullmatch(line), SET.fullmatch(line)
            if restrict and key is None:
                key, line = restrict.group(1), b""
            elif (setting and setting.group(1).decode().lower() not in known_settings) or NOT_TO_BE_MADE.fullmatch(line):
                skipped(number + 1, line.decode(errors="replace"))
                line = b""
            elif not setting and not HEAD.fullmatch(line):
                in_head = False
                break
            number += 1
            start = end + 1
            yield line + b"\n"
        pending = pending[start:]
        if not in_head and len(pending) > TAIL:
            yield pending[:-TAIL]
            pending = pending[-TAIL:]
    if key is not None:
        pending = re.sub(rb"(?m)^\\unrestrict[ \t]+" + key + rb"[ \t]*\r?$", b"", pending)
    yield pending


def advice(message):
    """What to do about a message of psql's, in a sentence; nothing where its own words are all there is to say."""
    for pattern, sentence in ADVICE:
        if re.search(pattern, message):
            return sentence
    return ""
