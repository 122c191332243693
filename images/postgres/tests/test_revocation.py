"""A password that leaked opens nothing any more once it is not in the Secrets, and whoever used it is put out. A part
of the database pod's tests (test_pod.py)."""

import subprocess

from control_plane import wait_until
from sandbox import READY_SECONDS

ADMIN = {"superuser-password": "super-1", "replication-password": "replica-1", "patroni-password": "patroni-1"}


class RevocationTests:
    def opens(self, pod, user, password):
        return pod.query("SELECT 1", user, password, check=False)[0] == 0

    def session_of(self, pod, user, password):
        uri = "postgresql://{}@127.0.0.1:5432/postgres?application_name=intruder-{}".format(user, user)
        command = ["/usr/sbin/chroot", str(self.image.root), "/usr/bin/env", "PATH=" + pod.path(), "psql", "-X", "-q", uri]
        session = subprocess.Popen(
            [*command, "-c", "SELECT pg_sleep(3600)"],
            env={"PGPASSWORD": password},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.addCleanup(session.kill)
        return session

    def intruder(self, pod, user, password):
        """A session that was opened with a password, and does not end by itself."""
        session = self.session_of(pod, user, password)
        wait_until(lambda: "intruder-" + user in self.sessions(pod), READY_SECONDS, "the intruder is in")
        return session

    def ask(self, pod, query):
        """Asks over the socket, as every password may be another by now."""
        asked = pod.roles.execute(
            *["/usr/bin/env", "PATH=" + pod.path(), "psql", "-X", "-At", "-h", "/var/run/postgresql", "-U", "postgres"],
            *["-c", "\\o /tmp/answer", "-c", query],
        )
        asked.wait(READY_SECONDS)
        return (pod.roles.tmp / "answer").read_text()

    def sessions(self, pod):
        """The names of the sessions."""
        return self.ask(pod, "SELECT application_name FROM pg_stat_activity")

    def in_force(self, pod, user, password, what):
        """Waits until a password works and the sessions from before it are ended: until then one that was opened with it
        may be taken for one of them."""
        wait_until(lambda: self.opens(pod, user, password), READY_SECONDS, what)
        since = "SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = '{}'".format(user)
        wait_until(lambda: "infinity" not in self.ask(pod, since), READY_SECONDS, what + ", and the sessions from before end")

    def put_out(self, session, what):
        wait_until(lambda: session.poll() is not None, READY_SECONDS, what)

    def rotated(self, pod):
        """As a rotation leaves it: the other login is in use."""
        pod.write_secret("admin", **ADMIN, **{"retired-username": "rates_a"})
        pod.write_secret("app", username="rates_b", password="leaked")
        self.in_force(pod, "rates_b", "leaked", "the other login is in use")

    def test_a_secret_made_anew_revokes_the_password_of_the_login_after_a_rotation(self):
        pod = self.ready_pod()
        self.rotated(pod)
        intruder = self.intruder(pod, "rates_b", "leaked")
        pod.write_secret("app", username="rates_b", password="fresh")
        self.in_force(pod, "rates_b", "fresh", "the new password works")
        self.assertFalse(self.opens(pod, "rates_b", "leaked"))
        self.put_out(intruder, "its session is ended")
        # Nobody who came with the password of now is put out, however often it is looked at.
        user = self.intruder(pod, "rates_b", "fresh")
        pod.restart_roles()
        wait_until(lambda: (pod.run / "roles-applied").exists(), READY_SECONDS, "the roles were looked at")
        self.assertIsNone(user.poll())

    def test_a_secret_made_anew_with_the_other_login_shuts_both_passwords(self):
        pod = self.ready_pod()
        self.rotated(pod)
        intruder = self.intruder(pod, "rates_b", "leaked")
        pod.write_secret("admin", **ADMIN, **{"retired-username": "rates_b"})
        pod.write_secret("app", username="rates_a", password="fresh")
        wait_until(lambda: self.opens(pod, "rates_a", "fresh"), READY_SECONDS, "the new password works")
        wait_until(lambda: not self.opens(pod, "rates_b", "leaked"), READY_SECONDS, "the leaked one does not")
        self.assertFalse(self.opens(pod, "rates_a", "first' \\ password"))
        self.put_out(intruder, "its session is ended")

    def test_a_secret_made_anew_in_the_midst_of_a_rotation_shuts_both_passwords(self):
        pod = self.ready_pod()
        following = {"next-username": "rates_b", "next-password": "leaked", "next-id": "1"}
        pod.write_secret("admin", **ADMIN, **following)
        self.in_force(pod, "rates_b", "leaked", "the next login works")
        intruders = [self.intruder(pod, "rates_b", "leaked"), self.intruder(pod, "rates_a", pod.login["password"])]
        pod.write_secret("app", username="rates_a", password="fresh")
        pod.write_secret("admin", **ADMIN, **{"retired-username": "rates_b"})
        wait_until(lambda: self.opens(pod, "rates_a", "fresh"), READY_SECONDS, "the new password works")
        wait_until(lambda: not self.opens(pod, "rates_b", "leaked"), READY_SECONDS, "the leaked one does not")
        for intruder in intruders:
            self.put_out(intruder, "its session is ended")

    def test_an_admin_secret_made_anew_revokes_what_it_held_and_leaves_who_came_without_a_password(self):
        pod = self.ready_pod()
        intruders = [self.intruder(pod, "replicator", "replica-1"), self.intruder(pod, "postgres", "super-1")]
        self.assertIn("Patroni", self.sessions(pod))
        fresh = {"superuser-password": "super-2", "replication-password": "replica-2", "patroni-password": "patroni-2"}
        pod.write_secret("admin", **fresh)
        wait_until(lambda: self.opens(pod, "postgres", "super-2"), READY_SECONDS, "the superuser's new password works")
        wait_until(lambda: self.opens(pod, "replicator", "replica-2"), READY_SECONDS, "so does the replication's")
        self.assertFalse(self.opens(pod, "postgres", "super-1") or self.opens(pod, "replicator", "replica-1"))
        for intruder in intruders:
            self.put_out(intruder, "its session is ended")
        self.assertIn("Patroni", self.sessions(pod))

    def test_whoever_holds_every_connection_cannot_hold_up_a_revocation(self):
        config = {"ttl": 20, "loop_wait": 5, "retry_timeout": 5, "failsafe_mode": True}
        config["postgresql"] = {"parameters": {"max_connections": 25}}
        self.write_config(config)
        pod = self.ready_pod()
        leaked = pod.login["password"]
        for _ in range(25):
            self.session_of(pod, "rates_a", leaked)
        wait_until(lambda: not self.opens(pod, "rates_a", leaked), READY_SECONDS, "no connection is left")
        pod.write_secret("app", username="rates_a", password="fresh")
        wait_until(lambda: self.opens(pod, "rates_a", "fresh"), READY_SECONDS, "the new password works")
        self.assertFalse(self.opens(pod, "rates_a", leaked))
