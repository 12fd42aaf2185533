"""python3 -m unittest discover -s scripts/compare -t scripts -p 'test_*.py'"""
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import types
import unittest
import unittest.mock
import xml.etree.ElementTree

from compare import __main__ as program
from compare import conformance, generator, peer, plot, profile, report, server, suite

WRK = """Running 1s test @ http://127.0.0.1:1/plaintext
  Latency Distribution
     50%  307.00us
     75%  400.00us
     90%  500.00us
     99%    1.25ms
  60000 requests in 1.10s, 8.00MB read
Requests/sec:  54545.45
"""


class Peers(unittest.TestCase):
    def test_every_peer_of_the_file_is_whole(self):
        for one in peer.read("/t"):
            command = one.command("/plaintext", 1234, 0, tempfile.mkdtemp())
            self.assertNotIn("{", command)
            self.assertTrue({"/plaintext", "/event"} & set(one.routes))
            self.assertIn(one.version_from.split()[0], ("cargo", "run", "commit"))

    def test_a_peer_is_in_the_suites_that_it_names_and_has_the_route_of(self):
        polling, actix = peer.read("/t", ["sunstar-polling", "actix"])
        self.assertTrue(polling.takes_part("latency", "/plaintext"))
        self.assertFalse(polling.takes_part("plaintext", "/plaintext"))
        self.assertTrue(actix.takes_part("plaintext", "/plaintext"))
        self.assertFalse(actix.takes_part("latency", "/nowhere"))

    def test_what_is_locked_is_what_is_told(self):
        for one in peer.read("/t"):
            if one.version_from.startswith("cargo"):
                self.assertRegex(one.version(), r"^\d+\.\d+\.\d+")
        with self.assertRaisesRegex(ValueError, "nothing-of-this-name is in no Cargo.lock"):
            peer.locked("nothing-of-this-name", [peer.PEERS / "Cargo.lock"])

    def test_the_event_has_a_command_of_its_own_where_it_needs_one(self):
        ring, = peer.read("/t", ["bare-ring"])
        self.assertEqual(ring.command("/event", 5, 0, "/x"), "/t/release/bare_ring 5 --post")
        self.assertEqual(ring.command("/plaintext", 5, 0, "/x"), "/t/release/bare_ring 5")

    def test_a_configuration_is_filled_in_and_keeps_its_own_braces(self):
        nginx, = peer.read("/t", ["nginx"])
        with tempfile.TemporaryDirectory() as place:
            self.assertEqual(nginx.command("/json", 5, 0, place), f"nginx -c {place}/nginx.conf")
            text = pathlib.Path(place, "nginx.conf").read_text()
        self.assertIn("listen 127.0.0.1:5 ", text)
        self.assertIn("events {", text)

    def test_an_unknown_name_or_key_is_said(self):
        with self.assertRaisesRegex(ValueError, "no such peer: iis; there are bare-ring, "):
            peer.read("/t", ["iis", "nginx"])
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
            file.write(textwrap.dedent("""
                [[peer]]
                name = "a"
                kind = "ours"
                surprise = 1
            """))
            file.flush()
            with self.assertRaisesRegex(ValueError, "a: .*surprise.* is unknown"):
                peer.read("/t", file=pathlib.Path(file.name))

    def test_a_build_that_fails_says_what_failed(self):
        with self.assertRaisesRegex(server.Failure, "nowhere/to/be/found"):
            peer.run(["nowhere/to/be/found"])
        with self.assertRaisesRegex(server.Failure, "sh -c .* failed: an error is here"):
            peer.run(["sh", "-c", "echo first; echo an error is here; exit 1"])


class Order(unittest.TestCase):
    def test_rounds_go_there_and_back(self):
        order = list(server.interleaved(3, ["a", "b"]))
        self.assertEqual(order, [(0, "a"), (0, "b"), (1, "b"), (1, "a"), (2, "a"), (2, "b")])


