#!/usr/bin/env python3
"""The example `db` against a real PostgreSQL: are its answers right, and what does it cost?

Makes a cluster in a temporary directory (needs Debian's `postgresql`; nothing of the system's is
touched), fills TechEmpower's table, and checks /db and /queries to the last byte, also while the
database is stopped and after it is back. With --compare it then measures it beside axum with
tokio-postgres: fresh servers on one CPU, wrk and the database on what is left, in turns A B B A.
Ends everything that it started.

  scripts/db.py
  scripts/db.py --compare --reps 5 --seconds 3
"""
import argparse
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
          "?queries=1": 1, "?queries=20": 20, "?queries=500": 500, "?queries=501": 500}


class Cluster:
    """A PostgreSQL of its own, in a directory that is gone afterwards."""

    def __enter__(self):
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
        if not found:
            raise Failure("there is no PostgreSQL here: apt-get install postgresql")
        self.tools, self.port = pathlib.Path(found[-1]), free_port()
        self.place = tempfile.mkdtemp(prefix="sunstar-db-")
        # As root it refuses to run.
        self.user = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
        if self.user:
            os.chown(self.place, self.user.pw_uid, self.user.pw_gid)
        try:
            self.tool("initdb", "--auth=trust", "--no-sync", "--encoding=UTF8", f"--username={USER}",
                      "--pgdata", f"{self.place}/data")
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
        with contextlib.suppress(Failure):
            self.stop()
        shutil.rmtree(self.place, ignore_errors=True)

    def start(self):
        options = f"-p {self.port} -k {self.place} -c listen_addresses=127.0.0.1 -c fsync=off"
        self.tool("pg_ctl", "start", "--wait", "--silent", "--pgdata", f"{self.place}/data",
                  "--log", f"{self.place}/log", "--options", options)

    def stop(self):
        self.tool("pg_ctl", "stop", "--wait", "--silent", "--mode=fast", "--pgdata",
                  f"{self.place}/data")

    def sql(self, text, database=NAME):
        return self.tool("psql", "--host", self.place, "--port", str(self.port), "--username", USER,
                         "--no-align", "--tuples-only", "--command", text, database)

    def tool(self, name, *arguments):
        who = {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []} \
            if self.user else {}
        # Not through pipes that a server in the background would hold open.
        with tempfile.TemporaryFile("w+") as said:
            ended = subprocess.run([self.tools / name, *arguments], stdin=subprocess.DEVNULL,
                                   stdout=said, stderr=said, cwd="/", **who)
            said.seek(0)
            text = said.read()
        if ended.returncode != 0:
            raise Failure(f"{name} ended with {ended.returncode}: {text.strip()}")
        return text


def main():
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    subjects = {"sunstar": ours, **({"axum": axum} if options.compare else {})}
    build(options)
    with Cluster() as cluster:
        check(cluster, options.program)
        if options.compare:
            measure(cluster, subjects, options)


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
    return (f"{program or TARGET / 'release/examples/db'} --listen 127.0.0.1:{port} --smp 1 --cpuset 0 "
            f"--postgres 127.0.0.1:{cluster.port} --database 'user={USER} dbname={NAME}'")


def axum(cluster, port):
    return (f"{PEERS}/target/release/peer-axum-db {port} "
            f"'host=127.0.0.1 port={cluster.port} user={USER} dbname={NAME}'")


def check(cluster, program):
    """Every answer is a row of the table, written as the suite wants it; no answer is invented."""
    lines = cluster.sql("SELECT id, randomnumber FROM world").split()
    table = dict(tuple(map(int, line.split("|"))) for line in lines)
    require(len(table) == ROWS, f"{len(table)} rows in the table")
    port = free_port()
    with Server(ours(cluster, port, program), port, 0):
        checked = 0
        for _ in range(200):
            checked += check_rows(table, "[" + get(port, "/db") + "]", 1)
        for asked, count in COUNTS.items():
            checked += check_rows(table, get(port, "/queries" + asked), count)
        cluster.stop()
        status = [status_of(port, "/db") for _ in range(8)]
        require(status == [503] * 8, f"without a database it answered {status}")
        cluster.start()
        for _ in range(8):
            checked += check_rows(table, "[" + get(port, "/db") + "]", 1)
    print(f"db: {checked} rows right to the last byte, 503 while the database was away")


def check_rows(table, text, count):
    rows = json.loads(text)
    require(len(rows) == count, f"{len(rows)} rows instead of {count}")
    for row in rows:
        require(table.get(row["id"]) == row["randomNumber"], f"{row} is not in the table")
    exact = json.dumps([{"id": row["id"], "randomNumber": row["randomNumber"]} for row in rows],
                       separators=(",", ":"))
    require(text == exact, f"written as {text}")
    return count


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


def measure(cluster, subjects, options):
    print(f"64 connections of wrk, {options.reps} rounds of {options.seconds} s, interleaved; the "
          "server on CPU 0, the database wherever it finds room")
    for path in ("/db", "/queries?queries=20"):
        rows = {name: [] for name in subjects}
        for _, (name, command) in interleaved(options.reps, list(subjects.items())):
            rows[name].append(run(cluster, command, path, options.seconds))
        for name, runs in rows.items():
            pairs = [one[0] / other[0] for one, other in zip(runs, rows["axum"])]
            rate, cost = (statistics.median(column) for column in zip(*runs))
            print(f"{path:22}{name:10}{rate:10,.0f}/s{cost:9.1f} us of the server's CPU a request, "
                  f"{statistics.median(pairs):.2f} ({min(pairs):.2f}-{max(pairs):.2f}) of axum's rate")


def run(cluster, command, path, seconds):
    port = free_port()
    with Server(command(cluster, port), port, 0) as server:
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
