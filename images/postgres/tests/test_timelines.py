"""Three instances: two timelines of one number. A part of the database pod's tests (test_pod.py), for one version."""

import os


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