class Generators(unittest.TestCase):
    def test_wrk_is_read(self):
        run = generator.of_wrk(WRK)
        self.assertEqual((run["requests"], run["rate"]), (60000, 54545.45))
        self.assertEqual((run["p50"], run["p99"]), (307.0, 1250.0))

    def test_wrong_answers_are_no_figures(self):
        for line in ("  Socket errors: connect 0, read 1\n", "  Non-2xx or 3xx responses: 4\n"):
            with self.assertRaisesRegex(server.Failure, line.strip()):
                generator.of_wrk(WRK + line)
        good = {"ok": 10, "in_flight_at_end": 2, "sent": 12, "timeout": 0}
        percentiles = {"50": {"value": 2000}, "99": {"value": 3500}}
        result = {"counts": good, "rate": {"achieved": 5.0},
                  "verdict": {"status": "OK", "client_busy_max": 0.5},
                  "latency": {"response": {"percentiles": percentiles}}}
        run = generator.of_loadgen(result)
        self.assertEqual((run["p50"], run["p99"], run["p999"]), (2.0, 3.5, None))
        result["counts"] = good | {"ok": 9, "timeout": 1}
        with self.assertRaisesRegex(server.Failure, r"well: \{'timeout': 1\}"):
            generator.of_loadgen(result)

    def test_cost_is_for_each_request(self):
        cost = suite.cost((1.0, 2.0), (1.5, 4.5), 1_000_000)
        self.assertEqual(cost, {"user": 0.5, "system": 2.5, "cpu": 3.0})
        with self.assertRaises(server.Failure):
            suite.cost((0, 0), (1, 1), 0)


class Fake:
    """A server that sends what it is told for each request, on one connection."""

    def __init__(self, *answers):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port, self.answers = self.listener.getsockname()[1], list(answers)
        self.thread = threading.Thread(target=self.serve)

    def __enter__(self):
        self.thread.start()
        return self.port

    def __exit__(self, *_):
        self.thread.join()
        self.listener.close()

    def serve(self):
        with self.listener.accept()[0] as client:
            client.settimeout(5)
            try:
                while asked := client.recv(4096):
                    for _ in range(asked.count(b"HTTP/1.1")):
                        client.sendall(self.answers.pop(0))
            except (OSError, IndexError):
                pass  # it has seen enough


def answer(content, kind="text/plain", status="200 OK"):
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


class Conformance(unittest.TestCase):
    def check(self, path, *answers, routes=("/stats",)):
        with Fake(*answers) as port:
            conformance.check(port, path, routes)

    def test_right_answers_pass(self):
        self.check("/plaintext", *[answer(b"Hello, World!", "text/plain; charset=utf-8")] * 4)
        self.check("/json", *[answer(b'{"message": "Hello, World!"}', "application/json")] * 4)
        chunked = (b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked"
                   b"\r\n\r\n7\r\nHello, \r\n6\r\nWorld!\r\n0\r\n\r\n")
        self.check("/plaintext", *[chunked] * 4)

    def test_wrong_answers_fail(self):
        good = answer(b"Hello, World!")
        for wrong in (answer(b"Hello, World?"), answer(b"Hello, World!", "text/html"),
                      answer(b"Hello, World!", status="404 Not Found")):
            with self.assertRaisesRegex(server.Failure, "/plaintext was"):
                self.check("/plaintext", good, good, wrong, good)
        with self.assertRaisesRegex(server.Failure, "/json was 200"):
            self.check("/json", answer(b"{", "application/json"))

    def test_a_connection_that_is_closed_fails(self):
        with self.assertRaisesRegex(server.Failure, "no whole answer: the connection was closed"):
            with Fake(answer(b"Hello, World!")[:-3]) as port, conformance.Client(port) as client:
                client.send(b"GET / HTTP/1.1\r\n\r\n")
                client.socket.shutdown(socket.SHUT_WR)
                client.answer()

    def test_events_must_be_in_the_figures(self):
        stats = b'{"totalRequests":3,"uniqueUsers":2,"sum":7.75,"avg":2.5833333333333335}'
        taken = [answer(b"")] * 3
        self.check("/event", *taken, answer(stats, "application/json"))
        self.check("/event", *taken, routes=())
        with self.assertRaisesRegex(server.Failure, "/stats after three events was 200"):
            wrong = stats.replace(b":2,", b":3,")
            self.check("/event", *taken, answer(wrong, "application/json"))
        with self.assertRaisesRegex(server.Failure, "answered with 500"):
            self.check("/event", answer(b"", status="500 Oops"))


