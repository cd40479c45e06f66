# SPDX-License-Identifier: BSD-3-Clause
"""Sends frames from a netdev; each must come back from another address, once and unchanged.

usage: bounced.py NETDEV SOURCE FRAMES     SOURCE is the address that the frames come back from
"""

import socket
import struct
import sys
import time

ETHERTYPE = 0x88B5  # for local experiments: nobody else here sends it
BURST = 20


def main():
    netdev, source, count = sys.argv[1], bytes.fromhex(sys.argv[2].replace(":", "")), int(sys.argv[3])
    link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETHERTYPE))
    link.bind((netdev, ETHERTYPE))
    own = link.getsockname()[4]
    payloads = [struct.pack(">HI", ETHERTYPE, number).ljust(46 + number * 7 % 1440, b"\x5a")
                for number in range(count)]
    link.settimeout(0.5)
    missing = set()
    # Few at a time, because the socket's buffer is limited.
    for first in range(0, count, BURST):
        missing.update(payloads[first:first + BURST])
        for payload in payloads[first:first + BURST]:
            link.send(source + own + payload)
        deadline = time.monotonic() + 20
        while missing and time.monotonic() < deadline:
            try:
                frame, address = link.recvfrom(2048)
            except socket.timeout:
                continue
            if address[2] == socket.PACKET_OUTGOING:
                continue
            if frame[:12] != own + source or frame[12:] not in missing:
                sys.exit(f"unexpected: {frame[:20].hex()}")
            missing.remove(frame[12:])
        if missing:
            sys.exit(f"{len(missing)} of {BURST} did not come back")
    print(f"{count} frames came back")


if __name__ == "__main__":
    main()
