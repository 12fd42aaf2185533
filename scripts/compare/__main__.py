"""Measures servers side by side and writes what was found.

Builds what is missing, asks each server whether it answers right, then measures, interleaved
(A B B A ...), each time a fresh server on one CPU and the generator on another. A server that
cannot be built, answers wrong or fails is named and left out. Ends everything that it started, also
on Ctrl-C; each run ends by itself. A suite takes about
reps x servers x (1.5 + ways x seconds) seconds.

  scripts/compare.sh --suite plaintext --reps 5
  scripts/compare.sh --suite event --peers sunstar,warp,go --output mine.json
  scripts/compare.sh --report benches/results/2026-11-30.json --readme
"""
import argparse
import datetime
import itertools
import json
import os
import pathlib
import platform
import shlex
import shutil
import signal
import sys

from compare import peer as peers_file
from compare import report, suite
from compare.peer import ROOT
from compare.server import Failure, cpu_model, interleaved


def main():
    options = arguments()
    # Whoever started us in the background may have had it ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # A caller that ends us politely must also find nothing left behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if options.report:
        return publish(json.loads(options.report.read_text()), options.report, options)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    options.loadgen = str(target / "release/loadgen")
    try:
        peers = peers_file.read(target, options.peers)
        if "idle" in options.suite:
            suite.allow_connections(options.idle_connections)
    except (ValueError, Failure) as error:
        sys.exit(f"compare: {error}")
    failed = [] if options.no_build else build(peers, options)
    if options.build_only:
        return
    result = document(options, peers)
    for name in options.suite:
        able = [peer for peer in peers if takes_part(peer.name, name, peers)
                and peer.name not in {one["peer"] for one in failed}]
        result["suites"][name] = {
            "started": now(), "command": shlex.join(["scripts/compare.sh", *sys.argv[1:]]),
            "seconds": options.seconds, "reps": options.reps, "connections": options.connections,
            "rate": options.rate, "idle_connections": options.idle_connections,
            **run(name, able, options)}
        result["suites"][name]["failed"] += [
            one for one in failed if takes_part(one["peer"], name, peers)]
        save(result, options.output)
    publish(result, options.output, options)


def takes_part(peer_name, name, peers):
    path = suite.SUITES[name].path
    return any(peer.name == peer_name and peer.takes_part(name, path) for peer in peers)


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/compare.sh", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", type=names, default=list(suite.SUITES),
                        help=f"default: all, which are {','.join(suite.SUITES)}")
    parser.add_argument("--peers", type=names, help="default: all of benches/peers/peers.toml")
    parser.add_argument("--reps", type=positive, default=5, help="rounds (default 5)")
    parser.add_argument("--seconds", type=positive, default=2, help="of a run (default 2)")
    parser.add_argument("--connections", type=positive, default=64, help="default 64")
    parser.add_argument("--rate", type=positive, default=20_000,
                        help="of suite latency, requests per second (default 20000)")
    parser.add_argument("--idle-connections", type=positive, default=10_000, help="default 10000")
    parser.add_argument("--server-cpu", type=int, default=0)
    parser.add_argument("--client-cpu", type=int, default=1)
    parser.add_argument("--patience", type=int, default=20,
                        help="wait so many seconds for a quiet machine before a run (default 20)")
    parser.add_argument("--no-wrk", action="store_true", help="leave the cross-check out")
    parser.add_argument("--no-build", action="store_true", help="take what is built")
    parser.add_argument("--build-only", action="store_true", help="build, and measure nothing")
    parser.add_argument("--output", type=pathlib.Path,
                        help="default benches/results/DATE.json, or DATE-2.json and so on")
    parser.add_argument("--add", action="store_true", help="keep the suites that --output holds "
                        "and are not measured now; it must be of the same commit")
    parser.add_argument("--readme", action="store_true",
                        help="also put the tables into README.md and draw the pictures")
    parser.add_argument("--report", type=pathlib.Path, metavar="FILE",
                        help="measure nothing, report what this file holds")
    options = parser.parse_args()
    unknown = set(options.suite) - set(suite.SUITES)
    if unknown:
        parser.error(f"no such suite: {', '.join(sorted(unknown))}")
    if options.server_cpu == options.client_cpu:
        parser.error("the server and the generator need a CPU each")
    measures = not (options.report or options.build_only)
    if measures and options.output and options.output.exists() and not options.add:
        parser.error(f"{options.output} is there already: --add adds to it, or name another file")
    if measures and not options.no_wrk and not shutil.which("wrk"):
        parser.error("wrk is missing: install it, or leave the cross-check out with --no-wrk")
    if options.add and not options.output:
        parser.error("--add needs the file that it adds to: --output FILE")
    date = datetime.date.today().isoformat()
    options.output = options.output or fresh_name(ROOT / "benches/results", date)
    return options


