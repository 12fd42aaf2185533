#!/usr/bin/env python3
"""The example `db` against a real PostgreSQL: are its answers right, and what does it cost?

Makes a cluster in a temporary directory (needs Debian's `postgresql`; nothing of the system's is
touched), fills TechEmpower's table, and checks /db and /queries to the last byte, from many clients
at once, also while the database is stopped and after it is back. With --compare it then measures it
beside axum with tokio-postgres: fresh servers on CPU 0, wrk and the database on the others, in
turns A B B A. With two CPUs the database is the bottleneck, so that what tells the servers apart is
what a request costs them; axum has tokio's usual runtime, one worker and a thread that accepts.
Ends everything that it started.

  scripts/db.py
  scripts/db.py --compare --reps 5 --seconds 3
"""
import argparse
import concurrent.futures
import contextlib
import glob
import json
import os
import pathlib
import pwd
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

from compare import generator
from compare.server import Failure, Server, free_port, interleaved

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
PEERS = ROOT / "benches/peers"
USER, NAME, ROWS = "benchmarkdbuser", "hello_world", 10_000
# What is asked for, and how many rows that is.
COUNTS = {"": 1, "?queries=": 1, "?queries=foo": 1, "?queries=0": 1, "?queries=-3": 1,
          "?queries=1": 1, "?queries=20": 20, "?queries=500": 500, "?queries=501": 500,
          "?queries=99999999999999999999": 500}


