"""The role manager keeps the roles as the Secrets say. A part of the database pod's tests (test_pod.py)."""

import uuid

from control_plane import wait_until
from sandbox import READY_SECONDS

ROLES = """
SELECT string_agg(concat_ws(' ', rolname, rolcanlogin, rolsuper, rolcreatedb, rolcreaterole, rolreplication), ', ' ORDER BY rolname)
FROM pg_roles WHERE rolname IN ('postgres', 'replicator', 'rates_owner', 'rates_migrator', 'rates_service', 'rates_a', 'rates_b', 'rates_monitor')"""

RIGHT_ROLES = (
    "postgres t t t t t, rates_a t f f f f, rates_b f f f f f, rates_migrator t f f f f, rates_monitor t f f f f, rates_owner f f t f f,"
    " rates_service f f f f f, replicator t f f f t"
)
RIGHT_MEMBERS = """
SELECT concat_ws(' ', pg_has_role('rates_a', 'rates_service', 'USAGE'), pg_has_role('rates_a', 'rates_owner', 'MEMBER'),
  pg_has_role('rates_migrator', 'rates_owner', 'USAGE'), pg_has_role('rates_monitor', 'pg_monitor', 'USAGE'))"""


class RoleTests:
    def test_a_changed_secret_is_followed_and_the_other_login_goes_on(self):
        pod = self.ready_pod()
        old = dict(pod.login)
        pod.write_secret("app", username="rates_b", password='new "$HOME" `id` \\ \'')
        wait_until(lambda: pod.query("SELECT 1", check=False)[0] == 0, READY_SECONDS, "the new login works")
        self.assertEqual(pod.query("SELECT 1", user=old["username"], password=old["password"]), "1")
        pod.write_secret("app", username="rates_a", password="third")
        wait_until(lambda: pod.query("SELECT 1", check=False)[0] == 0, READY_SECONDS, "the third login works")
        self.assertNotEqual(pod.query("SELECT 1", "rates_a", old["password"], check=False)[0], 0)
        pod.write_secret("admin", **{"superuser-password": "super-2", "replication-password": "replica-2"})
        wait_until(
            lambda: pod.query("SELECT 1", "postgres", "super-2", check=False)[0] == 0, READY_SECONDS, "the superuser's"
        )

    def test_a_password_is_rotated_through_the_other_login(self):
        pod = self.ready_pod()
        old = dict(pod.login)
        passwords = {"superuser-password": "super-1", "replication-password": "replica-1"}
        following = {"next-username": "rates_b", "next-password": "next ' \\ one", "next-id": "0123456789"}
        works = lambda user, password: pod.query("SELECT 1", user, password, check=False)[0] == 0

        pod.write_secret("admin", **passwords, **following)
        told = lambda: self.annotation("rates.internal/next-login") == "0123456789"
        wait_until(told, READY_SECONDS, "the operator is told")
        self.assertTrue(works("rates_b", following["next-password"]), "it works as soon as that is told")
        self.assertTrue(works(old["username"], old["password"]), "and so does the one in use")

        # The admin Secret's file may change before the application's does.
        pod.write_secret("admin", **passwords, **{"retired-username": "rates_a"})
        pod.restart_roles()
        wait_until(lambda: (pod.run / "roles-applied").exists(), READY_SECONDS, "the roles were looked at")
        self.assertTrue(works(old["username"], old["password"]), "still in use as far as can be seen")

        pod.write_secret("app", username="rates_b", password=following["next-password"])
        wait_until(lambda: not works(old["username"], old["password"]), READY_SECONDS, "the old one is shut")
        self.assertTrue(works("rates_b", following["next-password"]))
        self.assertEqual(self.superuser(pod, "SELECT rolpassword IS NULL FROM pg_authid WHERE rolname = 'rates_a'"), "t")

        # And back, with a new password.
        pod.write_secret("admin", **passwords, **{"next-username": "rates_a", "next-password": "third", "next-id": "2"})
        wait_until(lambda: self.annotation("rates.internal/next-login") == "2", READY_SECONDS, "it is told again")
        self.assertTrue(works("rates_a", "third"))
        self.assertNotIn("third", pod.roles.log() + pod.postgres.log())

    def test_roles_that_were_changed_in_the_database_are_repaired(self):
        pod = self.ready_pod()
        damages = (
            "ALTER ROLE rates_a PASSWORD 'other'",
            "ALTER ROLE rates_a NOLOGIN",
            "REVOKE rates_owner FROM rates_migrator",
            "REVOKE rates_service FROM rates_a",
            "ALTER ROLE rates_owner NOCREATEDB",
            "ALTER ROLE rates_b SUPERUSER",
            "REVOKE pg_monitor FROM rates_monitor",
            "DROP ROLE replicator",
        )
        for number, damage in enumerate(damages):
            with self.subTest(damage):
                if damage.startswith("DROP"):
                    self.superuser(pod, "DROP OWNED BY replicator")
                self.superuser(pod, damage)
                # The first is found at the half minute's look, the others when the role manager starts anew.
                if number:
                    pod.restart_roles()
                wait_until(
                    lambda: pod.query("SELECT 1", check=False)[0] == 0
                    and self.superuser(pod, ROLES)
                    == RIGHT_ROLES
                    and self.superuser(pod, RIGHT_MEMBERS) == "t f t t",
                    READY_SECONDS,
                    "the roles are right again",
                )

    def test_a_login_that_is_neither_of_the_two_is_refused_in_words(self):
        pod = self.pod()
        pod.write_secret("app", username="postgres", password="x")
        pod.start(self.kubernetes)
        wait_until(lambda: "it must be rates_a or rates_b" in pod.roles.log(), READY_SECONDS, "the sentence")
        self.assertFalse(pod.is_ready())

    def test_no_password_is_logged(self):
        pod = self.ready_pod()
        self.superuser(pod, "ALTER SYSTEM SET log_statement = 'all'")
        self.superuser(pod, "ALTER SYSTEM SET log_min_duration_statement = 0")
        self.superuser(pod, "SELECT pg_reload_conf()")
        pod.write_secret("app", username="rates_b", password="unmistakable-1")
        pod.write_secret("admin", **{"superuser-password": "unmistakable-2", "replication-password": "unmistakable-3"})
        wait_until(lambda: pod.query("SELECT 1", check=False)[0] == 0, READY_SECONDS, "the new login works")
        wait_until(
            lambda: pod.query("SELECT 1", "postgres", "unmistakable-2", check=False)[0] == 0, READY_SECONDS, "postgres"
        )
        container = pod.load(str(uuid.uuid4()), b"SELECT broken;")
        self.assertEqual(pod.loaded(container)[0], 1)
        logs = pod.postgres.log() + pod.roles.log() + pod.loader.log()
        self.assertIn("SELECT broken", logs)
        self.assertNotIn("unmistakable", logs)