def fresh_name(place, date):
    """A file that is not there yet: what was measured once is not written over."""
    numbers = itertools.chain([""], (f"-{number}" for number in itertools.count(2)))
    return next(file for number in numbers
                if not (file := pathlib.Path(place, f"{date}{number}.json")).exists())


def names(text):
    return [name for name in text.split(",") if name]


def positive(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def build(peers, options):
    """Builds loadgen and the peers; who cannot be built is named."""
    failed = []
    tell("building loadgen")
    try:
        peers_file.run(["cargo", "build", "--release", "--quiet", "-p", "loadgen"])
    except Failure as failure:
        sys.exit(f"compare: {failure}")
    for peer in peers:
        tell(f"building {peer.name}")
        try:
            peer.build()
        except Failure as failure:
            failed.append(fault(peer, "build", failure))
    return failed


def run(name, peers, options):
    """All rounds of one suite."""
    runs, failed = [], []
    for peer in peers:
        try:
            suite.check(peer, name, options)
        except Failure as failure:
            failed.append(fault(peer, "check", failure))
    for rep, peer in interleaved(options.reps, peers):
        if peer.name in {one["peer"] for one in failed}:
            continue
        try:
            fresh = suite.measure(peer, name, rep, options)
        except Failure as failure:
            failed.append(fault(peer, "run", failure))
            continue
        runs += fresh
        tell(f"{name} {rep + 1}/{options.reps} {peer.name}: "
             + ", ".join(report.brief(one) for one in fresh))
    return {"runs": runs, "failed": failed}


def fault(peer, stage, failure):
    tell(f"{peer.name} FAILED ({stage}): {failure}")
    return {"peer": peer.name, "stage": stage, "why": str(failure)}


def document(options, peers):
    """The result so far: an empty one with the machine, or what the file holds that is added to.

    A table is of one sitting: of one machine and one commit."""
    result = {"schema": "compare/1", "machine": machine(), "tools": tools(options), "peers": {},
              "suites": {}}
    if options.add and options.output.exists():
        before = json.loads(options.output.read_text())
        if before["machine"] != result["machine"]:
            sys.exit(f"compare: {options.output} is of another machine: name another --output")
        commits = [one["tools"]["commit"] for one in (before, result)]
        if commits[0] != commits[1] or "dirty" in commits[0] or commits[0] == "?":
            sys.exit(f"compare: {options.output} is of commit {commits[0]}, and this is "
                     f"{commits[1]}: name another --output")
        result["peers"], result["suites"] = before["peers"], before["suites"]
    for peer in peers:
        try:
            version = peer.version()
        except (Failure, ValueError, TypeError):
            version = "?"
        title = peer.title.replace("{version}", version)
        result["peers"][peer.name] = {"title": title, "version": version, "kind": peer.kind}
    order = [peer.name for peer in peers_file.read(ROOT / "target")]
    result["peers"] = dict(sorted(result["peers"].items(), key=lambda one: order.index(one[0])))
    return result


def machine():
    memory = pathlib.Path("/proc/meminfo").read_text().split()[1]
    return {"cpu": cpu_model(), "cpus": os.cpu_count(), "kernel": platform.release(),
            "memory_gib": round(int(memory) / 1024 / 1024)}


def tools(options):
    found = {}
    for name, command in (("rustc", ["rustc", "--version"]), ("loadgen", [options.loadgen, "-V"]),
                          ("commit", ["git", "-C", str(ROOT), "describe", "--always", "--dirty"])):
        try:
            found[name] = peers_file.run(command).strip()
        except Failure:
            found[name] = "?"
    return found


def now():
    return datetime.datetime.now().isoformat(timespec="seconds")


def save(result, file):
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_suffix(".part")
    fresh.write_text(json.dumps(result, indent=1) + "\n")
    fresh.replace(file)


def publish(result, file, options):
    """Prints the tables, and with --readme puts them where readers find them."""
    print(report.tables(result))
    if options.readme:
        pictures = report.pictures(result, file)
        report.into_readme(result, file, pictures, ROOT / "README.md")
        tell(f"README.md and {len(pictures)} pictures written")


def tell(text):
    print(f"compare: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
