"""Three instances: replication, and how the primary moves. A part of the database pod's tests (test_pod.py), for every
version; test_copies.py has what does not depend on it."""

from control_plane import wait_until
from instances import Writer
from sandbox import READY_SECONDS, say


class InstancesTests:
    def table(self, primary):
        self.superuser(primary, "CREATE TABLE IF NOT EXISTS written (n bigint)")

    def all_is_there(self, primary, acknowledged):
        found = {int(n) for n in self.superuser(primary, "SELECT n FROM written").split()}
        self.assertEqual(set(acknowledged) - found, set(), "acknowledged and lost")

    def superuser(self, pod, sql):
        return pod.query(sql, user="postgres", password="super-1")

    def one_is_labelled(self, primary):
        wait_until(lambda: self.instances.labelled("primary") == [primary.name], READY_SECONDS, "one has the primary's label")
        others = [pod.name for pod in self.instances.pods if pod is not primary]
        wait_until(lambda: self.instances.labelled("replica") == others, READY_SECONDS, "the others have the standbys'")

    def test_standbys_stream_and_say_which_timeline_they_get(self):
        primary = self.instances.healthy()
        self.one_is_labelled(primary)
        names = set(primary.query("SELECT datname FROM pg_database").split())
        if "rates" not in names:
            primary.own("CREATE DATABASE rates TEMPLATE template1")
            primary.own("CREATE SCHEMA rates_internal", database="rates")
        asked = "SELECT rates_internal.receiver_timeline()"
        answer = lambda pod: pod.query(asked, database="rates", check=False)
        wait_until(lambda: answer(primary)[:2] == (0, ""), READY_SECONDS, "the function is there, and NULL on the primary")
        timeline = self.superuser(primary, "SELECT timeline_id FROM pg_control_checkpoint()")
        for standby in self.instances.standbys():
            wait_until(lambda standby=standby: answer(standby)[:2] == (0, timeline), READY_SECONDS, "the receiver's timeline")
        owner = "SELECT rolsuper FROM pg_proc JOIN pg_roles r ON r.oid = proowner WHERE proname = 'receiver_timeline'"
        self.assertEqual(primary.query(owner, database="rates"), "t")

    def test_a_stop_in_order_hands_the_primary_over(self):
        primary = self.instances.healthy()
        self.table(primary)
        with Writer(self.instances) as writer:
            wait_until(lambda: len(writer.acknowledged) > 5, READY_SECONDS, "commits")
            # What the kubelet does: the hook, and SIGTERM once that has ended.
            hook = primary.postgres.execute("/usr/local/bin/rates-postgres-drain")
            _, said = hook.communicate(timeout=READY_SECONDS)
            self.assertEqual(hook.returncode, 0, said)
            self.assertIn("Successfully switched over", said)
            successor = self.instances.leader()
            self.assertIsNot(successor, primary)
            primary.roles.terminate()
            primary.postgres.terminate()
            before = len(writer.acknowledged)
            wait_until(lambda: len(writer.acknowledged) > before + 5, READY_SECONDS, "commits go on")
        say("{}: handed over, no commit for {:.1f} s".format(self.version, writer.longest))
        self.assertIs(self.instances.primary(), successor)
        self.instances.healthy()
        self.all_is_there(successor, writer.acknowledged)
        self.one_is_labelled(successor)
        # A server of 13.5 may not be promoted as it is (renewal.py).
        self.assertEqual("the server was started anew" in successor.postgres.log(), self.version == "13.5")

    def test_a_pod_whose_server_is_killed_loses_the_primary_at_once_and_follows(self):
        primary = self.instances.healthy()
        self.table(primary)
        with Writer(self.instances) as writer:
            wait_until(lambda: len(writer.acknowledged) > 5, READY_SECONDS, "commits")
            # The container, for good: the kubelet takes its time when that happens again and again.
            primary.postgres.kill()
            before = len(writer.acknowledged)
            wait_until(lambda: len(writer.acknowledged) > before + 5, READY_SECONDS, "commits go on")
        say("{}: the primary's container killed, no commit for {:.1f} s".format(self.version, writer.longest))
        self.assertIn("the leader key is given up", primary.roles.log())
        successor = self.instances.primary()
        self.assertIn("{} is the primary's pod no more".format(primary.name), successor.postgres.log())
        self.assertEqual(self.instances.labelled("primary"), [successor.name])
        self.instances.healthy()
        self.all_is_there(successor, writer.acknowledged)
        self.one_is_labelled(successor)

    def test_a_postmaster_that_is_killed_is_replaced(self):
        primary = self.instances.healthy()
        self.table(primary)
        with Writer(self.instances) as writer:
            wait_until(lambda: len(writer.acknowledged) > 5, READY_SECONDS, "commits")
            server = (primary.data / "pgdata/postmaster.pid").read_text().split()[0]
            primary.postgres.execute("/bin/sh", "-c", "kill -KILL {}".format(server)).wait()
            before = len(writer.acknowledged)
            wait_until(lambda: len(writer.acknowledged) > before + 5, READY_SECONDS, "commits go on")
        say("{}: the postmaster killed, no commit for {:.1f} s".format(self.version, writer.longest))
        # It does not wait until the key runs out.
        self.assertIn("Primary crashed. Failing over", primary.postgres.log())
        successor = self.instances.healthy()
        self.assertIsNot(successor, primary)
        self.all_is_there(successor, writer.acknowledged)
