# SPDX-License-Identifier: BSD-3-Clause
"""Waiting for conditions, and connecting to sockets that appear a little later.

Nothing in these tests sleeps for a fixed time: a condition is polled until it holds or the time
is up, and then what was last seen is part of the error.
"""

import socket
import sys
import time
from contextlib import contextmanager


class Failure(Exception):
    """A check that did not hold; its text says what was expected and what was seen."""


def run_program(main):
    """Run `main` and end the program: with status 1, and a line that says why, after a Failure."""
    try:
        main()
    except Failure as failure:
        print(f"FAIL: {failure}", flush=True)
        sys.exit(1)


def expect(what, seen, expected):
    """Fail unless `seen` equals `expected`."""
    if seen != expected:
        raise Failure(f"{what}\n  expected: {expected}\n  seen:     {seen}")


def until(what, condition, seconds=20.0, seen=None):
    """Poll `condition` until it returns something true, and return that.

    `seen`, when given, is called for the error text when the time is up.
    """
    deadline = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            last = f"\n  seen:     {seen()}" if seen else ""
            raise Failure(f"waited {seconds:g} s in vain\n  expected: {what}{last}")
        time.sleep(0.005)


@contextmanager
def step(text):
    """Names what is checked, in the output and in a failure."""
    print(f"-- {text}", flush=True)
    begin = time.monotonic()
    try:
        yield
    except Failure as failure:
        raise Failure(f"{text}: {failure}") from failure
    print(f"   ok, {time.monotonic() - begin:.1f} s", flush=True)


class LineStream:
    """Lines over a socket; QEMU going away and QEMU not answering in time are Failures."""

    def __init__(self, stream, name):
        self._file, self._name = stream.makefile("rw", newline="\n"), name
        self._limit = stream.gettimeout()

    def send(self, line):
        try:
            self._file.write(line + "\n")
            self._file.flush()
        except OSError as error:
            raise Failure(f"{self._name}: cannot send {line[:80]!r}: {error}") from error

    def receive(self):
        try:
            line = self._file.readline()
        except OSError as error:
            raise Failure(f"{self._name}: no answer within {self._limit:g} s") from error
        if not line:
            raise Failure(f"{self._name}: QEMU closed the connection")
        return line


def connect(path, seconds=60.0):
    """A LineStream to the unix socket at `path`, once something listens there."""

    def attempt():
        stream = socket.socket(socket.AF_UNIX)
        try:
            stream.connect(path)
            stream.settimeout(seconds)
            return stream
        except OSError:
            stream.close()
            return None

    return LineStream(until(f"a listener on {path}", attempt, seconds), path)