# Listens on the port, with a child that ignores being asked to end.
STUBBORN = """
import signal, socket, subprocess, sys, time
child = subprocess.Popen(["python3", "-c", "import signal, time\\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\\ntime.sleep(60)"])
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
open(sys.argv[2], "w").write(str(child.pid))
time.sleep(60)
"""


class Servers(unittest.TestCase):
    def setUp(self):
        self.place = tempfile.TemporaryDirectory()
        self.addCleanup(self.place.cleanup)
        self.pid_file = pathlib.Path(self.place.name, "pid")
        self.script = pathlib.Path(self.place.name, "stubborn.py")
        self.script.write_text(STUBBORN)

    def command(self, port):
        return f"{sys.executable} {self.script} {port} {self.pid_file}"

    def child(self):
        while not (self.pid_file.exists() and self.pid_file.read_text()):
            os.sched_yield()
        return int(self.pid_file.read_text())

    def assert_gone(self, pid):
        # A zombie whose parent is gone may wait for init, but it runs no more.
        try:
            state = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except FileNotFoundError:
            return
        self.assertEqual(state, "Z")

    def test_children_are_counted_and_ended_with_it(self):
        port = server.free_port()
        with server.Server(self.command(port), port, 0) as one:
            child = self.child()
            self.assertIn(child, server.family(one.process.pid))
            self.assertGreater(sum(one.cpu_seconds()), 0)
            alone = server.Server.private_bytes(one)
            self.assertGreater(alone, 1_000_000)
        self.assert_gone(child)
        self.assert_gone(one.process.pid)

    def test_nothing_is_left_when_the_measurement_breaks_off(self):
        port = server.free_port()
        with self.assertRaises(KeyboardInterrupt):
            with server.Server(self.command(port), port, 0) as one:
                child = self.child()
                signal.raise_signal(signal.SIGINT)
        self.assert_gone(child)
        self.assert_gone(one.process.pid)

    def test_no_port_is_given_twice_in_a_row(self):
        ports = [server.free_port() for _ in range(20)]
        self.assertEqual(len(set(ports)), 20)
        self.assertTrue(all(port in server.PORTS for port in ports))

    def test_who_does_not_listen_or_is_not_there_is_a_failure(self):
        with self.assertRaisesRegex(server.Failure, "ended with 3 before it listened"):
            with server.Server("sh -c 'exit 3'", server.free_port(), 0):
                pass
        with self.assertRaisesRegex(server.Failure, "cannot start /nowhere"):
            with server.Server("/nowhere", server.free_port(), 0):
                pass


def a_run(name, rep, cpu, depth=1, **more):
    return {"peer": name, "rep": rep, "generator": "loadgen", "depth": depth, "cpu": cpu,
            "user": cpu / 4, "system": cpu * 3 / 4, "rate": 1000.0, "p50": 1.0, "p99": 2.0,
            "p999": None, "verdict": "VALID", **more}


