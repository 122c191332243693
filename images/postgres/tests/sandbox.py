"""A database pod without a kubelet: the image's root, read-only, as user 999 without capabilities,
in a process namespace of its own, beside a real kube-apiserver.

Run as root inside a network namespace of its own (`run` sees to that), so that a pod has the loopback
addresses for itself and nothing reaches the machine. Of several pods each has a namespace and an address
of its own (network.py).
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from control_plane import HOST, NAMESPACE, TOKEN, wait_until

# Long beside the 2 s of an idle machine, for one that is busy with other things.
READY_SECONDS = 120


def say(text):
    print(text, file=sys.stderr, flush=True)


class Image:
    """An image's root file system and settings, unpacked from its archive."""

    def __init__(self, archive, folder):
        self.root = Path(folder)
        self.root.mkdir()
        with tarfile.open(archive) as tar:
            manifest = json.load(tar.extractfile("manifest.json"))[0]
            self.config = json.load(tar.extractfile(manifest["Config"]))["config"]
            for layer in manifest["Layers"]:
                stream = tar.extractfile(layer)
                unpack = subprocess.Popen(
                    ["tar", "--extract", "--file=-", "--directory", str(self.root)], stdin=subprocess.PIPE
                )
                shutil.copyfileobj(stream, unpack.stdin, 1 << 20)
                unpack.stdin.close()
                if unpack.wait():
                    raise AssertionError("cannot unpack {}".format(archive))
        (self.root / "tmp").chmod(0o1777)

    def run(self, *command):
        """Runs a program in the image's root, as its user. What is mounted there is mounted for that program alone,
        and gone with it: nothing that is removed later leads out of the folder."""
        script = [
            "set -e",
            "root={}".format(self.root),
            "mount -t tmpfs none $root/dev",
            "for d in null zero random urandom; do touch $root/dev/$d; mount --bind /dev/$d $root/dev/$d; done",
            "mkdir -m 1777 $root/dev/shm; mount -t proc none $root/proc",
            'exec /usr/sbin/chroot --userspec=999:999 $root "$@"',
        ]
        path = next(entry for entry in self.config["Env"] if entry.startswith("PATH=")).split("=", 1)[1]
        return subprocess.run(
            ["unshare", "--mount", "sh", "-c", "\n".join(script), "sh", *command],
            env={"PATH": path + ":/usr/sbin:/sbin", "LANG": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            check=False,
        )


class Container:
    """One process tree of a pod."""

    def __init__(self, pod, name, command, environment, extra=()):
        self.pod, self.name = pod, name
        tmp = pod.folder / ("tmp-" + name)
        tmp.mkdir(exist_ok=True)
        os.chown(tmp, 999, 999)
        self.tmp = tmp
        self.log_path = pod.folder / (name + ".log")
        mounts = [(pod.data, "data"), (tmp, "tmp"), (pod.run, "run/postgresql"), *extra]
        login = "migrator" if name == "load" else "app"
        mounts += [(pod.secrets / login, "etc/rates/app"), (pod.account, "run/secrets/kubernetes.io/serviceaccount")]
        if name != "load":
            mounts += [(pod.secrets / "admin", "etc/rates/admin")]
        script = ["set -e", "root={}".format(pod.image.root), "mount --bind $root $root"]
        for source, target in mounts:
            script += ["mkdir -p $root/{}".format(target), "mount --bind {} $root/{}".format(source, target)]
        script += [
            "mount -t tmpfs -o mode=755 none $root/dev",
            "for d in null zero random urandom; do touch $root/dev/$d; mount --bind /dev/$d $root/dev/$d; done",
            "mkdir -m 1777 $root/dev/shm",
            "mount -t tmpfs -o size=64m,mode=1777 none $root/dev/shm",
            "mount -t proc none $root/proc",
            "mount -o remount,bind,ro $root",
            "exec /usr/sbin/chroot $root /usr/bin/setpriv --no-new-privs --bounding-set=-all --inh-caps=-all \\",
            '  --reuid=999 --regid=999 --clear-groups "$@"',
        ]
        self.environment = dict(entry.split("=", 1) for entry in pod.image.config["Env"])
        self.environment.update(environment)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [*pod.enter, "unshare", "--mount", "--pid", "--fork", "--ipc"]
                + ["sh", "-c", "\n".join(script), "sh", *command],
                env=self.environment,
                stdout=log,
                stderr=log,
            )

    def log(self):
        return self.log_path.read_text(errors="replace")

    def command_lines(self):
        """What any user of the machine may see of the container's processes."""
        lines = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if os.readlink(process / "root") == str(self.pod.image.root):
                    lines.append((process / "cmdline").read_text(errors="replace"))
        return "\n".join(lines)

    def kill(self):
        """Every process at once: the namespace goes with its first process."""
        if self.process.poll() is None:
            os.kill(self.first_process(), signal.SIGKILL)
            self.process.wait()

    def first_process(self):
        """The namespace's first process, as the machine numbers it."""
        children = Path("/proc/{0}/task/{0}/children".format(self.process.pid))
        return int(wait_until(lambda: children.read_text().split() or self.process.poll(), 30, "a process")[0])

    def execute(self, *command):
        """As `kubectl exec` and a preStop hook do: one more process in the container, as its user."""
        # In the container's mounts and processes; the root is the image's there.
        inside = ["nsenter", "--target", str(self.first_process()), "--mount", "--pid", "--net", "--root", "--wd=/"]
        return subprocess.Popen(
            [*inside, "/usr/bin/setpriv", "--no-new-privs", "--reuid=999", "--regid=999", "--clear-groups", *command],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def processes(self):
        """All of its processes, as the machine numbers them."""
        own = os.readlink("/proc/{}/ns/pid".format(self.first_process()))
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if os.readlink(process / "ns/pid") == own:
                    found.append(int(process.name))
        return found

    def signal(self, number):
        """To all of its processes."""
        for process in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)

    def terminate(self, seconds=READY_SECONDS):
        os.kill(self.first_process(), signal.SIGTERM)
        return self.process.wait(seconds)


