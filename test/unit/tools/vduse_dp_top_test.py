# SPDX-License-Identifier: BSD-3-Clause
"""vduse-dp-top: what it makes of answers, and the whole program against a socket that answers as DPDK
does, in plain text and on a terminal. VDUSE_DP_TOP is the program."""

import contextlib
import copy
import fcntl
import importlib.machinery
import importlib.util
import json
import os
import pathlib
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent.parent))
sys.dont_write_bytecode = True
from support import gtest_report  # noqa: E402

PROGRAM = os.environ["VDUSE_DP_TOP"]
LIMIT = 30  # seconds, for what takes a fraction of one


def load():
    loader = importlib.machinery.SourceFileLoader("vduse_dp_top", PROGRAM)
    module = importlib.util.module_from_spec(
        importlib.util.spec_from_loader("vduse_dp_top", loader)
    )
    sys.modules["vduse_dp_top"] = module
    loader.exec_module(module)
    return module


top = load()

# Answers like those of app/report/telemetry.cc; test/unit/app/telemetry_test.cc has the same words.
INFO = {
    "name": "vd0",
    "api_version": 1,
    "status": "0xf",
    "status_names": ["ACKNOWLEDGE", "DRIVER", "DRIVER_OK", "FEATURES_OK"],
    "link": "up",
    "broken": "no",
    "queue_pairs": 2,
    "active_pairs": 1,
    "mac": "02:00:00:00:00:07",
    "groups": {
        "0": {"use": "data", "asid": 0, "first_queue": 0, "last_queue": 3, "lcore": 3},
        "1": {"use": "control", "asid": 1, "first_queue": 4, "last_queue": 4},
    },
    "spaces": {
        "0": {
            "region_count": 7,
            "regions": [f"0x{i}000-0x{i}fff rw node {i % 2}" for i in range(6)],
        },
        "1": {"region_count": 0, "regions": []},
    },
}
SIDE = {
    "frames": 1000,
    "bytes": 64000,
    "dropped": 0,
    "dropped_malformed": 0,
    "dropped_filtered": 0,
    "no_mbuf": 0,
    "interrupts": 10,
    "misses": 0,
}
STATS = {
    "name": "vd0",
    "commands": 3,
    "refused": 0,
    "from_guest": SIDE,
    "to_guest": SIDE | {"not_taken": 0, "merged": 0},
}


def device(taken=100.0, name="vd0", **counters):
    """`from_guest` of the counters that are given, `to_guest` as ever."""
    stats = STATS | {"from_guest": SIDE | counters}
    return top.parse_device(INFO | {"name": name}, stats, taken)


def snapshot(*devices, missing=()):
    return top.Snapshot("DPDK, pid 7", list(devices), list(missing))


def line_of(lines, start):
    return next(line for line in lines if line.startswith(start))


class Scaled(unittest.TestCase):
    def test_three_digits_and_a_unit(self):
        for value, text in (
            (0, "0"),
            (0.25, "0.25"),
            (7, "7"),
            (12.34, "12.3"),
            (999, "999"),
            (999.7, "1.00 k"),
            (1234, "1.23 k"),
            (10_000_000, "10.0 M"),
            (123.4e9, "123 G"),
            (2.0**64, "18.4 E"),
        ):
            self.assertEqual(top.scaled(value), text)


class Rates(unittest.TestCase):
    def test_growth_over_the_time_that_passed(self):
        rate = top.rates(device(100.0), device(102.0, frames=1500, bytes=96000), "from_guest")
        self.assertEqual(rate["frames"], 250)
        self.assertEqual(rate["bytes"], 16000)
        self.assertEqual(rate["interrupts"], 0)

    def test_none_without_a_snapshot_before_or_time_between(self):
        self.assertIsNone(top.rates(None, device(), "from_guest"))
        self.assertIsNone(top.rates(device(100.0), device(100.0), "from_guest"))
        self.assertIsNone(top.rates(device(100.0), device(99.0), "from_guest"))

    def test_none_when_a_counter_went_back_or_is_gone(self):
        after = device(101.0, frames=999, bytes=10**9)
        self.assertIsNone(top.rates(device(100.0), after, "from_guest"))
        self.assertIsNotNone(top.rates(device(100.0), after, "to_guest"))
        self.assertIsNone(top.rates(device(100.0, dropped_new=0), after, "from_guest"))


