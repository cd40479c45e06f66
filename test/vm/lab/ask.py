# SPDX-License-Identifier: BSD-3-Clause
"""Queries the telemetry socket of a running vduse-dp.

As a program: `ask.py COMMAND EXPRESSION` prints the answer as JSON. The exit status is 1 unless the
Python expression is true; the answer is `a` in it. With -v first, it prints the value of the
expression instead.
"""

import json
import socket
import sys

SOCKET = "/var/run/dpdk/{}/dpdk_telemetry.v2"


def connect(prefix):
    """Returns a connection and the greeting. `prefix`: the value of EAL's --file-prefix."""
    telemetry = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    telemetry.settimeout(20)
    telemetry.connect(SOCKET.format(prefix))
    return telemetry, json.loads(telemetry.recv(65536))


def ask(command, prefix="rte"):
    """Returns the answer to one command; None if DPDK or vduse-dp refused it."""
    telemetry, _ = connect(prefix)
    with telemetry:
        telemetry.send(command.encode())
        return next(iter(json.loads(telemetry.recv(65536)).values()))


def process_id(prefix="rte"):
    """Returns the pid of the program that answers."""
    telemetry, greeting = connect(prefix)
    with telemetry:
        return greeting["pid"]


def main():
    print_value = sys.argv[1] == "-v"
    command, expression = sys.argv[1 + print_value:]
    answer = ask(command)
    value = eval(expression, {"a": answer})  # pylint: disable=eval-used
    print(value if print_value else json.dumps(answer))
    return 0 if value or print_value else 1


if __name__ == "__main__":
    sys.exit(main())
