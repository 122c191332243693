"""Three database pods of one environment, which the tests of a class share: each finds them healthy, and may break them."""

import json
import signal
import tempfile
import time
from threading import Thread

from control_plane import wait_until
from network import Network
from sandbox import READY_SECONDS, Pod

INSTANCES = 3
# As the operator writes them; the time-outs of the log's connections are shorter, so that a test waits less.
CONFIG = {
    "ttl": 20,
    "loop_wait": 2,
    "retry_timeout": 3,
    "maximum_lag_on_failover": 1048576,
    "failsafe_mode": True,
    "primary_start_timeout": 0,
    "primary_stop_timeout": 30,
    "synchronous_mode": "quorum",
    "synchronous_node_count": 1,
    "postgresql": {
        "use_pg_rewind": True,
        "use_slots": True,
        "parameters": {
            "max_connections": 100,
            "shared_buffers": "24MB",
            "wal_sender_timeout": "4s",
            "wal_receiver_timeout": "4s",
            "wal_retrieve_retry_interval": "200ms",
            "password_encryption": "scram-sha-256",
        },
    },
}
ADMIN = {"superuser-password": "super-1", "patroni-password": "patroni-1", "migrator-password": "migrator-1"}


class Instances:
    """The pods, and what Kubernetes knows of them."""

    def __init__(self, kubernetes, image, folder):
        self.kubernetes = kubernetes
        self.network = Network()
        self.pods = []
        for ordinal in range(INSTANCES):
            pod = Pod(image, tempfile.mkdtemp(prefix="pod-", dir=folder), ordinal, self.network)
            pod.folder.chmod(0o755)
            self.pods.append(pod)
        kubernetes.make_environment(INSTANCES)
        self.write_config(CONFIG)

    def stop(self):
        for pod in self.pods:
            self.thaw(pod)
            pod.kill()
        self.network.stop()

    def write_config(self, config):
        self.write_record("config", {"config": json.dumps(config)})

    def write_record(self, part, annotations):
        patch = json.dumps({"metadata": {"annotations": annotations}})
        self.kubernetes.kubectl("patch", "configmap", "x-postgres-" + part, "--type=merge", "-p", patch)

    def config(self):
        return json.loads(self.record("config")["config"])

    def record(self, part):
        return self.kubernetes.config_maps()["x-postgres-" + part].get("annotations") or {}

    def named(self, name):
        return next((pod for pod in self.pods if pod.name == name), None)

    def leader(self):
        """The pod that has the leader key."""
        return self.named(self.record("leader").get("leader"))

    def labelled(self, role):
        """The names of the pods that the Services lead to."""
        selector = "--selector=rates.internal/role=" + role
        return self.kubernetes.kubectl("get", "pods", selector, "--output=jsonpath={.items[*].metadata.name}").split()

    def primary(self):
        """The pod that takes writes, once there is one: commits wait for a standby."""
        return wait_until(lambda: next(filter(self.writes, self.pods), None), READY_SECONDS, "one takes writes")

    def writes(self, pod, seconds=1):
        """Whether a commit is acknowledged in time."""
        if not pod.containers or pod.postgres.process.poll() is not None:
            return False
        commit = "SELECT pg_logical_emit_message(true, 'x', 'x')"
        return pod.query(commit, "postgres", "super-1", check=False, seconds=seconds)[0] == 0

    def standbys(self):
        primary = self.primary()
        return [pod for pod in self.pods if pod is not primary]

    def streaming(self, primary):
        """The names of those that the primary sends its log to, each with whether a commit may wait for it."""
        asked = "SELECT application_name, sync_state FROM pg_stat_replication WHERE state = 'streaming' ORDER BY 1"
        _, rows, _ = primary.query(asked, "postgres", "super-1", check=False)
        return dict(row.split("|") for row in rows.splitlines())

    def healthy(self):
        """Starts what is dead, and waits until commits wait for one of two standbys."""
        for pod in self.pods:
            self.thaw(pod)
            if any(container.process.poll() is not None for container in pod.containers) or not pod.containers:
                pod.kill()
                pod.start(self.kubernetes)
        primary = self.primary()
        names = [pod.name for pod in self.pods if pod is not primary]
        wait_until(lambda: self.streaming(primary) == dict.fromkeys(names, "quorum"), READY_SECONDS, "the quorum of both")
        # Patroni promotes those whose names it wrote down.
        wait_until(lambda: sorted(self.voters()) == names, READY_SECONDS, "both are written down")
        wait_until(lambda: all(pod.is_ready() for pod in self.pods), READY_SECONDS, "all are ready")
        return primary

    def voters(self):
        return [name for name in self.record("sync").get("sync_standby", "").split(",") if name]

    @staticmethod
    def freeze(pod):
        for container in pod.containers:
            container.signal(signal.SIGSTOP)

    @staticmethod
    def thaw(pod):
        for container in pod.containers:
            if container.process.poll() is None:
                container.signal(signal.SIGCONT)


class Writer:
    """Commits one after the other at whatever is the primary, and knows what was acknowledged and how long nothing was."""

    def __init__(self, instances):
        self.instances = instances
        self.acknowledged = []
        self.longest = 0.0
        self.number = 0
        self.stopped = False
        self.thread = Thread(target=self.run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopped = True
        self.thread.join()

    def commit(self, pod):
        self.number += 1
        insert = "INSERT INTO written VALUES ({})".format(self.number)
        return pod.query(insert, "postgres", "super-1", check=False, seconds=1)[0] == 0

    def run(self):
        last = time.monotonic()
        while not self.stopped:
            for pod in self.instances.pods:
                while self.commit(pod) and not self.stopped:
                    self.acknowledged.append(self.number)
                    self.longest = max(self.longest, time.monotonic() - last)
                    last = time.monotonic()
            time.sleep(0.02)