def a_result():
    runs = [a_run("bare-ring", 0, 4.0), a_run("bare-ring", 1, 8.0), a_run("bare-ring", 2, 4.0),
            a_run("sunstar", 0, 4.4), a_run("sunstar", 1, 8.4), a_run("sunstar", 2, 12.0)]
    common = {"started": "2026-11-29T10:00:00", "seconds": 1, "reps": 3, "rate": 500,
              "idle_connections": 10}
    suites = {"plaintext": {**common, "runs": runs, "failed": [
        {"peer": "h2o", "stage": "build", "why": "h2o: No such file"}]},
        "latency": {**common, "failed": [], "runs": [
            a_run("sunstar", 0, 5.0, rate=499.0), a_run("h2o", 0, 5.0, rate=300.0),
            a_run("sunstar", 1, 5.0, rate=499.0, verdict="INVALID")]},
        "idle": {**common, "failed": [], "runs": [
            {"peer": "sunstar", "rep": 0, "start_ms": 5.4, "idle_bytes": 2**20,
             "connection_bytes": 465.2, "program_bytes": None}]}}
    peers = {"bare-ring": {"title": "bare", "kind": "limit"},
             "sunstar": {"title": "**sunstar**", "kind": "ours"},
             "h2o": {"title": "h2o 2", "kind": "server"}}
    machine = {"cpu": "Some CPU", "cpus": 2, "kernel": "6.18", "memory_gib": 4}
    return {"machine": machine, "tools": {"rustc": "rustc 1.95.0 (x)", "commit": "abc"},
            "peers": peers, "suites": suites}


class Sitting(unittest.TestCase):
    def test_what_was_measured_once_is_not_written_over(self):
        with tempfile.TemporaryDirectory() as place:
            names = []
            for _ in range(3):
                file = program.fresh_name(place, "2026-11-29")
                file.write_text("{}")
                names.append(file.name)
        self.assertEqual(names, ["2026-11-29.json", "2026-11-29-2.json", "2026-11-29-3.json"])

    def test_only_suites_of_the_same_commit_are_added_to(self):
        with tempfile.TemporaryDirectory() as place:
            file = pathlib.Path(place, "x.json")
            options = types.SimpleNamespace(output=file, add=False, loadgen="/nowhere")
            fresh = program.document(options, [])
            fresh["tools"]["commit"] = "clean"
            clean = unittest.mock.patch.object(program, "tools", lambda _: fresh["tools"])
            clean.start()
            self.addCleanup(clean.stop)
            file.write_text(json.dumps({**fresh, "suites": {"idle": {}}}))
            self.assertEqual(program.document(options, [])["suites"], {})
            options.add = True
            self.assertEqual(program.document(options, [])["suites"], {"idle": {}})
            another = {**fresh, "tools": {"commit": "another"}}
            file.write_text(json.dumps(another))
            with self.assertRaisesRegex(SystemExit, "is of commit another, and this is clean"):
                program.document(options, [])
            fresh["tools"]["commit"] = "abc-dirty"
            file.write_text(json.dumps(fresh))
            with self.assertRaisesRegex(SystemExit, "name another --output"):
                program.document(options, [])


