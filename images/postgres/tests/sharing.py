"""Two environments that share their data, one for each version, and what a copy needs: its login and its load step."""

import base64
import hashlib
import hmac
import json
import tempfile
import uuid
from pathlib import Path

from control_plane import wait_until
from instances import ADMIN
from network import Network
from sandbox import READY_SECONDS, Pod

MIGRATIONS = sorted((Path(__file__).resolve().parents[3] / "db/migrations").glob("[0-9]*.sql"))
SUPERUSER = ("postgres", "super-1")

# Enough prices that they are copied in two parts.
TABLES = """
CREATE TABLE public.ports (code text NOT NULL, name text NOT NULL, parent_slug text NOT NULL);
CREATE TABLE public.prices (orig_code text NOT NULL, dest_code text NOT NULL, day date NOT NULL, price integer NOT NULL);
CREATE TABLE public.regions (slug text NOT NULL, name text NOT NULL, parent_slug text);
INSERT INTO public.regions VALUES ('north', 'Raw Region', NULL), ('cold', 'Raw Region beside', 'north');
INSERT INTO public.ports SELECT 'P' || n, 'Raw Harbour ' || n, 'cold' FROM generate_series(10, 29) AS n;
INSERT INTO public.prices SELECT o.code, d.code, date '2021-01-01' + n % 300, 100000 + n % 977
FROM generate_series(1, 450000) AS n
JOIN (SELECT code, row_number() OVER (ORDER BY code) AS number FROM public.ports) AS o ON o.number = n % 20 + 1
JOIN (SELECT code, row_number() OVER (ORDER BY code) AS number FROM public.ports) AS d ON d.number = n / 20 % 20 + 1
WHERE o.code <> d.code;
ALTER TABLE ONLY public.ports ADD CONSTRAINT ports_pkey PRIMARY KEY (code);
ALTER TABLE ONLY public.regions ADD CONSTRAINT regions_pkey PRIMARY KEY (slug);
ALTER TABLE ONLY public.ports ADD CONSTRAINT ports_parent_slug_fkey FOREIGN KEY (parent_slug) REFERENCES public.regions(slug);
ALTER TABLE ONLY public.prices ADD CONSTRAINT prices_dest_code_fkey FOREIGN KEY (dest_code) REFERENCES public.ports(code);
ALTER TABLE ONLY public.prices ADD CONSTRAINT prices_orig_code_fkey FOREIGN KEY (orig_code) REFERENCES public.ports(code);
ALTER TABLE ONLY public.regions ADD CONSTRAINT regions_parent_slug_fkey FOREIGN KEY (parent_slug) REFERENCES public.regions(slug);
"""

CONTENT = """SELECT md5(string_agg(line, '|' ORDER BY line)) FROM (
    SELECT concat_ws(',', code, name, parent_slug) FROM public.ports
    UNION ALL SELECT concat_ws(',', slug, name, parent_slug) FROM public.regions
    UNION ALL SELECT concat_ws(',', orig_code, dest_code, count(*), sum(price), sum(price::bigint * (day - '2000-01-01')))
        FROM public.prices GROUP BY orig_code, dest_code
) AS content (line)"""
SHAPE = """SELECT string_agg(line, '|' ORDER BY line) FROM (
    SELECT conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
    WHERE conrelid IN ('public.ports'::regclass, 'public.regions'::regclass, 'public.prices'::regclass) AND contype IN ('p', 'f')
    UNION ALL SELECT attrelid::regclass || ' ' || attname || ' ' || format_type(atttypid, atttypmod) || ' ' || attnotnull
    FROM pg_attribute WHERE attrelid IN ('public.ports'::regclass, 'public.regions'::regclass, 'public.prices'::regclass) AND attnum > 0
) AS shape (line)"""


def verifier(password):
    salt = hashlib.sha256(password.encode()).digest()[:16]
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, 4096)
    key = lambda name: hmac.new(salted, name, hashlib.sha256).digest()
    stored = hashlib.sha256(key(b"Client Key")).digest()
    text = [base64.b64encode(part).decode() for part in (salt, stored, key(b"Server Key"))]
    return "SCRAM-SHA-256$4096:{}${}:{}".format(*text)


class Reader:
    """An environment that copies: its login in a source."""

    def __init__(self, password="reader-1", **share):
        self.uid, self.password, self.share = str(uuid.uuid4()), password, share
        self.digits = self.uid.replace("-", "")[:12]
        self.login, self.schema = "rates_copy_" + self.digits, "rates_share_" + self.digits

    def entry(self):
        return {"username": self.login, "verifier": verifier(self.password), **self.share}

    def query(self, pod, sql, database="rates", check=True):
        return pod.query(sql, self.login, self.password, database, check)

    def is_let_in(self, pod):
        return self.query(pod, "SELECT FROM {}.source".format(self.schema), check=False)[0] == 0


def share(pod, *readers):
    """As the operator writes it, and nothing for no reader."""
    copies = {"copies": json.dumps([reader.entry() for reader in readers])} if readers else {}
    pod.write_secret("admin", **ADMIN, **{"replication-password": "replica-1"}, **copies)


def copy(pod, source, reader, uid=None):
    """The load step in a pod of the environment that copies."""
    folder = Path(tempfile.mkdtemp(prefix="copy-", dir=pod.folder))
    folder.chmod(0o755)
    (folder / "uri").write_text("postgresql://{}:{}@{}:5432/rates".format(reader.login, reader.password, source.address))
    mounts = [(folder, "etc/rates/copy")]
    return pod.load(uid or reader.uid, None, "environment:rates/source", mounts, SEED_COPY_URI_FILE="/etc/rates/copy/uri")


def scratch(reader):
    return "rates_seed_" + reader.digits


def seed(pod, prices=450000):
    """A database as a seed and the migrations leave it."""
    pod.own("CREATE DATABASE rates")
    pod.own(TABLES.replace("450000", str(prices)), "rates")
    migrate(pod, "rates")
    pod.query("VACUUM ANALYZE", *SUPERUSER, "rates")


def migrate(pod, database):
    pod.own("CREATE SCHEMA IF NOT EXISTS rates_internal; CREATE TABLE rates_internal.migrations (version integer)", database)
    for path in MIGRATIONS:
        text = path.read_text()
        pod.script(text, database, *([] if "-- transaction: none" in text else ["--single-transaction"]))


class Environments:
    """Two pods, each of an environment of its own."""

    def __init__(self, kubernetes, images, folder):
        self.kubernetes, self.network, self.pods = kubernetes, Network(), []
        for number, (name, image) in enumerate(images.items()):
            kubernetes.make_environment(name=name)
            pod = Pod(image, tempfile.mkdtemp(prefix="pod-", dir=folder), 0, self.network, name, number + 1)
            pod.folder.chmod(0o755)
            self.pods.append(pod)
            # What is copied gets another name than what is served here: each is a source, too.
            uri = pod.secrets / "migrator/uri"
            uri.write_text(uri.read_text()[: -len("rates")] + "copied")
            pod.start(kubernetes)
        for pod in self.pods:
            wait_until(pod.is_ready, READY_SECONDS, "the pod is ready")
            seed(pod)

    def stop(self):
        for pod in self.pods:
            pod.kill()
        self.network.stop()
