# SPDX-License-Identifier: BSD-3-Clause
"""Sends frames into the tap and checks which of them pass the device's filter to its netdev.

The last frame of each volley is an untagged broadcast, which passes every filter tried here. Frames
arrive in order: once the broadcast has arrived, missing frames were filtered.
"""

import ctypes
import socket
import struct
import subprocess

from lab.ask import ask
from qtest.wait import Failure, expect, until

ETHERTYPE = 0x88B5  # for local experiments: nobody else here sends it
SOURCE = bytes.fromhex("0200000000fe")
BROADCAST = b"\xff" * 6
_CLONE_NEWNET, _EVERYTHING = 0x40000000, 3  # ETH_P_ALL


def run(command):
    """Runs a command in the driver's namespace."""
    done = subprocess.run(["ip", "netns", "exec", "guest", *command.split()], check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise Failure(f"{command}: {done.stdout}")


def _packet_socket(interface, protocol):
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(protocol))
    made.bind((interface, protocol))
    return made


def _socket_in_namespace(namespace, interface):
    """Opens a socket that receives every frame of an interface in another namespace.

    A socket stays in the namespace in which it was created.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/self/ns/net", "rb") as own, open(f"/run/netns/{namespace}", "rb") as other:
        if libc.setns(other.fileno(), _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
        try:
            return _packet_socket(interface, _EVERYTHING)
        finally:
            libc.setns(own.fileno(), _CLONE_NEWNET)


class Probe:
    """A tap and a netdev; `mac` is the netdev's address."""

    def __init__(self, netdev, tap="dtap0", namespace="guest"):
        self.netdev = netdev
        self._tap = _packet_socket(tap, ETHERTYPE)
        self._netdev = _socket_in_namespace(namespace, netdev)
        self.mac = self._netdev.getsockname()[4]
        self._volley = 0
        # Linux sends the first frames some time after the tap's link came up.
        until("a frame arrives", lambda: self.arrives(seconds=0.5) is not None)

    def filtered(self):
        """Returns how many frames the receive filter has dropped."""
        return ask("/vduse/stats,vd0")["to_guest"]["dropped_filtered"]

    def arrives(self, *frames, seconds=20.0):
        """Sends frames, each (destination, VLAN or None), and returns those that arrive.

        Returns None if not even the broadcast after them arrives.
        """
        self._volley += 1
        frames = [*frames, (BROADCAST, None)]
        for number, (destination, vlan) in enumerate(frames):
            tag = struct.pack(">HH", 0x8100, vlan) if vlan is not None else b""
            self._tap.send(destination + SOURCE + tag + struct.pack(
                ">HIH", ETHERTYPE, self._volley, number).ljust(46, b"\0"))
        seen = []
        self._netdev.settimeout(seconds)
        while not seen or seen[-1] != len(frames) - 1:
            try:
                frame = self._netdev.recv(2048)
            except socket.timeout:
                return None
            # The kernel has removed the tag.
            kind, volley, number = struct.unpack_from(">HIH", frame.ljust(20), 12)
            if (kind, volley) == (ETHERTYPE, self._volley):
                seen.append(number)
        return [frames[number] for number in sorted(seen[:-1])]

    def check(self, what, frames, wanted):
        """Checks that exactly the frames `wanted` arrive and the others are counted as filtered."""
        before = self.filtered()
        seen = self.arrives(*frames)
        if seen is None:
            raise Failure(f"{what}: a broadcast does not arrive")
        print(f"{what}: {len(seen)} of {len(frames)} arrive", flush=True)
        expect(f"{what}: frames that arrive", seen, wanted)
        expect(f"{what}: frames counted as filtered", self.filtered() - before,
               len(frames) - len(wanted))

    @staticmethod
    def wait_for(what, condition):
        """Waits until `condition` holds for the info: Linux sets receive modes with a delay."""
        until(what, lambda: condition(ask("/vduse/info,vd0")), 20,
              lambda: ask("/vduse/info,vd0"))
