# SPDX-License-Identifier: BSD-3-Clause
"""The other side of a device: numbered frames over a netdev, such as a tap.

It sends all the time, on its own thread. Received frames are read when `take` is called.
"""

import socket
import struct
import threading

from .traffic import PEER
from .wait import Failure

_ETHERTYPE = 0x88B5  # of what the driver sends
_IPV4 = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 48, 0, 0, 1, 17, 0, b"\x0a\x63\0\1", b"\x0a\x63\0\2")
_HEAD = struct.Struct(f">6s6sH{len(_IPV4)}sHHHHI")
_FLOWS = 16  # a tap spreads them over its queues
_EVERY = 0.02  # seconds
_SO_RCVBUFFORCE, _BUFFER = 33, 1 << 24  # Python has no name for it


def peer_frame(target, number):
    """Returns a UDP datagram with the number, of one of several flows."""
    return _HEAD.pack(target, PEER, 0x0800, _IPV4, 1024 + number % _FLOWS, 9, 28, 0,
                      number) + bytes(16)


def number_of(frame):
    """Returns the number of a frame that the peer has sent."""
    target, number = frame[:6], struct.unpack_from(">I", frame, _HEAD.size - 4)[0]
    if frame != peer_frame(target, number):
        raise Failure(f"a frame that nobody sent: {frame[:24].hex()}")
    return number


class Peer:
    def __init__(self, netdev, target):
        """`target`: the MAC address that it sends to."""
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETHERTYPE))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        self._socket.bind((netdev, _ETHERTYPE))  # what else comes is not looked at
        self._target, self._stopping = target, threading.Event()
        self.sent = 0
        self._thread = threading.Thread(target=self._send)
        self._thread.start()

    def _send(self):
        while not self._stopping.wait(_EVERY):
            self._socket.send(peer_frame(self._target, self.sent))
            self.sent += 1

    def stop(self):
        self._stopping.set()
        self._thread.join()

    def take(self):
        """Returns the frames from the driver that have arrived since the last call."""
        frames = []
        while True:
            try:
                data, address = self._socket.recvfrom(65536, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return frames
            if address[2] != socket.PACKET_OUTGOING:
                frames.append(data)

