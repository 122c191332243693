"""What a copy may read: the views of a share schema, as SQL. It opens no database.

A share is an entry of the admin Secret's key `copies`. Masks and samples are in the views, so what they hide leaves the
server with no statement. Each view is a security barrier: no function of a reader sees a row before the view is done with
it. The views belong to the owner of the tables, on which the reader has no right.

The key of samples and noise is a row of rates_shares.key. It is not written into a view, as everybody may read those.
"""

import re

SCHEMA_PREFIX = "rates_share_"
LOGIN_PREFIX = "rates_copy_"
VERIFIER = re.compile(r"SCRAM-SHA-256\$[0-9]+:[A-Za-z0-9+/=]+\$[A-Za-z0-9+/=]+:[A-Za-z0-9+/=]+")
# The columns that copies know. One that is not here leaves the server only when somebody has said what it is.
COLUMNS = {
    "regions": ("slug", "name", "parent_slug"),
    "ports": ("code", "name", "parent_slug"),
    "prices": ("orig_code", "dest_code", "day", "price"),
}
# Where they may be: of a migrated database the prices of the dump are behind the view of the applied batches.
PLACES = (
    ("public", "regions", "regions"),
    ("public", "ports", "ports"),
    ("public", "prices", "prices"),
    ("rates_internal", "seed_prices", "prices"),
)
LARGEST = 2**31 - 1

# Both directions of a pair have the same digest, whatever the database's collation is.
DIGEST = """sha256((SELECT key FROM rates_shares.key) || convert_to(
    least(orig_code COLLATE "C", dest_code COLLATE "C") || '/' || greatest(orig_code COLLATE "C", dest_code COLLATE "C"),
    'UTF8'))"""


class Unknown(Exception):
    """What the Secret says is not understood here, in words for the people who wrote the source."""


class Share:
    """One login, with what it may read."""

    def __init__(self, entry):
        self.login = str(entry.get("username"))
        if not re.fullmatch(LOGIN_PREFIX + "[0-9a-f]{12}", self.login):
            raise Unknown("{!r} is no login of a copy: it must be {} and 12 hexadecimal digits".format(self.login, LOGIN_PREFIX))
        self.verifier = str(entry.get("verifier"))
        if not VERIFIER.fullmatch(self.verifier):
            raise Unknown("{} has no SCRAM verifier".format(self.login))
        self.schema = SCHEMA_PREFIX + self.login[len(LOGIN_PREFIX) :]
        # What is not understood must not be left out: the login gets no data then.
        self.masks, self.refusal = {}, None
        try:
            self.sample = sample(entry.get("sample"))
            self.masks = dict(masks(entry.get("mask") or {}))
            unknown = set(entry) - {"username", "verifier", "sample", "mask"}
            if unknown:
                raise Unknown("`{}` is not known".format(min(unknown)))
        except Unknown as error:
            self.sample, self.masks = None, {}
            self.refusal = "the source's database pods cannot share its data as `spec.sharing` says: {}".format(error)

    def views(self, literal):
        """The views' names and queries; `literal` quotes a value."""
        column = lambda mask: literal(self.masks[mask]["constant"]) + "::text" if mask in self.masks else "name"
        return {
            "regions": "SELECT slug, {} AS name, parent_slug FROM public.regions".format(column("regionNames")),
            "ports": "SELECT code, {} AS name, parent_slug FROM public.ports".format(column("portNames")),
            "prices": self.prices(),
        }

    def prices(self):
        shift = self.masks.get("days", {}).get("shift", 0)
        day = "p.day + {} AS day".format(shift) if shift else "p.day"
        price, noise = "p.price", self.masks.get("prices", {}).get("noise")
        if "constant" in self.masks.get("prices", {}):
            price = "{} AS price".format(self.masks["prices"]["constant"])
        elif noise:
            # Three quarters of the noise are the pair's, and one the day's within the pair.
            price = """least(round(p.price * (1 + {} * (0.75 * pair.draw + 0.25
    * timestamp_hash_extended(p.day::timestamp, pair.seed)::float8 / 9223372036854775808.0::float8))), {})::integer AS price""".format(
                noise / 100, LARGEST
            )
        query = "SELECT p.orig_code, p.dest_code, {}, {}\nFROM public.prices AS p".format(day, price)
        if self.sample is None and not noise:
            return query
        # A digest for each pair, not for each price: nothing is moved into a materialized query.
        query = """WITH pair AS MATERIALIZED (
    SELECT orig_code, dest_code,
        ('x' || encode(substring({0} FROM 1 FOR 6), 'hex'))::bit(48)::bigint / 281474976710656.0::float8 AS place,
        ('x' || encode(substring({0} FROM 9 FOR 6), 'hex'))::bit(48)::bigint / 140737488355328.0::float8 - 1 AS draw,
        ('x' || encode(substring({0} FROM 17 FOR 8), 'hex'))::bit(64)::bigint AS seed
    FROM public.prices
    GROUP BY orig_code, dest_code
)
{1}
JOIN pair USING (orig_code, dest_code)""".format(DIGEST, query)
        if self.sample is not None:
            query += "\nWHERE pair.place < {}".format(self.sample / 100)
        return query

    def said_masks(self):
        """What is masked, as the copy's status says it."""
        units = {"noise": " %", "shift": " days"}
        said = lambda kind, value: "{} {}{}".format(kind, value, units.get(kind, ""))
        return ["{}: {}".format(name, said(*next(iter(mask.items())))) for name, mask in self.masks.items()]

    def source(self, literal, refusal, places):
        """The query of view `source`: what a copy must know. What the database is now is asked when it is read. `places` are
        the tables of the views; there are none where no data is shown, and once nothing is refused any more that is out of
        date."""
        return """SELECT coalesce({refusal}, ({unknown})) AS refused,
    ({oids}) IS DISTINCT FROM {made_of}::bigint[] AS outdated,
    CASE WHEN NOT pg_is_in_recovery() THEN pg_current_wal_insert_lsn()::text END AS position,
    statement_timestamp() AS at,
    {sample}::integer AS sample,
    {masks}::text[] AS masks,
    ({constraints}) AS constraints,
    (SELECT coalesce(sum(pg_relation_size(c.oid)), 0)::bigint
     FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
     WHERE (n.nspname, c.relname) IN (('public', 'prices'), ('rates_internal', 'seed_prices'), ('rates_internal', 'batch_prices'))
         AND c.relkind = 'r') AS bytes""".format(
            refusal=literal(refusal),
            unknown=unknown_column(literal),
            oids=oids(literal),
            made_of=literal(places),
            sample=literal(self.sample),
            masks=literal(self.said_masks()),
            constraints=constraints(literal),
        )


