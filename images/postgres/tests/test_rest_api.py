"""Who may change something through Patroni's REST API. A part of the database pod's tests (test_pod.py)."""

import base64
import json
import urllib.error
import urllib.request

from control_plane import wait_until
from sandbox import READY_SECONDS

PATRONI = "http://127.0.0.1:8008/"
# All that Patroni's REST API changes by, and what its members say to each other.
CHANGES = [
    ("PATCH", "config"),
    ("PUT", "config"),
    ("POST", "restart"),
    ("DELETE", "restart"),
    ("POST", "reload"),
    ("POST", "reinitialize"),
    ("POST", "switchover"),
    ("DELETE", "switchover"),
    ("POST", "failover"),
    ("POST", "failsafe"),
    ("POST", "sigterm"),
    ("POST", "citus"),
    ("POST", "mpp"),
]
READS = ["", "liveness", "readiness", "health", "primary", "patroni", "cluster", "history", "config", "metrics"]


def call(method, path, password=None, body=None):
    """The status of an answer, and its text."""
    headers = {"Content-Type": "application/json"}
    if password is not None:
        headers["Authorization"] = "Basic " + base64.b64encode(("patroni:" + password).encode()).decode()
    data = json.dumps(body or {}).encode() if method != "GET" else None
    request = urllib.request.Request(PATRONI + path, data=data, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def change(password):
    """The status of a change that a person may want, and that shows."""
    return call("PATCH", "config", password, {"postgresql": {"parameters": {"work_mem": "5MB"}}})[0]


class RestApiTests:
    def test_whoever_reads_needs_no_password_and_whoever_changes_does(self):
        pod = self.ready_pod()
        wait_until(lambda: call("GET", "primary")[0] == 200, READY_SECONDS, "it is the primary")
        # Patroni answers 502 until it has read back what it stored at its first start.
        wait_until(lambda: call("GET", "config")[0] == 200, READY_SECONDS, "it knows its configuration")
        for path in READS:
            self.assertEqual(call("GET", path)[0], 200, path)
        before = call("GET", "config")
        intruder = {"postgresql": {"parameters": {"archive_mode": "on", "archive_command": "touch /tmp/intruder"}}}
        for method, path in CHANGES:
            for password in (None, "", "super-1"):
                self.assertEqual(call(method, path, password, intruder)[0], 401, (method, path, password))
        self.assertEqual(call("GET", "config"), before)
        # 409 while Patroni itself writes the same object.
        wait_until(lambda: change("patroni-1") == 200, READY_SECONDS, "the password lets a change in")
        wait_until(lambda: pod.query("SHOW work_mem") == "5MB", READY_SECONDS, "the change is in force")
        for container in (pod.postgres, pod.roles):
            self.assertNotIn("patroni-1", container.log() + container.command_lines())

    def test_a_changed_password_of_the_rest_api_is_followed(self):
        pod = self.ready_pod()
        passwords = {"superuser-password": "super-2", "replication-password": "replica-2"}
        pod.write_secret("admin", **passwords, **{"patroni-password": "patroni-2"})
        wait_until(lambda: change("patroni-2") == 200, READY_SECONDS, "the new password works")
        self.assertEqual(change("patroni-1"), 401)

    def test_without_a_password_in_the_secret_the_rest_api_takes_no_change(self):
        pod = self.pod()
        passwords = {"superuser-password": "super-1", "replication-password": "replica-1"}
        pod.write_secret("admin", **passwords)
        pod.start(self.kubernetes)
        self.wait_ready(pod)
        for password in (None, "", "None"):
            self.assertEqual(change(password), 401)
        self.assertIn("/etc/rates/admin/patroni-password is missing", pod.postgres.log())
        # An operator that knows the key adds it to the Secret that is there.
        pod.write_secret("admin", **passwords, **{"patroni-password": "patroni-1"})
        wait_until(lambda: change("patroni-1") == 200, READY_SECONDS, "the password works once it is there")
