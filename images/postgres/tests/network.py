"""A network for several pods: a namespace for each, on one bridge of the tests' own namespace."""

import os
import subprocess
from pathlib import Path

from control_plane import HOST, run, wait_until


class Network:
    def __init__(self):
        self.holders = []
        run("ip", "link", "add", "pods", "type", "bridge")
        run("ip", "addr", "add", HOST + "/24", "dev", "pods")
        run("ip", "link", "set", "pods", "up")

    def join(self, number):
        """A namespace with an address; gives the address and the command that enters it."""
        address = "{}{}".format(HOST, number)
        holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        self.holders.append(holder)
        own = Path("/proc/{}/ns/net".format(holder.pid))
        wait_until(lambda: os.readlink(own) != os.readlink("/proc/self/ns/net"), 30, "a network namespace")
        link = "pod{}".format(number)
        run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", holder.pid)
        run("ip", "link", "set", link, "master", "pods", "up")
        enter = ["nsenter", "--net={}".format(own)]
        run(*enter, "sh", "-c", "ip link set lo up && ip addr add {}/24 dev eth0 && ip link set eth0 up".format(address))
        return address, enter

    def stop(self):
        for holder in self.holders:
            holder.kill()
            holder.wait()