def sample(percent):
    if percent is None or percent == 100:
        return None
    if not isinstance(percent, int) or not 1 <= percent <= 100:
        raise Unknown("`sample` is {!r}: it must be a whole number from 1 to 100".format(percent))
    return percent


def masks(wanted):
    """The masks with something in them, checked."""
    kinds = {
        "prices": {"noise": (1, 100), "constant": (0, LARGEST)},
        "days": {"shift": (-3650, 3650)},
        "portNames": {"constant": None},
        "regionNames": {"constant": None},
    }
    for name, mask in wanted.items():
        if name not in kinds:
            raise Unknown("the mask `{}` is not known".format(name))
        chosen = {kind: value for kind, value in (mask or {}).items() if value is not None}
        if not chosen:
            continue
        kind, value = next(iter(chosen.items()))
        if len(chosen) > 1 or kind not in kinds[name]:
            raise Unknown("the mask `{}: {}` is not known".format(name, ", ".join(chosen)))
        limits = kinds[name][kind]
        if limits is None:
            if not isinstance(value, str):
                raise Unknown("`{}.{}` must be a text".format(name, kind))
        elif not isinstance(value, int) or isinstance(value, bool) or not limits[0] <= value <= limits[1]:
            raise Unknown("`{}.{}` is {!r}: it must be a whole number from {} to {}".format(name, kind, value, *limits))
        yield name, {kind: value}


def values(literal):
    rows = ["({}, {}, {}, {})".format(*map(literal, (*place, list(COLUMNS[place[2]])))) for place in PLACES]
    return "(VALUES {}) AS place (schema, relation, called, known)".format(", ".join(rows))


def relations(literal):
    """The tables as they are now, each with what it is called here and the columns that copies know."""
    return """{}
    JOIN pg_namespace AS n ON n.nspname = place.schema
    JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = place.relation""".format(values(literal))


def oids(literal):
    return "SELECT array_agg(c.oid::bigint ORDER BY c.oid) FROM {}".format(relations(literal))


def unknown_column(literal):
    return """SELECT format('table %s of the source has a column "%s", and no rule of copies says what it is', place.called, a.attname)
    FROM {}
    JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE a.attname <> ALL (place.known)
    ORDER BY place.called, a.attname
    LIMIT 1""".format(relations(literal))


def missing_column(literal):
    return """SELECT format('the source has no column "%s" in table public.%s', wanted.name, place.called)
    FROM {} CROSS JOIN LATERAL unnest(place.known) AS wanted (name)
    WHERE place.schema = 'public' AND NOT EXISTS (
        SELECT FROM pg_attribute AS a
        JOIN pg_class AS c ON c.oid = a.attrelid
        JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE n.nspname = 'public' AND c.relname = place.relation AND a.attname = wanted.name AND NOT a.attisdropped
    )
    LIMIT 1""".format(values(literal))


def constraints(literal):
    """Of each known column, in words: `ports.code primary key`, `prices.orig_code references ports`, `ports.name not null`."""
    return """SELECT coalesce(array_agg(DISTINCT place.called || '.' || a.attname || ' ' || said.what), '{{}}')
    FROM {}
    JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = ANY (place.known)
    CROSS JOIN LATERAL (
        SELECT 'not null' AS what WHERE a.attnotnull
        UNION ALL
        SELECT CASE k.contype WHEN 'p' THEN 'primary key' ELSE 'references ' || other.relname END
        FROM pg_constraint AS k LEFT JOIN pg_class AS other ON other.oid = k.confrelid
        WHERE k.conrelid = c.oid AND k.conkey = ARRAY[a.attnum] AND k.contype IN ('p', 'f') AND k.convalidated
    ) AS said""".format(relations(literal))
