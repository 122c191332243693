"""Tries every parameter that PostgreSQL has and `database.parameters` allows, each with its extreme values: whether
an environment starts with it. Not a test: it takes an hour and more, and is run when a major version is added. On a busy
machine RATES_TRIAL_SECONDS, the patience with a pod's start, has to be longer.

A trial is a new pod, its roles, a dump, `publish`, `migrate`, and `serve` with a read and a batch. Many values are tried
at once, and divided only where such a trial fails.

"NO START" says that a server alone does not start with a value, and what its pod tells of that; Patroni replaces some of
those by its own. "FAILS" says what else does not work.

Usage, with the environment of test_pod.py, as root:
  unshare --net --mount sh -c 'ip link set lo up && python3 try_parameters.py VERSION RATES_API [NAME=VALUE…]'
"""

import gzip
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

from control_plane import Kubernetes, wait_until
from dumps import HEAD, PRIMARY_KEY, TABLES
from sandbox import Image, Pod

ROOT = Path(__file__).resolve().parents[3]
READY_SECONDS = int(os.environ.get("RATES_TRIAL_SECONDS", "60"))
GROUP = 24
# The program refuses settings that it does not know, and these tests' own begin as its settings do.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("RATES_")}
# Values that are words, and what is odd about them is no bound.
TEXTS = {
    "application_name": ["x"],
    "backtrace_functions": ["x"],
    "createrole_self_grant": ["set, inherit"],
    "client_encoding": ["SQL_ASCII", "LATIN1", "SJIS"],
    "datestyle": ["SQL, DMY", "German"],
    "default_table_access_method": ["none"],
    "default_text_search_config": ["none"],
    "extra_float_digits": ["-15", "3"],
    "lc_messages": ["C"],
    "lc_monetary": ["C"],
    "lc_numeric": ["C"],
    "lc_time": ["C"],
    "log_line_prefix": ["", "%m %p %q%u@%d %a"],
    "log_timezone": ["Asia/Kathmandu"],
    "restrict_nonsystem_relation_kind": ["view, foreign-table"],
    "search_path": ["", "nowhere"],
    "timezone": ["Asia/Kathmandu"],
    "timezone_abbreviations": ["India"],
    "wal_consistency_checking": ["all"],
}


def denied():
    """Names and beginnings that the definition refuses."""
    text = (ROOT / "operator/src/crd/parameters.rs").read_text()
    return [name for names in re.findall(r"names: &\[(.*?)\]", text, re.DOTALL) for name in re.findall(r'"([^"]+)"', names)]


def is_denied(name, patterns):
    name = name.lower()
    return any(name.startswith(p[:-1]) if p.endswith("*") else name == p for p in patterns)


class NotStarted(Exception):
    """A server that says why it does not start."""


