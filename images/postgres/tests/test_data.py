"""What is on the volume is kept, and what cannot be served is refused. A part of the database pod's tests (test_pod.py)."""

import os
import shutil
import subprocess

from control_plane import wait_until
from sandbox import READY_SECONDS


class DataTests:
    def test_data_survives_kills_and_a_new_environment(self):
        pod = self.ready_pod()
        pod.own("CREATE DATABASE kept")
        pod.own("CREATE TABLE kept (n int)", database="kept")
        for number in range(5):
            pod.query("INSERT INTO kept VALUES ({})".format(number), database="kept")
            pod.kill()
            pod.start(self.kubernetes)
            self.wait_ready(pod)
        pod.kill()
        self.kubernetes.remove_environment()
        pod.new_temporary_files()
        # An environment made anew on a retained volume: no record of the cluster, other passwords.
        self.kubernetes.make_environment()
        pod.write_secret("app", username="rates_b", password="another")
        pod.write_secret("admin", **{"superuser-password": "super-2", "replication-password": "replica-2"})
        pod.start(self.kubernetes)
        self.wait_ready(pod)
        self.assertEqual(pod.query("SELECT count(*) FROM kept", database="kept"), "5")

    def test_a_killed_server_whose_number_another_program_has_is_started_at_once(self):
        pod = self.ready_pod()
        pod.kill()
        # In a pod whose containers share their processes it is one of the others'; here it is the first one's.
        note = pod.data / "pgdata/postmaster.pid"
        note.write_text("1\n" + note.read_text().split("\n", 1)[1])
        before = len(pod.postgres.log())
        pod.start(self.kubernetes)
        self.wait_ready(pod)
        log = pod.postgres.log()[before:]
        self.assertIn("the server that was process 1 is gone, and dash has its number", log)
        self.assertNotIn('lock file "postmaster.pid" already exists', log)

    def test_a_lost_volume_is_not_replaced_by_an_empty_cluster(self):
        pod = self.ready_pod()
        pod.kill()
        shutil.rmtree(pod.data / "pgdata")
        pod.start(self.kubernetes)
        wait_until(lambda: "exists already" in pod.postgres.log(), READY_SECONDS, "the pod says what it waits for")
        self.assertFalse((pod.data / "pgdata.new").exists())

    def test_an_incomplete_data_directory_is_refused_and_left(self):
        pod = self.pod()
        (pod.data / "pgdata").mkdir()
        (pod.data / "pgdata/precious").write_text("data")
        os.chown(pod.data / "pgdata", 999, 999)
        pod.start(self.kubernetes)
        self.assertEqual(pod.postgres.process.wait(READY_SECONDS), 1)
        self.assertIn("is not a complete cluster", pod.postgres.log())
        self.assertEqual((pod.data / "pgdata/precious").read_text(), "data")

    def test_data_of_another_major_version_is_refused_and_left(self):
        pod = self.pod()
        (pod.data / "pgdata/global").mkdir(parents=True)
        (pod.data / "pgdata/PG_VERSION").write_text("9\n")
        (pod.data / "pgdata/global/pg_control").write_text("x")
        pod.start(self.kubernetes)
        self.assertEqual(pod.postgres.process.wait(READY_SECONDS), 1)
        self.assertIn("was made by PostgreSQL 9", pod.postgres.log())
        self.assertTrue((pod.data / "pgdata/PG_VERSION").exists())

    def test_a_read_only_volume_is_said_to_be_one(self):
        pod = self.pod()
        subprocess.run(["mount", "--bind", pod.data, pod.data], check=True)
        self.addCleanup(subprocess.run, ["umount", pod.data], check=True)
        subprocess.run(["mount", "-o", "remount,bind,ro", pod.data], check=True)
        pod.start(self.kubernetes)
        self.assertEqual(pod.postgres.process.wait(READY_SECONDS), 1)
        self.assertIn("/data is read-only", pod.postgres.log())
        self.assertNotIn("fsGroup", pod.postgres.log())

    def test_a_missing_secret_is_named(self):
        pod = self.pod()
        (pod.secrets / "admin/superuser-password").unlink()
        pod.start(self.kubernetes)
        self.assertEqual(pod.postgres.process.wait(READY_SECONDS), 1)
        self.assertIn("/etc/rates/admin/superuser-password is missing", pod.postgres.log())
