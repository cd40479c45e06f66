#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Unfinished frames and what must become of them, by scapy: golden/offloads.pcap, which offload_golden_test.cc reads.

A record of second N is of case N. Its first record is what a guest sends: virtio-net's header of 12 bytes, which
asks for a checksum or for segments, and the frame. The others are the finished frames.

    offload_golden.py           whether the file is what scapy makes
    offload_golden.py --write   writes it
"""
import io
import pathlib
import random
import struct
import sys
import unittest
from ipaddress import ip_address

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent.parent))
sys.dont_write_bytecode = True
from support import gtest_report  # noqa: E402

from scapy.all import (  # noqa: E402
    Dot1AD,
    Dot1Q,
    Ether,
    IP,
    IPOption_NOP,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrHopByHop,
    PadN,
    Raw,
    TCP,
    UDP,
)

FILE = pathlib.Path(__file__).parent / "golden" / "offloads.pcap"
CASES = 48
LINK_TYPE = 147  # DLT_USER0: for private use
NEEDS_CSUM, GSO_TCP4, GSO_TCP6, GSO_ECN = 1, 1, 4, 0x80
FIN, PSH, ACK, CWR = 0x01, 0x08, 0x10, 0x80


def any_frame(rng):
    frame = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    for tag in rng.choice([[], [], [Dot1Q], [Dot1AD, Dot1Q]]):
        frame /= tag(vlan=rng.randrange(1, 4095), prio=rng.randrange(8))
    if rng.random() < 0.5:
        options = [IPOption_NOP()] * (4 * rng.randrange(4))
        frame /= IP(src=str(ip_address(rng.getrandbits(32))), dst=str(ip_address(rng.getrandbits(32))), options=options,
                    id=rng.randrange(65536), flags=rng.choice([0, "DF"]), tos=rng.randrange(256), ttl=rng.randrange(1, 256))
    else:
        frame /= IPv6(src=str(ip_address(rng.getrandbits(128))), dst=str(ip_address(rng.getrandbits(128))),
                      tc=rng.randrange(256), fl=rng.randrange(1 << 20), hlim=rng.randrange(1, 256))
        if rng.random() < 0.3:
            frame /= IPv6ExtHdrHopByHop(options=[PadN(optdata=bytes(4))])
        if rng.random() < 0.3:
            frame /= IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(12))])
    ports = {"sport": rng.randrange(1, 65536), "dport": 443}
    if rng.random() < 0.7:
        frame /= TCP(**ports, seq=rng.choice([rng.getrandbits(32), 0xfffffc00]), ack=rng.getrandbits(32),
                     flags=ACK | rng.choice([0, PSH, FIN | PSH, CWR, CWR | PSH]), window=rng.randrange(65536),
                     options=rng.choice([[], [("NOP", None), ("NOP", None), ("Timestamp", (rng.getrandbits(32), 7))]]))
    else:
        frame /= UDP(**ports)
    return frame / Raw(rng.randbytes(rng.randrange(1, 1400)))


def built(frame):
    """With lengths and sums, as scapy computes them."""
    return Ether(bytes(frame))


def segments(frame, mss):
    """What a network card makes of a large frame."""
    payload = frame[Raw].load
    pieces = [payload[at:at + mss] for at in range(0, len(payload), mss)]
    for number, piece in enumerate(pieces):
        segment = frame.copy()
        segment[Raw].load = piece
        tcp = segment[TCP]
        tcp.seq = (tcp.seq + number * mss) % (1 << 32)
        if number + 1 < len(pieces):
            tcp.flags = int(tcp.flags) & ~(FIN | PSH)
        if number > 0:
            tcp.flags = int(tcp.flags) & ~CWR
        if IP in segment:
            segment[IP].id = (segment[IP].id + number) % 65536
        yield built(segment)


def pseudo_sum(frame, protocol, length):
    ip = frame[IP] if IP in frame else frame[IPv6]
    pseudo = ip_address(ip.src).packed + ip_address(ip.dst).packed + struct.pack("!IHH", length, 0, protocol)
    total = sum(struct.unpack(f"!{len(pseudo) // 2}H", pseudo))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total


def any_case(rng):
    frame = any_frame(rng)
    tcp = TCP in frame
    layer = frame[TCP] if tcp else frame[UDP]
    done = built(frame)
    start = len(done) - len(bytes(done[TCP] if tcp else done[UDP]))
    offset = 16 if tcp else 6
    gso = mss = 0
    expected = [done]
    if tcp and rng.random() < 0.7:
        mss = rng.randrange(32, 900)
        gso = (GSO_TCP4 if IP in frame else GSO_TCP6) | (GSO_ECN if int(layer.flags) & CWR else 0)
        expected = list(segments(frame, mss))
    sent = bytearray(bytes(done))
    struct.pack_into("!H", sent, start + offset, pseudo_sum(done, 6 if tcp else 17, len(sent) - start))
    header = struct.pack("<BBHHHHH", NEEDS_CSUM, gso, 0, mss, start, offset, 1 if not gso else 0)
    return [header + bytes(sent)] + [bytes(made) for made in expected]


def pcap():
    rng = random.Random(20261129)
    out = io.BytesIO()
    out.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, LINK_TYPE))
    for case in range(CASES):
        for record in any_case(rng):
            out.write(struct.pack("<IIII", case, 0, len(record), len(record)) + record)
    return out.getvalue()


class Golden(unittest.TestCase):
    def test_the_file_is_what_scapy_makes(self):
        self.assertTrue(FILE.read_bytes() == pcap(), f"{pathlib.Path(__file__).name} --write makes {FILE.name} anew")


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        FILE.write_bytes(pcap())
    else:
        sys.exit(not gtest_report.main())