class Render(unittest.TestCase):
    def test_all_of_a_device(self):
        before = snapshot(device(100.0))
        lines = top.render(before, snapshot(device(101.0, frames=2234, bytes=9_064_000)))
        self.assertEqual(lines[0], "DPDK, pid 7, 1 device")
        self.assertIn("vd0: link up, 1 of 2 pairs, mac 02:00:00:00:00:07", lines)
        self.assertIn("  status      0xf ACKNOWLEDGE DRIVER DRIVER_OK FEATURES_OK", lines)
        self.assertEqual(
            line_of(lines, "  from_guest").split(),
            ["from_guest", "1.23", "k", "72.0", "M", "0", "0", "2234", "0"],
        )
        self.assertEqual(
            line_of(lines, "  to_guest").split(), ["to_guest", "0", "0", "0", "0", "1000", "0"]
        )
        self.assertIn("  group 0     data, queues 0-3, asid 0, lcore 3", lines)
        self.assertIn("  group 1     control, queue 4, asid 1, no lcore", lines)
        self.assertIn("  space 0     7 regions: 3 on node 0, 3 on node 1", lines)
        self.assertIn("              0x5000-0x5fff rw node 1", lines)
        self.assertIn("              and 1 more", lines)
        self.assertIn("  space 1     0 regions", lines)
        self.assertFalse(any("given up" in line or "delayed" in line for line in lines))
        self.assertTrue(all(len(line) <= 80 for line in lines), lines)

    def test_without_a_snapshot_before_there_are_totals_but_no_rates(self):
        for before in (None, snapshot(), snapshot(device(99.0, name="vd1"))):
            lines = top.render(before, snapshot(device(dropped_malformed=5)))
            self.assertEqual(
                line_of(lines, "  from_guest").split(), ["from_guest", *"----", "1000", "5"]
            )
            self.assertIn("  dropped     from_guest: malformed 5", lines)

    def test_drops_by_reason_where_there_were_any(self):
        now = device(102.0, dropped_malformed=6, dropped_filtered=2, dropped=8, misses=1)
        now.counters["to_guest"]["not_taken"] = 4
        lines = top.render(snapshot(device(100.0, dropped_filtered=2)), snapshot(now))
        self.assertIn("  dropped     from_guest: malformed 6 (3/s), filtered 2 (0/s)", lines)
        self.assertIn("  dropped     to_guest: not_taken 4 (2/s)", lines)
        self.assertIn("  delayed     from_guest: misses 1 (0.5/s)", lines)
        self.assertEqual(line_of(lines, "  from_guest").split()[3], "3")
        self.assertEqual(line_of(lines, "  from_guest").split()[-1], "8")

    def test_problems_stand_below_the_status(self):
        problem = "pair 0: the driver offers no receive buffers"
        sick = top.parse_device(INFO | {"problems": [problem]}, STATS, 100.0)
        lines = top.render(None, snapshot(sick))
        self.assertEqual(line_of(lines, "  problem"), f"  problem     {problem}")
        self.assertFalse(any("problem" in line for line in top.render(None, snapshot(device()))))

    def test_what_did_not_fit_into_the_answer_is_counted(self):
        some = top.parse_device(INFO | {"groups_left_out": 0, "spaces_left_out": 125}, STATS, 100.0)
        self.assertEqual(
            top.render(None, snapshot(some))[-1],
            "              and 125 spaces more: /vduse/group, /vduse/space",
        )
        none = top.parse_device(INFO | {"groups_left_out": 0, "spaces_left_out": 0}, STATS, 100.0)
        self.assertEqual(top.render(None, snapshot(none)), top.render(None, snapshot(device())))

    def test_regions_are_cut_short_on_request(self):
        lines = top.render(None, snapshot(device()), regions=4)
        self.assertIn("              0x3000-0x3fff rw node 1", lines)
        self.assertNotIn("              0x4000-0x4fff rw node 0", lines)
        self.assertIn("              and 3 more", lines)

    def test_names_are_letters_to_the_terminal(self):
        lines = top.render(None, snapshot(device(name="a\x1b[2J\nö\udcff"), missing=["\x07"]))
        self.assertIn("a\\x1b[2J\\x0a\\xf6\\udcff: link up, ", "\n".join(lines))
        self.assertEqual(lines[-1], "\\x07: not there")
        self.assertTrue(all(line.isprintable() or line == "" for line in lines))


