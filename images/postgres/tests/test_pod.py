"""The database pod end to end, from its entry points, for each image.

`run` starts it; what it needs is told by the environment:
  RATES_TEST_POSTGRES_IMAGES  VERSION=ARCHIVE, comma-separated
  RATES_TEST_EXPORTER_IMAGE   the archive of the exporter's image
  RATES_TEST_KUBE             the local cluster's `kube`
  RATES_TEST_KUBECTL          kubectl
  RATES_TEST_KILLS            how many kills during creation (5)

The last line on standard output counts the tests as libtest does.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

from control_plane import Kubernetes, wait_until
from instances import Instances
from sandbox import READY_SECONDS, Image, Pod, say
from sharing import Environments
from test_copies import CopyTests
from test_creation import CreationTests
from test_data import DataTests
from test_election import ElectionTests
from test_exporter import ExporterTests
from test_instances import InstancesTests
from test_load import LoadTests
from test_privileges import PrivilegeTests
from test_rest_api import RestApiTests
from test_revocation import RevocationTests
from test_roles import RoleTests
from test_seed import SeedTests
from test_shares import ShareFailoverTests, ShareTests
from test_stop import StopTests
from test_supervision import SupervisionTests
from test_timelines import TimelineTests


class ImageTests:
    """A version's image, beside a control plane of its own."""

    version = None

    @classmethod
    def setUpClass(cls):
        archives = dict(
            entry.split("=", 1) for entry in os.environ.get("RATES_TEST_POSTGRES_IMAGES", "").split(",") if entry
        )
        cls.archives = archives
        if cls.version not in archives:
            raise unittest.SkipTest("RATES_TEST_POSTGRES_IMAGES names no archive for {}".format(cls.version))
        cls.folder = Path(tempfile.mkdtemp(prefix="rates-pod-"))
        cls.folder.chmod(0o755)
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        (cls.folder / "kube").mkdir()
        cls.kubernetes = Kubernetes(
            cls.folder / "kube", os.environ["RATES_TEST_KUBE"], os.environ["RATES_TEST_KUBECTL"]
        )
        cls.addClassCleanup(cls.kubernetes.stop)
        cls.kubernetes.start()
        cls.image = Image(archives[cls.version], cls.folder / "root")

    def tell_if_failed(self, pod):
        if any(test is self for test, _ in self._outcome.result.errors + self._outcome.result.failures):
            for name in ("postgres", "roles", "load", "exporter"):
                path = pod.folder / (name + ".log")
                if path.exists():
                    say("--- {} {}\n{}".format(pod.name, name, path.read_text(errors="replace")[-4000:]))


class PodTests(ImageTests, CreationTests, ExporterTests, PrivilegeTests, RevocationTests, RoleTests, SeedTests):
    """The tests of one pod that depend on PostgreSQL's version; the classes below name one."""

    def setUp(self):
        self.kubernetes.make_environment()
        self.addCleanup(self.kubernetes.remove_environment)

    def pod(self):
        pod = Pod(self.image, tempfile.mkdtemp(prefix="pod-", dir=self.folder))
        pod.folder.chmod(0o755)
        self.addCleanup(self.throw_away, pod)
        return pod

    def throw_away(self, pod):
        pod.kill()
        self.tell_if_failed(pod)
        shutil.rmtree(pod.folder)

    def ready_pod(self):
        pod = self.pod()
        pod.start(self.kubernetes)
        self.wait_ready(pod)
        return pod

    def wait_ready(self, pod):
        started = time.monotonic()
        wait_until(pod.is_ready, READY_SECONDS, "the pod is ready")
        return time.monotonic() - started

    def background(self, pod, *statements):
        """The application's statements in database `rates`, while the test goes on."""
        uri = "postgresql://{username}@127.0.0.1:5432/rates?application_name=batch".format(**pod.login)
        command = ["/usr/sbin/chroot", str(self.image.root), "/usr/bin/env", "PATH=" + pod.path(), "psql", "-X", "-q", uri]
        session = subprocess.Popen(
            [*command, *(part for statement in statements for part in ("-c", statement))],
            env={"PGPASSWORD": pod.login["password"]},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.addCleanup(session.kill)
        return session

    def superuser(self, pod, sql):
        return pod.query(sql, user="postgres", password=self.admin(pod, "superuser-password"))

    def admin(self, pod, key):
        return (pod.secrets / "admin" / key).read_text()

    # What Patroni and the role manager keep in Kubernetes

    def config(self):
        return json.loads(self.kubernetes.config_maps()["x-postgres-config"]["annotations"]["config"])

    def write_config(self, config):
        annotation = json.dumps({"metadata": {"annotations": {"config": json.dumps(config)}}})
        self.kubernetes.kubectl("patch", "configmap", "x-postgres-config", "--type=merge", "-p", annotation)

    def leader(self, annotation):
        return (self.kubernetes.config_maps()["x-postgres-leader"].get("annotations") or {}).get(annotation)

    def annotation(self, name):
        pod = json.loads(self.kubernetes.kubectl("get", "pod", "x-postgres-0", "-o", "json"))
        return pod["metadata"].get("annotations", {}).get(name)


class SeveralTests(ImageTests, InstancesTests):
    """The tests of three pods, which share them."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.instances = Instances(cls.kubernetes, cls.image, cls.folder)
        cls.addClassCleanup(cls.instances.stop)

    def setUp(self):
        self.addCleanup(lambda: [self.tell_if_failed(pod) for pod in self.instances.pods])


class Shares(ImageTests, ShareTests, unittest.TestCase):
    """The tests of two environments, one for each version, which share them."""

    version = "13.5"
    other = "17"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        images = {"x": cls.image, "y": Image(cls.archives[cls.other], cls.folder / "other-root")}
        cls.environments = Environments(cls.kubernetes, images, cls.folder)
        cls.addClassCleanup(cls.environments.stop)


class Postgres13(PodTests, DataTests, LoadTests, RestApiTests, StopTests, SupervisionTests, unittest.TestCase):
    version = "13.5"


class Postgres17(PodTests, unittest.TestCase):
    version = "17"


class Instances13(SeveralTests, CopyTests, ElectionTests, ShareFailoverTests, TimelineTests, unittest.TestCase):
    version = "13.5"


class Instances17(SeveralTests, unittest.TestCase):
    version = "17"


class Part(unittest.TestLoader):
    """Every so many of the tests, as RATES_TEST_PART says: `1/2` are the first, the third and so on."""

    def getTestCaseNames(self, case):
        part, parts = (int(number) for number in os.environ.get("RATES_TEST_PART", "1/1").split("/"))
        return super().getTestCaseNames(case)[part - 1 :: parts]


def main():
    program = unittest.main(verbosity=2, exit=False, testLoader=Part())
    result = program.result
    failed = len(result.failures) + len(result.errors)
    skipped = len(result.skipped)
    # As Rust's runner tells failures, for `cargo xtask test` to repeat.
    for test, traceback in [*result.failures, *result.errors]:
        print(f"---- {test.id()} ----\n{traceback}")
    if failed:
        print("failures:")
    print(
        "test result: {}. {} passed; {} failed; {} ignored; 0 measured; 0 filtered out".format(
            "ok" if result.wasSuccessful() else "FAILED",
            result.testsRun - failed - sum(1 for test, _ in result.skipped if isinstance(test, unittest.TestCase)),
            failed,
            skipped,
        )
    )
    sys.exit(0 if result.wasSuccessful() else 1)


if __name__ == "__main__":
    main()
