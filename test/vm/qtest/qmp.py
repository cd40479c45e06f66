# SPDX-License-Identifier: BSD-3-Clause
"""QEMU's machine protocol (QMP): one JSON object a line over a unix socket.

usage: python3 -m qtest.qmp SOCKET COMMAND [NAME=TEXT...]     prints the answer if it is a string
"""

import json
import sys

from .wait import Failure, connect, run_program


class Qmp:
    """A connection that runs one command at a time; events are kept in `events`."""

    def __init__(self, path):
        self.events = []
        self._stream = connect(path)
        self._receive()  # the greeting
        self.command("qmp_capabilities")

    def _receive(self):
        return json.loads(self._stream.receive())

    def command(self, name, **arguments):
        """Run a command and return its value; an error is a Failure."""
        self._stream.send(json.dumps({"execute": name, "arguments": arguments}))
        while True:
            message = self._receive()
            if "return" in message:
                return message["return"]
            if "error" in message:
                raise Failure(f"QMP {name}: {message['error']}")
            self.events.append(message["event"])

    def migration_ended(self):
        """Returns the result of query-migrate once the migration has ended, else None."""
        answer = self.command("query-migrate")
        return answer if answer.get("status") in ("completed", "failed", "cancelled") else None

    def wait_event(self, name):
        """Waits until event `name` has arrived since the last call for it."""
        while name not in self.events:
            message = self._receive()
            if "event" in message:
                self.events.append(message["event"])
        self.events.remove(name)


def main():
    path, name, *arguments = sys.argv[1:]
    answer = Qmp(path).command(name, **dict(argument.split("=", 1) for argument in arguments))
    if isinstance(answer, str):
        print(answer)


if __name__ == "__main__":
    run_program(main)