class Parse(unittest.TestCase):
    def test_answers_that_make_no_sense(self):
        def changed(data, path, value):
            data = copy.deepcopy(data)
            part = data
            for name in path[:-1]:
                part = part[name]
            if value is KeyError:
                del part[path[-1]]
            else:
                part[path[-1]] = value
            return data

        for path, value in (
            (["link"], KeyError),
            (["link"], None),
            (["queue_pairs"], -1),
            (["queue_pairs"], True),
            (["status_names"], [1]),
            (["groups"], []),
            (["groups", "0"], None),
            (["groups", "0"], 5),
            (["groups", "0", "lcore"], "0"),
            (["spaces", "0", "regions"], [[]]),
            (["spaces", "0", "region_count"], 2**64),
            (["groups_left_out"], "1"),
        ):
            with self.subTest(path=path, value=value), self.assertRaises(top.Failure):
                top.parse_device(changed(INFO, path, value), STATS, 0.0)
        for path, value in (
            (["from_guest"], KeyError),
            (["to_guest"], None),
            (["to_guest", "frames"], KeyError),
            (["to_guest", "frames"], 1.5),
            (["to_guest", "dropped_new"], "1"),
            (["to_guest", "dropped_new"], 10**400),
        ):
            with self.subTest(path=path, value=value), self.assertRaises(top.Failure):
                top.parse_device(INFO, changed(STATS, path, value), 0.0)
        for info, stats in (([], STATS), (INFO, 7), ("", None)):
            with self.assertRaises(top.Failure):
                top.parse_device(info, stats, 0.0)


class Application:
    """A telemetry socket in a folder of its own. Each round of questions finds more frames."""

    def __init__(self, folder):
        self.folder = folder
        self.path = pathlib.Path(folder, "dpdk", "rte", "dpdk_telemetry.v2")
        self.names = ["vd0"]
        self.frames = 1000
        self.greeting = b'{"version":"DPDK 22.11.11","pid":4711,"max_output_len":16384}'
        self.raw = {}  # whole answers by question
        self.peers = []
        self.start()

    def start(self):
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.bind(str(self.path))
        self.socket.listen()
        threading.Thread(target=self.accept, args=(self.socket,), daemon=True).start()

    def stop(self):
        self.path.unlink(missing_ok=True)
        for end in [self.socket, *self.peers]:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self.peers.clear()

    def accept(self, listener):
        with contextlib.suppress(OSError):
            while True:
                peer = listener.accept()[0]
                self.peers.append(peer)
                threading.Thread(target=self.serve, args=(peer,), daemon=True).start()

    def serve(self, peer):
        with contextlib.suppress(OSError):
            peer.send(self.greeting)
            while question := peer.recv(1024):
                peer.send(self.answer(question.decode("utf-8", "surrogateescape")))

    def answer(self, question):
        if question in self.raw:
            return self.raw[question]
        command, _, name = question.partition(",")
        value = None
        if command == "/vduse/list":
            value = self.names
        elif name in self.names and command == "/vduse/info":
            value = INFO | {"name": name}
        elif name in self.names and command == "/vduse/stats":
            self.frames += 500
            value = STATS | {"from_guest": SIDE | {"frames": self.frames}}
        return json.dumps({command: value}).encode()


class ProgramTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.application = Application(folder.name)
        self.addCleanup(self.application.stop)
        self.environment = os.environ | {"RUNTIME_DIRECTORY": folder.name, "TERM": "xterm"}

    def wait_for(self, condition):
        end = time.monotonic() + LIMIT
        while not condition():
            self.assertLess(time.monotonic(), end)
            time.sleep(0.01)


