"""Three instances: two timelines of one number. A part of the database pod's tests (test_pod.py), for one version."""

import os
import shutil
import time

from control_plane import wait_until
from sandbox import READY_SECONDS


class TimelineTests:
    def position(self, primary):
        return int(self.superuser(primary, "SELECT pg_current_wal_lsn() - '0/0'"))

    def test_an_instance_that_knows_another_timeline_of_the_same_number_is_copied(self):
        primary = self.instances.healthy()
        standby = self.instances.standbys()[0]
        before = self.identity(standby)
        self.superuser(primary, "CHECKPOINT")
        self.superuser(standby, "CHECKPOINT")
        timeline = int(self.superuser(primary, "SELECT timeline_id FROM pg_control_checkpoint()"))
        logs = self.lost(standby) / "pg_wal"
        own = logs / "{:08X}.history".format(timeline)
        history = own.read_text() if own.exists() else ""
        # Of a primary that was lost as soon as it was promoted, and whom nobody else had heard of.
        other = logs / "{:08X}.history".format(timeline + 1)
        lsn = self.position(primary)
        other.write_text("{}{}\t{:X}/{:X}\tno recovery target specified\n".format(history, timeline, lsn >> 32, lsn & 0xFFFFFFFF))
        os.chown(other, 999, 999)
        self.assertIs(self.instances.healthy(), primary)
        self.assertIn("its timeline {} is not one of {}".format(timeline + 1, primary.name), standby.postgres.log())
        self.assertNotEqual(self.identity(standby), before)
        self.only_the_data_is_there(standby)

    def test_a_copy_from_which_no_server_has_started_yet_gets_no_log_of_its_own(self):
        primary = self.instances.healthy()
        self.superuser(primary, "CREATE TABLE IF NOT EXISTS written (n bigint)")
        standby = self.instances.standbys()[0]
        data = self.lost(standby)
        # As rates-postgres-clone makes it, and is killed before Patroni starts a server.
        copied = primary.postgres.execute(
            "/usr/bin/env", "pg_basebackup", "--pgdata=/data/copy", "--wal-method=stream", "--no-slot", "--checkpoint=fast",
            "--no-password", "--host=/var/run/postgresql", "--username=replicator",
        )
        _, said = copied.communicate(timeout=READY_SECONDS)
        self.assertEqual(copied.returncode, 0, said)
        shutil.rmtree(data)
        (primary.data / "copy").rename(data)
        self.superuser(primary, "INSERT INTO written VALUES (-3)")
        self.assertIs(self.instances.healthy(), primary)
        self.assertEqual(self.superuser(standby, "SELECT count(*) FROM written WHERE n = -3"), "1")
        self.assertIn("backup_label exists", standby.postgres.log())

    def test_a_former_primary_with_more_log_of_a_timeline_that_is_over_is_not_promoted(self):
        former = self.instances.healthy()
        self.superuser(former, "CREATE TABLE IF NOT EXISTS written (n bigint)")
        written_down = self.instances.record("sync")
        self.lost(former)
        second = self.instances.primary()
        third = next(pod for pod in self.instances.pods if pod not in (former, second))
        self.superuser(second, "INSERT INTO written VALUES (-2)")
        # As if it was lost before it wrote down for whom commits wait.
        second.kill()
        self.instances.write_record("sync", {key: written_down[key] for key in ("leader", "sync_standby", "quorum")})
        former.start(self.kubernetes)
        position = "SELECT coalesce(greatest(pg_last_wal_replay_lsn(), pg_last_wal_receive_lsn()), '0/0') - '0/0'"

        def has_more():
            code, own, _ = former.query(position, "postgres", "super-1", check=False)
            return code == 0 and int(own) > int(self.superuser(third, position))

        wait_until(has_more, READY_SECONDS, "the former primary has more log")
        self.instances.write_record("leader", {"leader": None})
        self.assertIs(self.instances.primary(), third)
        self.assertEqual(self.superuser(third, "SELECT count(*) FROM written WHERE n = -2"), "1")
        self.instances.healthy()

    def test_a_new_primary_is_written_down_before_it_is_promoted(self):
        former = self.instances.healthy()
        timeline = int(self.superuser(former, "SELECT timeline_id FROM pg_control_checkpoint()"))
        began = "{:08X}.history".format(timeline + 1)
        with self.kubernetes.watch("configmap", "x-postgres-sync") as states:
            former.kill()
            while states()[-1]["leader"] == former.name:
                time.sleep(0.005)
            first = states()[-1]
            successor = self.instances.named(first["leader"])
            # Before the promotion this server is started anew, which takes longer than this look.
            self.assertFalse((successor.data / "pgdata/pg_wal" / began).exists(), "it is promoted already")
        others = sorted(pod.name for pod in self.instances.pods if pod is not successor)
        self.assertEqual((sorted(first["sync_standby"].split(",")), first["quorum"]), (others, "1"))
        self.assertIs(self.instances.healthy(), successor)
