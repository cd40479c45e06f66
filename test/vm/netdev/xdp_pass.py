# SPDX-License-Identifier: BSD-3-Clause
"""Pins an XDP program that passes every frame: python3 -m netdev.xdp_pass PATH, below /sys/fs/bpf."""

import ctypes
import platform
import struct
import sys

XDP_PASS, PROG_LOAD, OBJ_PIN, PROG_TYPE_XDP = 2, 5, 6, 6
MOVE, EXIT = 0xB7, 0x95
BPF = {"x86_64": 321}[platform.machine()]
libc = ctypes.CDLL(None, use_errno=True)


def bpf(command: int, attributes: bytes) -> int:
    buffer = ctypes.create_string_buffer(attributes, 128)
    result = libc.syscall(BPF, command, buffer, 128)
    if result < 0:
        raise OSError(ctypes.get_errno(), f"bpf command {command}")
    return result


def main() -> None:
    code = struct.pack("<BBhiBBhi", MOVE, 0, 0, XDP_PASS, EXIT, 0, 0, 0)
    code_buffer = ctypes.create_string_buffer(code, len(code))
    licence, path = ctypes.create_string_buffer(b"GPL"), ctypes.create_string_buffer(sys.argv[1].encode())
    program = bpf(
        PROG_LOAD,
        struct.pack("<IIQQ", PROG_TYPE_XDP, 2, ctypes.addressof(code_buffer), ctypes.addressof(licence)),
    )
    bpf(OBJ_PIN, struct.pack("<QI", ctypes.addressof(path), program))


main()