class Batch(ProgramTest):
    def run_program(self, *arguments):
        command = [sys.executable, PROGRAM, *arguments]
        return subprocess.run(
            command,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )

    def expect_failure(self, words, *arguments):
        done = self.run_program("-b", "-n", "1", *arguments)
        self.assertEqual(done.returncode, 1, done)
        self.assertRegex(done.stderr, rf"^vduse-dp-top: .*{words}.*\n$")
        self.assertEqual(done.stdout, "")

    def test_two_rounds_have_rates_in_the_second(self):
        done = self.run_program("-n", "2", "-d", "0.1")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("DPDK 22.11.11, pid 4711, 1 device\n", done.stdout)
        rows = re.findall(r"^  from_guest +(\S+)", done.stdout, re.MULTILINE)
        self.assertEqual(len(rows), 2)
        self.assertEqual(rows[0], "-")
        self.assertGreater(float(rows[1]), 0)

    def test_only_the_devices_that_are_named(self):
        self.application.names = ["vd0", "odd 'näme'\x1b", "vd2"]
        done = self.run_program("-n", "1", "--device", "odd 'näme'\x1b", "--device", "vd2")
        self.assertEqual(done.returncode, 0, done)
        heads = re.findall(r"^(\S.*): link up", done.stdout, re.MULTILINE)
        self.assertEqual(heads, ["odd 'n\\xe4me'\\x1b", "vd2"])

    def test_a_device_that_is_not_there(self):
        done = self.run_program("-n", "1", "--device", "vd9")
        self.assertEqual(done.returncode, 1)
        self.assertTrue(done.stdout.endswith("\nvd9: not there\n"), done)

    def test_a_device_that_goes_between_two_questions(self):
        self.application.raw["/vduse/stats,vd0"] = b'{"/vduse/stats":null}'
        done = self.run_program("-n", "1")
        self.assertTrue(done.stdout.endswith(", 0 devices\nvd0: not there\n"), done)

    def test_no_application(self):
        self.application.stop()
        self.expect_failure("is not running.*No such file")
        self.application.path.parent.rmdir()
        self.expect_failure("is not running.*/other/.*No such file", "-f", "other")
        self.expect_failure("is not running.*too long", "-f", "x" * 200)

    def test_an_application_that_ends(self):
        process = subprocess.Popen(
            [sys.executable, PROGRAM, "-b", "-d", "0.1"],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            process.stdout.readline()
            self.application.stop()
            self.assertRegex(process.communicate(timeout=LIMIT)[1], r"^vduse-dp-top: .* ended.*\n$")
        self.assertEqual(process.returncode, 1)

    def test_malformed_answers(self):
        for question, answer, words in (
            ("/vduse/list", b"{", "malformed answer to /vduse/list: "),
            ("/vduse/list", b"[]", "malformed answer to /vduse/list: not one value"),
            ("/vduse/list", b'{"/vduse/list":null}', "not vduse-dp"),
            ("/vduse/list", b'{"/vduse/list":[1]}', "not names"),
            ("/vduse/list", b'{"/vduse/list":"vd0"}', "not names"),
            ("/vduse/list", b"[" * 60000, "malformed answer to /vduse/list"),
            ("/vduse/info,vd0", b'{"/vduse/info":{}}', "malformed answer about vd0: it has no"),
            ("/vduse/stats,vd0", b"\xff\x00", "malformed answer to /vduse/stats,vd0: "),
        ):
            with self.subTest(question=question, answer=answer[:40]):
                self.application.raw = {question: answer}
                self.expect_failure(words)

    def test_malformed_greetings(self):
        for greeting in (b"{}", b"7", b"hello\n\x1b"):
            with self.subTest(greeting=greeting):
                self.application.greeting = greeting
                self.expect_failure("malformed")

    def test_a_reader_that_leaves(self):
        process = subprocess.Popen(
            [sys.executable, PROGRAM, "-d", "0.1"],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        with process:
            process.stdout.readline()
            process.stdout.close()
            self.assertEqual(process.wait(LIMIT), 0)
            self.assertEqual(process.stderr.read(), b"")

    def test_the_command_line(self):
        self.assertRegex(self.run_program("-V").stdout, r"^vduse-dp-top \d+\.\d+\.\d+\n$")
        self.assertIn("--file-prefix", self.run_program("-h").stdout)
        for wrong in (["-d", "0"], ["-d", "nan"], ["-d", "x"], ["-n", "0"], ["-n", "1.5"], ["vd0"]):
            self.assertEqual(self.run_program(*wrong).returncode, 2, wrong)


class Live(ProgramTest):
    """The program on a terminal; `screen` is what it wrote there."""

    def setUp(self):
        super().setUp()
        self.screen = ""
        self.terminal = None

    def start(self, *arguments, rows=40, columns=100):
        self.terminal, inner = pty.openpty()
        self.resize(rows, columns)
        self.process = subprocess.Popen(
            ["setsid", "-c", sys.executable, PROGRAM, "-d", "0.1", *arguments],
            env=self.environment,
            stdin=inner,
            stdout=inner,
            stderr=subprocess.PIPE,
            # As on a terminal, even if the tests run in the background and ignore SIGINT.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        os.close(inner)
        self.addCleanup(self.end)

    def end(self):
        self.process.kill()
        self.process.communicate()
        os.close(self.terminal)

    def resize(self, rows, columns):
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self):
        while select.select([self.terminal], [], [], 0.01)[0]:
            try:
                self.screen += os.read(self.terminal, 65536).decode()
            except OSError:
                return  # the program has ended

    def expect(self, words):
        def seen():
            self.read()
            self.assertIsNone(self.process.poll(), self.screen)
            return words in self.screen

        self.screen = ""
        self.wait_for(seen)

    def expect_end(self, status=0):
        def ended():
            self.read()
            return self.process.poll() is not None

        self.wait_for(ended)
        self.assertEqual(self.process.stderr.read(), b"")
        self.assertEqual(self.process.returncode, status)
        self.assertIn("\x1b[?1049l", self.screen, "the terminal has its own screen back")

    def type(self, keys):
        os.write(self.terminal, keys)

    def test_q_leaves(self):
        self.start()
        self.expect("vd0: link up")
        self.type(b"q")
        self.expect_end()

    def test_interrupt_leaves(self):
        self.start()
        self.expect("vd0: link up")
        self.type(b"\x03")
        self.expect_end()

    def test_terminate_gives_the_terminal_back(self):
        self.start()
        self.expect("vd0: link up")
        self.process.send_signal(signal.SIGTERM)
        self.expect_end(128 + signal.SIGTERM)

    def test_iterations(self):
        self.start("-n", "3")
        self.expect_end()
        self.assertIn("vd0: link up", self.screen)

    def test_it_waits_for_an_application_that_went(self):
        self.start()
        self.expect("vd0: link up")
        self.application.stop()
        self.expect("trying again")
        self.application.names = ["vd1"]
        self.application.frames = 0
        self.application.start()
        self.expect("vd1: link up")
        self.type(b"q")
        self.expect_end()

    def test_no_terminal_is_too_small(self):
        self.start(rows=1, columns=1)
        self.wait_for(lambda: self.application.frames > 3000)
        self.resize(3, 2)
        self.resize(40, 100)
        self.expect("group 1")
        self.resize(2, 7)
        before = self.application.frames
        self.wait_for(lambda: self.application.frames > before + 3000)
        self.type(b"q")
        self.expect_end()

    def test_scrolling(self):
        self.start(rows=5)
        self.expect("vd0: link up")
        self.type(b"\x1b[6~" * 30)  # page down
        self.expect("space 1")
        self.type(b"\x1b[5~")  # page up
        self.expect("group 1")
        self.type(b"\x1b[5~" * 30)
        self.expect("vd0: link up")
        self.type(b"\x1bOB" * 3)  # down
        self.expect("to_guest")

    def test_a_terminal_that_nobody_knows(self):
        self.environment["TERM"] = "no-such-terminal"
        self.start()
        self.wait_for(lambda: self.process.poll() is not None)
        self.assertEqual(self.process.returncode, 1)
        self.assertRegex(self.process.stderr.read(), rb"^vduse-dp-top: no live view.*-b.*\n$")


if __name__ == "__main__":
    sys.exit(not gtest_report.main())