class Pod:
    """The pod x-postgres-0 with its volume and Secrets; or another of several, or of another environment."""

    def __init__(self, image, folder, ordinal=0, network=None, environment="x", address=None):
        self.image, self.folder, self.environment = image, Path(folder), environment
        self.name = "{}-postgres-{}".format(environment, ordinal)
        self.address, self.enter = network.join(address or ordinal) if network else ("127.0.0.1", [])
        self.kubernetes_host = HOST if network else "127.0.0.1"
        self.data, self.run = self.folder / "data", self.folder / "run"
        self.secrets, self.account = self.folder / "secrets", self.folder / "account"
        for path in (self.folder, self.data, self.run, self.account):
            path.mkdir(exist_ok=True)
        for path in (self.data, self.run):
            os.chown(path, 999, 999)
        self.containers = []
        self.write_secret("app", username="rates_a", password="first' \\ password")
        passwords = {"superuser-password": "super-1", "replication-password": "replica-1"}
        self.write_secret("admin", **passwords, **{"patroni-password": "patroni-1", "migrator-password": "migrator-1"})
        self.write_secret("migrator", username="rates_migrator", password="migrator-1")

    def write_secret(self, name, **values):
        """As kubelet does: the files change together, by one link."""
        folder = self.secrets / name
        folder.mkdir(parents=True, exist_ok=True)
        if name in ("app", "migrator"):
            uri = "postgresql://{}:{}@{}:5432/rates".format(
                values["username"], "".join("%{:02x}".format(byte) for byte in values["password"].encode()), self.address
            )
            values["uri"] = uri
        if name == "app":
            self.login = values
        version = Path(tempfile.mkdtemp(prefix="..", dir=folder))
        version.chmod(0o755)
        for key, value in values.items():
            (version / key).write_text(value)
            with contextlib.suppress(FileExistsError):
                (folder / key).symlink_to("..data/" + key)
        (folder / "..new").symlink_to(version.name)
        os.replace(folder / "..new", folder / "..data")

    def start(self, kubernetes):
        shutil.copy(kubernetes.folder / "pki/server.crt", self.account / "ca.crt")
        (self.account / "token").write_text(TOKEN)
        (self.account / "namespace").write_text(NAMESPACE)
        environment = {
            "KUBERNETES_SERVICE_HOST": self.kubernetes_host,
            "KUBERNETES_SERVICE_PORT": "6443",
            "PATRONI_NAME": self.name,
            "PATRONI_SCOPE": self.environment + "-postgres",
            "PATRONI_KUBERNETES_NAMESPACE": NAMESPACE,
            "PATRONI_KUBERNETES_POD_IP": self.address,
            "PATRONI_KUBERNETES_LABELS": "{{app.kubernetes.io/name: rates, app.kubernetes.io/instance: {},"
            " app.kubernetes.io/component: postgres}}".format(self.environment),
            "PATRONI_KUBERNETES_SCOPE_LABEL": "rates.internal/cluster",
            "PATRONI_KUBERNETES_ROLE_LABEL": "rates.internal/role",
            "PATRONI_KUBERNETES_LEADER_LABEL_VALUE": "primary",
        }
        entry_point = self.image.config["Entrypoint"]
        self.postgres = Container(self, "postgres", entry_point, environment)
        self.start_roles()

    def start_roles(self):
        environment = {
            "KUBERNETES_SERVICE_HOST": self.kubernetes_host,
            "KUBERNETES_SERVICE_PORT": "6443",
            "POD_NAME": self.name,
            "RATES_REPORT_VERSION": "yes",
        }
        self.roles = Container(self, "roles", ["/usr/local/bin/rates-postgres-roles"], environment)
        self.containers = [self.postgres, self.roles]

    def restart_roles(self):
        self.roles.kill()
        # What says that the roles are right is from before.
        (self.run / "roles-applied").unlink(missing_ok=True)
        self.start_roles()

    def kill(self):
        for container in self.containers:
            container.kill()

    def new_temporary_files(self):
        """What another pod under the same name finds: its emptyDirs are new."""
        for folder in (self.run, *self.folder.glob("tmp-*")):
            for path in folder.iterdir():
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()

    def is_ready(self):
        """What the readiness probe asks: the server, and the role manager."""
        answer = subprocess.run(
            ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-m", "2", "http://{}:8008/readiness".format(self.address)],
            check=False,
            stdout=subprocess.PIPE,
            text=True,
        )
        return answer.stdout == "200"

    def query(self, sql, user=None, password=None, database="postgres", check=True, seconds=None):
        """Asks over TCP as others do, by default as the application's login. One that has waited long enough goes away
        without a word: a wait for a standby that is cancelled would end in a commit."""
        done = subprocess.run(
            [*self.enter, "/usr/sbin/chroot", str(self.image.root), "/usr/bin/env", "PATH=" + self.path(),
             *(["timeout", "--signal=KILL", str(seconds)] if seconds else []),
             *["psql", "-X", "-A", "-t", "-q", "-w"],
             *["-h", "127.0.0.1", "-U", user or self.login["username"], "-d", database, "-v", "ON_ERROR_STOP=1"],
             *[part for statement in sql.split("; ") for part in ("-c", statement)]],
            env={"PGPASSWORD": password or self.login["password"], "PGCONNECT_TIMEOUT": "5"},
            check=False,
            capture_output=True,
            text=True,
        )
        if check and done.returncode:
            raise AssertionError("{}: {}".format(sql, done.stderr))
        return done.stdout.strip() if check else (done.returncode, done.stdout.strip(), done.stderr.strip())

    def own(self, sql, database="postgres"):
        """As the Jobs make and change things: by their login, as the owner."""
        return self.query("SET ROLE rates_owner; " + sql, "rates_migrator", "migrator-1", database)

    def script(self, sql, database, *options):
        """Runs a file of SQL as the Jobs do."""
        done = subprocess.run(
            [*self.enter, "/usr/sbin/chroot", str(self.image.root), "/usr/bin/env", "PATH=" + self.path()]
            + ["psql", "-X", "-q", "-w", "-v", "ON_ERROR_STOP=1", *options, "-c", "SET ROLE rates_owner", "-f", "-"]
            + ["-h", "127.0.0.1", "-U", "rates_migrator", "-d", database],
            env={"PGPASSWORD": "migrator-1"},
            check=False,
            capture_output=True,
            input=sql,
            text=True,
        )
        if done.returncode:
            raise AssertionError(done.stderr)

    def path(self):
        return next(entry for entry in self.image.config["Env"] if entry.startswith("PATH=")).split("=", 1)[1]

    def load(self, uid, dump=None, source="bundled", mounts=(), **settings):
        """The seed's `load` container."""
        folder = self.folder / "seed"
        folder.mkdir(exist_ok=True)
        environment = {"POD_UID": uid, "RATES_DATABASE_URI_FILE": "/etc/rates/app/uri", "SEED_SOURCE": source}
        if dump is not None:
            (folder / "dump").write_bytes(dump)
            environment["SEED_FILE"] = "/seed/dump"
        environment["RATES_TERMINATION_LOG"] = "/tmp/termination-log"
        environment.update(settings)
        container = Container(self, "load", ["/usr/local/bin/rates-seed-load"], environment, [(folder, "seed"), *mounts])
        self.loader = container
        return container

    def loaded(self, container, seconds=60):
        status = container.process.wait(seconds)
        log = container.tmp / "termination-log"
        message = log.read_text() if log.exists() else ""
        with contextlib.suppress(FileNotFoundError):
            log.unlink()
        return status, message
