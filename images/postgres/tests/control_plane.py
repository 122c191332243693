"""etcd and a kube-apiserver for the database pod's tests."""

import contextlib
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

NAMESPACE = "default"
# Where pods with an address of their own reach it. In 198.18.0.0/15 (RFC 2544), as everything that is not loopback.
HOST = "198.18.77.1"
TOKEN = "database-pod"


def wait_until(condition, seconds, what):
    """Asks until the answer is true, and gives it; less often the longer it takes, as a question may cost a process."""
    started = time.monotonic()
    deadline = started + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError("after {} s still not: {}".format(seconds, what))
        time.sleep(min(max((time.monotonic() - started) / 20, 0.02), 0.25))


def run(*command, **options):
    return subprocess.run(
        [str(part) for part in command], check=True, text=True, stdout=subprocess.PIPE, **options
    ).stdout


class Kubernetes:
    """etcd and kube-apiserver with the objects that the operator makes for an environment `x`."""

    def __init__(self, folder, kube, kubectl):
        self.folder, self.kube, self.kubectl_path = Path(folder), kube, kubectl
        self.processes = []

    def start(self):
        pki = self.folder / "pki"
        pki.mkdir()
        quiet = {"stderr": subprocess.DEVNULL}
        new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        run(
            *["openssl", "req", "-x509", *new_key, "-keyout", pki / "server.key", "-out", pki / "server.crt"],
            *["-subj", "/CN=localhost", "-days", "2", "-addext", "subjectAltName=IP:127.0.0.1,IP:" + HOST],
            **quiet,
        )
        run("openssl", "genrsa", "-out", pki / "account.key", "2048", **quiet)
        (pki / "tokens.csv").write_text(
            "admin,admin,1,system:masters\n{},database-pod,2\n".format(TOKEN)
        )
        self.spawn("etcd", "etcd", "--data-dir", self.folder / "etcd", "--unsafe-no-fsync")
        self.start_api_server()
        self.kubectl("create", "serviceaccount", "default", check=False)
        self.apply(
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "Role",
                "metadata": {"name": "x-postgres"},
                "rules": [
                    {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "watch", "patch", "update"]},
                    {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch", "patch", "update"]},
                ],
            },
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "RoleBinding",
                "metadata": {"name": "x-postgres"},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "x-postgres"},
                "subjects": [{"kind": "User", "name": "database-pod"}],
            },
        )

    def start_api_server(self):
        pki = self.folder / "pki"
        self.api_server = self.spawn(
            "api-server",
            "kube-apiserver",
            "--etcd-servers=http://127.0.0.1:2379",
            # In a network namespace of its own.
            "--bind-address=0.0.0.0",
            "--secure-port=6443",
            "--advertise-address=127.0.0.1",
            "--service-cluster-ip-range=198.19.240.0/24",
            "--tls-cert-file={}".format(pki / "server.crt"),
            "--tls-private-key-file={}".format(pki / "server.key"),
            "--token-auth-file={}".format(pki / "tokens.csv"),
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-account-key-file={}".format(pki / "account.key"),
            "--service-account-signing-key-file={}".format(pki / "account.key"),
            "--authorization-mode=RBAC",
            "--disable-admission-plugins=ServiceAccount",
            "--endpoint-reconciler-type=none",
            "--shutdown-delay-duration=0s",
        )
        wait_until(
            lambda: self.kubectl("get", "--raw=/readyz", check=False) == "ok", 60, "kube-apiserver is ready"
        )

    def spawn(self, name, *arguments):
        with open(self.folder / (name + ".log"), "ab") as log:
            process = subprocess.Popen(
                [str(part) for part in (self.kube, *arguments)], stdout=log, stderr=log, cwd=self.folder
            )
        self.processes.append(process)
        return process

    def stop(self):
        for process in reversed(self.processes):
            process.kill()
            process.wait()

    def command(self, *arguments):
        return [
            *[str(self.kubectl_path), "--server=https://127.0.0.1:6443", "--token=admin"],
            *["--certificate-authority={}".format(self.folder / "pki/server.crt"), "-n", NAMESPACE],
            *arguments,
        ]

    def kubectl(self, *arguments, check=True, stdin=None):
        done = subprocess.run(self.command(*arguments), check=False, input=stdin, text=True, capture_output=True)
        if check and done.returncode:
            raise AssertionError("kubectl {}: {}".format(" ".join(arguments), done.stderr))
        return done.stdout

    @contextlib.contextmanager
    def watch(self, kind, name):
        """Gives a function that tells each state of an object's annotations so far, the one at the start first."""
        annotations = '--output=jsonpath={.metadata.annotations}{"\\n"}'
        with tempfile.TemporaryFile() as file:
            process = subprocess.Popen(self.command("get", kind, name, "--watch", annotations), stdout=file)

            def states():
                # To seek would move kubectl's place in the file, too.
                written = os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0)
                return [json.loads(line) for line in written.splitlines(True) if line.endswith(b"}\n")]

            try:
                wait_until(states, 30, "the watch has begun")
                yield states
            finally:
                process.kill()
                process.wait()

    def apply(self, *objects):
        self.kubectl(
            *["apply", "--server-side", "--force-conflicts", "-f", "-"],
            stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}),
        )

    def make_environment(self, instances=1, name="x"):
        """What the operator creates before the database pods: four empty ConfigMaps; and the pods themselves."""
        labels = {
            "app.kubernetes.io/name": "rates",
            "app.kubernetes.io/instance": name,
            "app.kubernetes.io/component": "postgres",
            "rates.internal/cluster": name + "-postgres",
        }
        self.apply(
            *[
                {
                    "apiVersion": "v1",
                    "kind": "ConfigMap",
                    "metadata": {"name": "{}-postgres-{}".format(name, part), "labels": labels},
                }
                for part in ("config", "leader", "failover", "sync")
            ],
            *[
                {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "metadata": {"name": "{}-postgres-{}".format(name, ordinal), "labels": labels},
                    "spec": {"containers": [{"name": "postgres", "image": "none"}], "nodeName": "nowhere"},
                }
                for ordinal in range(instances)
            ],
        )

    def remove_environment(self):
        self.kubectl("delete", "pod", "--all", "--grace-period=0", "--force")
        self.kubectl("delete", "configmap", "-l", "rates.internal/cluster=x-postgres")

    def config_maps(self):
        listed = json.loads(self.kubectl("get", "configmap", "-o", "json"))["items"]
        return {item["metadata"]["name"]: item["metadata"] for item in listed}
