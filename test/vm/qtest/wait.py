# SPDX-License-Identifier: BSD-3-Clause
"""Waiting for conditions, and connecting to sockets that appear a little later.

These tests do not sleep for a fixed time. They poll a condition until it holds or the time is up.
Then the last value is part of the error.
"""

import socket
import sys
import time
from contextlib import contextmanager


class Failure(Exception):
    """A failed check; its text has the expected and the seen value."""


def run_program(main):
    """Runs `main` and ends the program; a Failure is printed, and the status is 1 then."""
    try:
        main()
    except Failure as failure:
        print(f"FAIL: {failure}", flush=True)
        sys.exit(1)


def expect(what, seen, expected):
    """Fails unless `seen` equals `expected`."""
    if seen != expected:
        raise Failure(f"{what}\n  expected: {expected}\n  seen:     {seen}")


def until(what, condition, seconds=20.0, seen=None):
    """Polls `condition` until it returns a true value, and returns that value.

    If the time is up, `seen`, if given, is called for the error text.
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
    """Prints the name of the step, and adds it to a failure."""
    print(f"-- {text}", flush=True)
    begin = time.monotonic()
    try:
        yield
    except Failure as failure:
        raise Failure(f"{text}: {failure}") from failure
    print(f"   ok, {time.monotonic() - begin:.1f} s", flush=True)


class LineStream:
    """Lines over a socket. It is a Failure if QEMU goes away or does not answer in time."""

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
    """Returns a LineStream to the unix socket at `path`, once a program listens there."""

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
