"""Where the time of a suite goes: a flame graph of the server and one of the generator, the kernel
included, and the symbols that have most of it; see scripts/profile.sh.

Samples by the kernel's software clock, since virtual machines have no counters; stacks by DWARF,
since programs are built without frame pointers.
"""
import argparse
import collections
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

from compare import peer as peers_file
from compare import suite
from compare.peer import ROOT
from compare.server import Failure, family

INFERNO = "0.12.8"
HERTZ = 499
TOLD = 25  # symbols


def main():
    options = arguments()
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    options.loadgen = str(target / "release/loadgen")
    try:
        peer, = peers_file.read(target, [options.peer])
        if suite.SUITES[options.suite].path not in peer.routes:
            raise Failure(f"{peer.name} has no {suite.SUITES[options.suite].path}")
        tools = inferno(target)
        peers_file.run(["cargo", "build", "--release", "--quiet", "-p", "loadgen"])
        peer.build()
        record(peer, tools, target / "profile", options)
    except (Failure, ValueError) as failure:
        sys.exit(f"profile: {failure}")


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/profile.sh", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", choices=[name for name in suite.SUITES if name != "idle"])
    parser.add_argument("--peer", default="sunstar", help="default: sunstar")
    parser.add_argument("--depth", type=int, default=1, help="pipelined requests (default 1)")
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--rate", type=int, default=20_000, help="of suite latency")
    parser.add_argument("--server-cpu", type=int, default=0)
    parser.add_argument("--client-cpu", type=int, default=1)
    return parser.parse_args()


def inferno(target):
    """The directory of inferno's programs, which are built at the first use."""
    place = target / f"inferno-{INFERNO}"
    if not (place / "bin/inferno-flamegraph").exists():
        print("profile: building inferno", file=sys.stderr)
        peers_file.run(["cargo", "install", "--quiet", "--locked", "--version", INFERNO, "--root",
                        str(place), "inferno"])
    return place / "bin"


def record(peer, tools, place, options):
    """Drives a server while perf looks at both CPUs."""
    ways = dict(suite.SUITES[options.suite].ways[0][1])
    ways |= {"depth": options.depth} if "depth" in ways else {}
    ways |= {"rate": options.rate} if "rate" in ways else {}
    path = suite.SUITES[options.suite].path
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, suite.started(peer, path, options) as server:
        data = pathlib.Path(scratch, "perf.data")
        suite.drive(server, path, "loadgen", {}, 1, options)  # warm-up
        load = threading.Thread(target=suite.drive, args=(
            server, path, "loadgen", ways, options.seconds + 2, options))
        load.start()
        try:
            ours, asked = family(server.process.pid), []
            while load.is_alive() and not asked:
                asked = [pid for pid in family(os.getpid()) if pid not in [os.getpid(), *ours]]
                time.sleep(0.01)
            peers_file.run(["perf", "record", "--quiet", "-o", str(data), "-e", "cpu-clock", "-F",
                            str(HERTZ), "--call-graph", "dwarf,4096", "-C",
                            f"{options.server_cpu},{options.client_cpu}", "--", "sleep",
                            str(options.seconds)])
        finally:
            load.join()
        name = f"{options.suite}-{options.depth}-{peer.name}"
        for part, pids in (("server", ours), ("generator", asked)):
            graph(tools, data, pids, place / f"{name}-{part}.svg", f"{name}: {part}")


def graph(tools, data, pids, picture, title):
    """Folds the samples of some processes, draws them and tells the symbols with most of them."""
    samples = subprocess.run(["perf", "script", "-i", str(data), "--no-inline", "--pid",
                              ",".join(map(str, pids))], capture_output=True)
    folded = subprocess.run([tools / "inferno-collapse-perf", "--all"], input=samples.stdout,
                            capture_output=True)
    stacks = folded.stdout
    if not stacks:
        raise Failure("perf has no samples: does the kernel permit it (perf_event_paranoid)?")
    drawn = subprocess.run([tools / "inferno-flamegraph", "--title", title], input=stacks,
                           capture_output=True)
    picture.write_bytes(drawn.stdout)
    print(f"\n{picture}\n{told(stacks.decode())}", flush=True)


def told(stacks):
    """The symbols on top of the stacks, with their share; perf weighs samples in nanoseconds."""
    own = collections.Counter()
    for line in stacks.splitlines():
        stack, count = line.rsplit(" ", 1)
        own[stack.rsplit(";", 1)[-1]] += int(count)
    total = own.total()
    kernel = sum(count for symbol, count in own.items() if symbol.endswith("_[k]"))
    lines = [f"{total / 1e9:.2f} s of CPU time, {kernel / total:.1%} in the kernel (_[k])"]
    lines += [f"{count / total:6.1%}  {symbol}" for symbol, count in own.most_common(TOLD)]
    return "\n".join(lines)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