class Trials:
    def __init__(self, version, program, folder):
        archive = dict(entry.split("=", 1) for entry in os.environ["RATES_TEST_POSTGRES_IMAGES"].split(","))[version]
        self.program, self.folder = program, folder
        (folder / "kube").mkdir()
        self.kubernetes = Kubernetes(folder / "kube", os.environ["RATES_TEST_KUBE"], os.environ["RATES_TEST_KUBECTL"])
        self.kubernetes.start()
        self.image = Image(archive, folder / "root")
        self.count = 0
        self.image.run("initdb", "--pgdata=/tmp/try", "--username=postgres", "--no-sync")

    def starts(self, parameters):
        """Whether a server of its own starts; sooner asked than a whole pod."""
        for path in (self.image.root / "tmp/try").glob("postmaster.*"):
            path.unlink()
        settings = "".join("{} = '{}'\n".format(name, value.replace("'", "''")) for name, value in parameters.items())
        (self.image.root / "tmp/try/postgresql.auto.conf").write_text("shared_buffers = 32MB\n" + settings)
        options = "-c listen_addresses= -c unix_socket_directories=/tmp"
        control = ["pg_ctl", "--pgdata=/tmp/try", "--silent", "--log=/tmp/try.log"]
        started = self.image.run(*control, "--wait", "--timeout=20", "--options=" + options, "start").returncode == 0
        self.image.run(*control, "--wait", "--mode=immediate", "stop")
        return started

    def unstartable(self, pairs):
        """Which of these values keep the server itself from starting."""
        if self.starts(dict(pairs)):
            return []
        if len(pairs) == 1:
            return pairs
        half = len(pairs) // 2
        return self.unstartable(pairs[:half]) + self.unstartable(pairs[half:])

    def values(self):
        """NAME, VALUE of every trial."""
        pod = self.pod({})
        query = (
            "SELECT coalesce(json_agg(s), '[]') FROM (SELECT name, vartype, enumvals, min_val, max_val, boot_val, setting"
            " FROM pg_settings WHERE context <> 'internal' ORDER BY name) AS s"
        )
        settings = json.loads(pod.query(query, "postgres", "super-1"))
        self.remove(pod)
        patterns = denied()
        for setting in settings:
            name = setting["name"]
            if is_denied(name, patterns):
                continue
            if name.lower() in TEXTS:
                values = TEXTS[name.lower()]
            elif setting["vartype"] == "bool":
                values = ["on", "off"]
            elif setting["vartype"] == "enum":
                values = setting["enumvals"]
            elif setting["vartype"] in ("integer", "real"):
                values = [setting["min_val"], setting["max_val"]]
            else:
                print("no value for {}".format(name), flush=True)
                continue
            for value in values:
                if value != setting["setting"]:
                    yield name, value

    def pod(self, parameters):
        self.kubernetes.make_environment()
        config = {"ttl": 20, "loop_wait": 5, "retry_timeout": 5, "failsafe_mode": True}
        config["postgresql"] = {"use_slots": True, "parameters": dict({"shared_buffers": "32MB"}, **parameters)}
        annotation = json.dumps({"metadata": {"annotations": {"config": json.dumps(config)}}})
        self.kubernetes.kubectl("patch", "configmap", "x-postgres-config", "--type=merge", "-p", annotation)
        pod = Pod(self.image, tempfile.mkdtemp(prefix="pod-", dir=self.folder))
        pod.folder.chmod(0o755)
        pod.start(self.kubernetes)
        try:
            reason = wait_until(lambda: "ready" if pod.is_ready() else self.told(), READY_SECONDS, "the pod is ready")
            if reason != "ready":
                self.remove(pod)
                raise NotStarted(reason)
        except AssertionError:
            logs = pod.roles.log()[-300:] + pod.postgres.log()[-700:]
            self.remove(pod)
            raise AssertionError("not ready: " + logs) from None
        return pod

    def told(self):
        """Why the server does not start, as the operator is told."""
        pod = json.loads(self.kubernetes.kubectl("get", "pod", "x-postgres-0", "-o", "json"))
        return pod["metadata"].get("annotations", {}).get("rates.internal/start-failure")

    def remove(self, pod):
        pod.kill()
        shutil.rmtree(pod.folder, ignore_errors=True)
        self.kubernetes.remove_environment()

    def job(self, pod, *arguments):
        """A Job's command, with the Jobs' login."""
        done = subprocess.run(
            [self.program, *arguments, "--database-uri-file", str(pod.secrets / "migrator/uri"), "--deadline-seconds=40"],
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            raise AssertionError("{}: {}".format(arguments[0], done.stdout[-700:]))

    def serve(self, pod):
        digests = pod.folder / "digests"
        digests.write_text(hashlib.sha256(b"token-of-the-trial").hexdigest())
        with open(pod.folder / "serve.log", "w") as log:
            service = subprocess.Popen(
                [self.program, "serve", "--listen=127.0.0.1:8080", "--metrics-listen=off", "--drain-seconds=1"]
                + ["--database-uri-file", str(pod.secrets / "app/uri"), "--ingest-token-digests-file", str(digests)],
                env=ENVIRONMENT,
                stdout=log,
                stderr=log,
            )
        try:
            curl = ["curl", "-s", "--max-time", "20", "http://127.0.0.1:8080"]
            asked = lambda command: subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False).stdout
            get = lambda path: asked([*curl[:-1], curl[-1] + path])
            read = "/rates?date_from=2021-01-01&date_to=2021-01-01&orig_code=AAAAA&dest_code=BBBBB"
            wait_until(lambda: '"count":3' in get(read), 30, "a read: " + get(read))
            row = "orig_code,dest_code,day,price\nAAAAA,BBBBB,2021-01-01,1100\n"
            post = [*curl[:-1], "-H", "Content-Type: text/csv", "-H", "Authorization: Bearer token-of-the-trial"]
            answer = asked([*post, "--data-binary", row, curl[-1] + "/batches"])
            if '"applied"' not in answer:
                raise AssertionError("a batch: " + answer)
            wait_until(lambda: '"count":4' in get(read), 30, "a read of the batch")
            folded = "SELECT count(*) FROM rates_internal.batches WHERE folded_at IS NULL"
            wait_until(lambda: pod.query(folded, database="rates", check=False)[1] == "0", 30, "the batch is folded")
        except AssertionError as error:
            raise AssertionError("serve: {} {}".format(error, (pod.folder / "serve.log").read_text()[-500:])) from None
        finally:
            service.kill()
            service.wait()

    def trial(self, parameters):
        """What goes wrong with these parameters; nothing if all works."""
        self.count += 1
        pod = None
        try:
            pod = self.pod(parameters)
            uid = str(uuid.uuid4())
            status, message = pod.loaded(pod.load(uid, gzip.compress((HEAD + TABLES + PRIMARY_KEY).encode())), 90)
            if status:
                raise AssertionError("load: " + message)
            self.job(pod, "publish", "--attempt", uid, "--termination-log=/dev/null")
            self.job(pod, "migrate", "--termination-log=/dev/null")
            self.serve(pod)
        except NotStarted as error:
            return "the pod tells: {}".format(error)
        except (AssertionError, subprocess.TimeoutExpired) as error:
            return str(error)
        finally:
            if pod:
                self.remove(pod)
        return ""

    def find(self, pairs):
        """Divides until a value that fails stands alone."""
        wrong = self.trial(dict(pairs))
        if not wrong:
            return
        if len(pairs) == 1:
            print("FAILS {} = {}: {}".format(*pairs[0], " ".join(wrong.split())), flush=True)
            return
        print("  {} of them fail together: {}".format(len(pairs), " ".join(wrong.split())[:150]), flush=True)
        half = len(pairs) // 2
        self.find(pairs[:half])
        self.find(pairs[half:])


def main():
    version, program, *chosen = sys.argv[1:]
    folder = Path(tempfile.mkdtemp(prefix="rates-parameters-"))
    folder.chmod(0o755)
    trials = None
    try:
        trials = Trials(version, program, folder)
        pairs = [tuple(entry.split("=", 1)) for entry in chosen] or list(trials.values())
        groups = []
        for pair in pairs:
            fits = (g for g in groups if len(g) < GROUP and pair[0] not in dict(g))
            group = next(fits, None)
            if group is None:
                groups.append([pair])
            else:
                group.append(pair)
        print("{} values in {} groups".format(len(pairs), len(groups)), flush=True)
        for group in groups:
            alone = trials.unstartable(group)
            for name, value in alone:
                print("NO START {} = {}: {}".format(name, value, trials.trial({name: value}) or "a pod does"), flush=True)
            trials.find([pair for pair in group if pair not in alone])
        print("{} trials".format(trials.count), flush=True)
    finally:
        if trials:
            trials.kubernetes.stop()
        if str(folder) in Path("/proc/self/mounts").read_text():
            raise SystemExit("{} is left: something is mounted in it".format(folder))
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
