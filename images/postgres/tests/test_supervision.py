"""A container whose processes are killed is back by itself, without the kubelet. A part of the database pod's tests
(test_pod.py)."""

import contextlib
import os
import re
import signal
import time
from pathlib import Path

from control_plane import wait_until
from sandbox import READY_SECONDS, say

EVERYTHING = ("/bin/sh", "-c", "kill -KILL -1")


class SupervisionTests:
    def processes(self, container, program):
        """The container's processes that run a program, as the machine numbers them, the youngest last."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                inside = os.readlink(process / "root") == str(container.pod.image.root)
                same = os.readlink(process / "ns/pid") == os.readlink("/proc/{}/ns/pid".format(container.first_process()))
                if inside and same and program in (process / "cmdline").read_text():
                    found.append(int(process.name))
            except OSError:
                pass
        return sorted(found)

    def patroni(self, pod):
        first = pod.postgres.first_process()
        return next((number for number in self.processes(pod.postgres, "rates-postgres") if number != first), None)

    def server(self, pod):
        return int((pod.data / "pgdata/postmaster.pid").read_text().split()[0])

    @staticmethod
    def children(process):
        """Those of all of its threads. Read at once, as some live for milliseconds."""
        found = []
        for children in Path("/proc/{}/task".format(process)).glob("*/children"):
            with contextlib.suppress(OSError):
                found += map(int, children.read_text().split())
        return found

    @staticmethod
    def signals(process, which):
        status = Path("/proc/{}/status".format(process)).read_text()
        return int(re.search(which + r":\s*(\w+)", status).group(1), 16)

    def writes(self, pod):
        return pod.query("SELECT pg_logical_emit_message(true, 'x', 'x')", "postgres", "super-1", check=False)[0] == 0

    def test_a_container_whose_processes_are_all_killed_five_times_in_a_row_is_back_in_seconds(self):
        pod = self.ready_pod()
        first = pod.postgres.first_process()
        times = []
        for _ in range(5):
            killed = time.monotonic()
            pod.postgres.execute(*EVERYTHING).wait()
            self.assertFalse(self.writes(pod))
            wait_until(lambda: self.writes(pod), READY_SECONDS, "it takes writes")
            times.append(time.monotonic() - killed)
        say("{}: all processes killed, writes after {} s".format(self.version, ", ".join(map("{:.1f}".format, times))))
        wait_until(pod.is_ready, READY_SECONDS, "the pod is ready")
        self.assertEqual(pod.postgres.first_process(), first)
        # The kubelet would wait 10, 20, 40, 80 and 160 s.
        self.assertEqual(re.findall(r"it is started again in (\d+) s", pod.postgres.log()), ["0", "0", "1", "1", "2"])
        # And an end in order is one still.
        self.assertEqual(pod.postgres.terminate(), 0)
        self.assertIn("database system is shut down", pod.postgres.log())

    def test_a_patroni_that_is_killed_comes_back_to_the_server_that_goes_on(self):
        pod = self.ready_pod()
        server, patroni = self.server(pod), self.patroni(pod)
        pod.own("CREATE DATABASE rates")
        session = self.session(pod, "SELECT 1")
        os.kill(patroni, signal.SIGKILL)
        wait_until(lambda: self.patroni(pod) not in (None, patroni), READY_SECONDS, "another Patroni")
        renewed = self.leader("renewTime")
        wait_until(lambda: self.leader("renewTime") != renewed, READY_SECONDS, "it leads")
        wait_until(pod.is_ready, READY_SECONDS, "the pod is ready")
        self.assertEqual(self.server(pod), server)
        self.assertIsNone(session.poll(), "a session has noticed nothing")
        self.assertNotIn("not properly shut down", pod.postgres.log())
        # Nothing is beside it, and the end in order ends it, too.
        # A process of the server is called as the server until it has a title of its own.
        wait_until(lambda: len(self.processes(pod.postgres, "-D\0/data/pgdata")) == 1, READY_SECONDS, "there is one server")
        self.assertEqual(pod.postgres.terminate(), 0)
        self.assertIn("database system is shut down", pod.postgres.log())

    def test_a_server_that_is_killed_is_started_again(self):
        pod = self.ready_pod()
        server = self.server(pod)
        killed = time.monotonic()
        pod.postgres.execute("/bin/sh", "-c", "kill -KILL {}".format(server)).wait()
        wait_until(lambda: self.writes(pod) and self.server(pod) != server, READY_SECONDS, "it takes writes")
        say("{}: the server killed, writes after {:.1f} s".format(self.version, time.monotonic() - killed))

    def test_a_pod_that_is_ended_while_its_server_is_being_started_ends(self):
        pod = self.ready_pod()
        patroni = self.patroni(pod)
        pod.postgres.execute("/bin/sh", "-c", "kill -KILL {}".format(self.server(pod))).wait()
        deadline = time.monotonic() + READY_SECONDS
        # It is met before it has handlers of its own: Patroni starts it by a process in between.
        while not (starting := [server for starter in self.children(patroni) for server in self.children(starter)]):
            self.assertLess(time.monotonic(), deadline, "the server is started anew")
        os.kill(starting[0], signal.SIGSTOP)
        try:
            os.kill(pod.postgres.first_process(), signal.SIGTERM)
            stop = 1 << signal.SIGINT - 1
            wait_until(lambda: self.signals(starting[0], "ShdPnd") & stop, READY_SECONDS, "the server is told to end")
        finally:
            os.kill(starting[0], signal.SIGCONT)
        self.assertEqual(pod.postgres.process.wait(READY_SECONDS), 0)

    def test_what_a_killed_first_start_left_running_does_not_run_beside_the_next(self):
        pod = self.pod()
        pod.start(self.kubernetes)
        wait_until(lambda: self.processes(pod.postgres, "initdb"), READY_SECONDS, "initdb runs")
        os.kill(self.patroni(pod), signal.SIGKILL)
        self.wait_ready(pod)
        self.assertEqual(pod.postgres.log().count("the new cluster is complete"), 1)

    def test_a_program_that_is_killed_again_and_again_ends_its_container(self):
        pod = self.ready_pod()
        while pod.postgres.process.poll() is None:
            pod.postgres.execute(*EVERYTHING).wait()
            time.sleep(0.1)
        self.assertEqual(pod.postgres.process.returncode, 128 + signal.SIGKILL)
        self.assertIn("again and again: the container ends", pod.postgres.log())

    def test_a_role_manager_that_is_killed_is_back(self):
        pod = self.ready_pod()
        for _ in range(2):
            pod.roles.execute(*EVERYTHING).wait()
            pod.write_secret("app", username="rates_a", password="after {}".format(time.monotonic()))
            wait_until(lambda: pod.query("SELECT 1", check=False)[0] == 0, READY_SECONDS, "it sets the new password")
        self.assertIsNone(pod.roles.process.poll())