class Report(unittest.TestCase):
    def test_ratios_are_taken_within_rounds(self):
        runs = report.selected(a_result(), "plaintext", "loadgen", {"depth": 1})
        # 1.1, 1.05 and 3; not the ratio of the medians, which is 2.1.
        self.assertAlmostEqual(report.ratio(runs["sunstar"], runs["bare-ring"]), 1.1)
        self.assertIsNone(report.ratio(runs["sunstar"], {}))

    def test_tables_have_figures_and_name_who_failed(self):
        text = report.tables(a_result())
        self.assertIn("| **sunstar** | 8.4 (2.1) 1.10x |", text)
        self.assertIn("| **sunstar** | 1 | 2 | ? | 5.0 | 1 of 2 |", text)
        self.assertIn("| h2o 2 | reaches 300/s |", text)
        self.assertIn("| **sunstar** | 1.0 MiB | 465 bytes | 5 ms | a script |", text)
        self.assertIn("- h2o 2, plaintext: build: h2o: No such file", text)
        self.assertIn("Some CPU, 2 CPUs, Linux 6.18, rustc 1.95.0, commit abc", text)

    def test_a_result_of_one_suite_has_the_tables_of_one_suite(self):
        result = a_result()
        del result["suites"]["latency"], result["suites"]["idle"]
        text = report.tables(result)
        self.assertNotIn("offered", text)
        self.assertNotIn("Doing nothing", text)

    def test_only_what_stands_between_the_marks_is_replaced(self):
        first, last = report.MARKS
        text = f"before\n{first}\nold\n{last}\nafter\n"
        once = report.between(text, "new")
        self.assertEqual(once, f"before\n{first}\nnew\n{last}\nafter\n")
        self.assertEqual(report.between(once, "new"), once)
        with self.assertRaisesRegex(ValueError, "lacks the lines"):
            report.between("nothing", "new")

    def test_the_readme_gets_tables_and_pictures(self):
        with tempfile.TemporaryDirectory() as place:
            readme = pathlib.Path(place, "README.md")
            readme.write_text("\n".join(report.MARKS))
            file = pathlib.Path(place, "results/2026-11-29.json")
            file.parent.mkdir()
            drawn = report.pictures(a_result(), file)
            self.assertEqual([path.name for path in drawn], ["2026-11-29-plaintext-depth-1.svg"])
            report.into_readme(a_result(), file, drawn, readme)
            text = readme.read_text()
            here = pathlib.Path.cwd()
            os.chdir(place)
            self.addCleanup(os.chdir, here)
            report.into_readme(a_result(), file.relative_to(place), [], readme)
        os.chdir(here)
        self.assertIn("](results/2026-11-29-plaintext-depth-1.svg)", text)
        self.assertIn("[2026-11-29.json](results/2026-11-29.json)", text)


class Plot(unittest.TestCase):
    def test_bars_are_as_long_as_their_figures_and_long_ones_are_cut(self):
        rows = [("a & b", "framework", 1.0, 3.0), ("ring", "limit", 0.5, 4.5),
                ("slow", "framework", 100.0, 20.0), ("ours", "ours", 2.0, 2.5)]
        root = xml.etree.ElementTree.fromstring(plot.bars("of <all>", rows))
        texts = [one.text for one in root.iter("{http://www.w3.org/2000/svg}text")]
        self.assertEqual(texts[1::2][:4], ["ring", "a & b", "ours", "slow"])
        self.assertIn("» 120.0", texts)
        widths = [float(one.get("width")) for one in
                  root.iter("{http://www.w3.org/2000/svg}rect")][1:]
        totals = [a + b for a, b in zip(widths[::2], widths[1::2])]
        self.assertAlmostEqual(totals[1] / totals[0], 4.0 / 5.0, places=2)
        self.assertLessEqual(max(totals), plot.WIDTH - plot.LEFT - plot.RIGHT + 0.2)


class Profile(unittest.TestCase):
    def test_own_time_is_that_of_the_top_of_the_stack(self):
        text = profile.told("a;b;c 600000000\na;b 300000000\na;d;tcp_[k] 100000000\n")
        first = "1.00 s of CPU time, 10.0% in the kernel (_[k])"
        self.assertEqual(text.splitlines()[0], first)
        self.assertEqual(text.splitlines()[1:], [" 60.0%  c", " 30.0%  b", " 10.0%  tcp_[k]"])


class CommandLine(unittest.TestCase):
    def ask(self, *words):
        return subprocess.run([str(peer.ROOT / "scripts/compare.sh"), *words],
                              capture_output=True, text=True, timeout=60)

    def test_what_cannot_be_is_said_in_one_line(self):
        for words, line in ((("--suite", "speed"), "no such suite: speed"),
                            (("--reps", "0"), "must be at least 1"),
                            (("--client-cpu", "0"), "a CPU each")):
            ended = self.ask(*words)
            self.assertEqual(ended.returncode, 2)
            self.assertIn(line, ended.stderr.splitlines()[-1])
        ended = self.ask("--no-wrk", "--peers", "iis")
        self.assertEqual((ended.returncode, len(ended.stderr.splitlines())), (1, 1))
        self.assertIn("no such peer: iis", ended.stderr)