class Cluster:
    """A PostgreSQL of its own, in a directory that is gone afterwards."""

    def __enter__(self):
        found = glob.glob("/usr/lib/postgresql/*/bin/initdb")
        if not found:
            raise Failure("there is no PostgreSQL here: apt-get install postgresql")
        newest = max(found, key=lambda path: float(pathlib.Path(path).parts[-3]))
        self.tools, self.port = pathlib.Path(newest).parent, free_port()
        self.place, self.process = tempfile.mkdtemp(prefix="sunstar-db-"), None
        try:
            # As root it refuses to run.
            self.user = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
            if self.user:
                os.chown(self.place, self.user.pw_uid, self.user.pw_gid)
            self.tool("initdb", "--auth=trust", "--no-sync", "--no-locale", "--encoding=UTF8",
                      f"--username={USER}", "--pgdata", f"{self.place}/data")
            self.start()
            self.sql(f"CREATE DATABASE {NAME}", "postgres")
            self.sql("CREATE TABLE world (id integer PRIMARY KEY, randomnumber integer NOT NULL)")
            self.sql("INSERT INTO world SELECT i, 1 + floor(random() * 10000) "
                     f"FROM generate_series(1, {ROWS}) i")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        # Nobody cuts this short, or the database would stay.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        self.stop()
        shutil.rmtree(self.place, ignore_errors=True)

    def start(self):
        others = os.sched_getaffinity(0) - {0}
        # A session of its own: a Ctrl-C is for us, who then end it.
        self.process = subprocess.Popen(
            [self.tools / "postgres", "-D", f"{self.place}/data", "-p", str(self.port),
             "-k", self.place, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/",
            start_new_session=True, preexec_fn=lambda: os.sched_setaffinity(0, others or {0}),
            **self.identity())
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(Failure):
                return self.sql("SELECT 1", "postgres")
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise Failure("the database does not start")
            time.sleep(0.05)

    def stop(self):
        if not self.process:
            return
        # Fast, and if need be at once.
        for number, patience in ((signal.SIGINT, 10), (signal.SIGQUIT, 10), (signal.SIGKILL, None)):
            self.process.send_signal(number)
            try:
                self.process.wait(patience)
                break
            except subprocess.TimeoutExpired:
                continue
        self.process = None

    def sql(self, text, database=NAME):
        return self.tool("psql", "--no-psqlrc", "--host", self.place, "--port", str(self.port),
                         "--username", USER,
                         "--no-align", "--tuples-only", "--command", text, database)

    def tool(self, name, *arguments):
        try:
            ended = subprocess.run([self.tools / name, *arguments], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                   cwd="/", **self.identity())
        except OSError as error:
            raise Failure(f"cannot start {name}: {error}") from error
        if ended.returncode != 0:
            raise Failure(f"{name} ended with {ended.returncode}: {ended.stdout.strip()}")
        return ended.stdout

    def identity(self):
        if not self.user:
            return {}
        return {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []}


def main():
    options = arguments()
    # Also where somebody has started us in the background, and to be told of a lost terminal.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    build(options)
    with Cluster() as cluster:
        check(cluster, options.program)
        if options.compare:
            measure(cluster, options)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--compare", action="store_true", help="measure it beside axum")
    parser.add_argument("--program", type=pathlib.Path,
                        help="check this one, as it is (default: build and take the release)")
    parser.add_argument("--reps", type=int, default=5, help="rounds (default 5)")
    parser.add_argument("--seconds", type=int, default=3, help="of a run (default 3)")
    options = parser.parse_args()
    if options.compare and options.program:
        parser.error("--compare measures the release: leave --program out")
    return options


def build(options):
    cargo = ["cargo", "build", "--release", "--quiet"]
    if not options.program:
        subprocess.run([*cargo, "-p", "sunstar", "--example", "db"], cwd=ROOT, check=True)
    if options.compare:
        manifest = ["--locked", "--manifest-path", PEERS / "Cargo.toml", "-p", "peer-axum-db"]
        subprocess.run([*cargo, *manifest], cwd=ROOT, check=True, env={
            **os.environ, "CARGO_TARGET_DIR": str(PEERS / "target")})


def ours(cluster, port, program=None):
    return (f"{program or TARGET / 'release/examples/db'} --listen 127.0.0.1:{port} --smp 1 "
            f"--cpuset 0 --postgres 127.0.0.1:{cluster.port} "
            f"--database 'user={USER} dbname={NAME}'")


def axum(cluster, port):
    return (f"{PEERS}/target/release/peer-axum-db {port} "
            f"'host=127.0.0.1 port={cluster.port} user={USER} dbname={NAME}'")


def check(cluster, program):
    """Every answer is a row of the table, written as the suite wants it; no answer is invented."""
    lines = cluster.sql("SELECT id, randomnumber FROM world").split()
    table = dict(tuple(map(int, line.split("|"))) for line in lines)
    require(len(table) == ROWS, f"{len(table)} rows in the table")
    port = free_port()
    asked = [("/db", 1)] * 200 + [("/queries" + asked, count) for asked, count in COUNTS.items()]

    def rows(one):
        path, count = one
        text = get(port, path)
        return check_rows(table, text if path != "/db" else f"[{text}]", count)

    with (Server(ours(cluster, port, program), port, 0, log=None) as server,
          concurrent.futures.ThreadPoolExecutor(16) as clients):
        seen = [row for rows in clients.map(rows, asked) for row in rows]
        require(len(set(seen)) > len(seen) / 2, f"{len(set(seen))} different rows of {len(seen)}")
        cluster.stop()
        refused = [status_of(port, path) for path, _ in asked[-8:]] + [status_of(port, "/db")]
        require(refused == [503] * 9, f"without a database it answered {refused}")
        cluster.start()
        seen += [row for rows in clients.map(rows, asked) for row in rows]
        server.process.send_signal(signal.SIGTERM)
        ended = server.process.wait(10)
        require(ended == 0, f"told to stop it ended with {ended}")
    print(f"db: {len(seen)} rows right to the last byte, 503 while the database was away")


def check_rows(table, text, count):
    """The numbers of the rows."""
    rows = json.loads(text)
    require(len(rows) == count, f"{len(rows)} rows instead of {count}")
    for row in rows:
        require(table.get(row["id"]) == row["randomNumber"], f"{row} is not in the table")
    exact = json.dumps([{"id": row["id"], "randomNumber": row["randomNumber"]} for row in rows],
                       separators=(",", ":"))
    require(text == exact, f"written as {text}")
    return [row["id"] for row in rows]


def get(port, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        kind = answer.headers["content-type"]
        require(kind == "application/json", f"{path} is {kind}")
        return answer.read().decode()


def status_of(port, path):
    try:
        get(port, path)
        return 200
    except urllib.error.HTTPError as error:
        return error.code


def require(holds, otherwise):
    if not holds:
        raise Failure(otherwise)


def measure(cluster, options):
    subjects = {"sunstar": ours, "axum": axum}
    print(f"64 connections of wrk, {options.reps} rounds of {options.seconds} s, interleaved")
    for path in ("/db", "/queries?queries=20"):
        rows = {name: [] for name in subjects}
        for _, (name, command) in interleaved(options.reps, [*subjects.items()]):
            rows[name].append(run(cluster, command, path, options.seconds))
        for name, runs in rows.items():
            rate, cost = (statistics.median(column) for column in zip(*runs))
            print(f"{path:20}{name:9}{cost:7.1f} us of CPU a request,{rate:8,.0f}/s; of axum's "
                  f"{of(runs, rows['axum'], 1)} and {of(runs, rows['axum'], 0)}")


def of(runs, others, column):
    ratios = [one[column] / other[column] for one, other in zip(runs, others)]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"


def run(cluster, command, path, seconds):
    port = free_port()
    with Server(command(cluster, port), port, 0) as server:
        # So that every connection to the database is there.
        for _ in range(8):
            get(port, path)
        before = sum(server.cpu_seconds())
        found = generator.wrk(port, path, seconds, 1)
        spent = sum(server.cpu_seconds()) - before
    return found["rate"], spent / found["requests"] * 1e6


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        sys.exit(f"db.py: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)
