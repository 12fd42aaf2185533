#!/usr/bin/env python3
"""Compares servers by what a request costs them in CPU time, interleaved (A B B A ...).

For every round all servers are started afresh on one core, and then driven in turn from another,
one at a time, `--slices` times each: the shorter the time between two runs, the less the machine
has changed meanwhile. `{port}` in a command stands for a free port. The first command is what the
others are held against, slice by slice. Each run waits for a quiet moment (the kernel's pressure
figure), at most `--patience` seconds; one that other processes crowded all the same is tried again,
at most `--tries` times, and the quietest try counts. Ends only what it started; takes about
reps x depths x servers x (slices x (seconds + 0.5) + 2) seconds on a quiet machine.

wrk is the generator, or loadgen, which takes less of its own core, if `--loadgen` names it.

  scripts/measure_cpu.py --depth 1,16 --reps 5 --slices 8 --seconds 1 \\
      'target/release/bare_ring {port}' \\
      'target/release/examples/techempower --listen 127.0.0.1:{port} --smp 1 --cpuset 0'
"""
import argparse
import contextlib
import datetime
import os
import platform
import statistics
import sys

from compare import generator
from compare.server import (Crowd, Failure, Server, await_quiet, cpu_model, free_port,
                            interleaved)

QUIET = 0.03  # share of a run during which some task waited for a CPU


def main():
    options = arguments()
    print(f"# {datetime.date.today()}, Linux {platform.release()}, {cpu_model()}, "
          f"{os.cpu_count()} CPUs; server on CPU {options.server_cpu}, "
          f"{'loadgen' if options.loadgen else 'wrk'} on CPU {options.client_cpu}, "
          f"{options.connections} connections, {options.reps} rounds of {options.slices} runs of "
          f"{options.seconds} s each")
    for depth in options.depth:
        rows = {command: [] for command in options.command}
        for _ in range(options.reps):
            measure_round(rows, depth, options)
        table(rows, depth)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", nargs="+", help="a server, with {port}")
    parser.add_argument("--depth", default="1", help="requests at once per connection: 1,16",
                        type=lambda text: [int(part) for part in text.split(",")])
    parser.add_argument("--reps", type=int, default=5)
    parser.add_argument("--slices", type=int, default=1)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--loadgen", help="drive by this program instead: target/release/loadgen")
    parser.add_argument("--tries", type=int, default=3)
    parser.add_argument("--patience", type=int, default=20)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--path", default="/plaintext")
    parser.add_argument("--event", action="store_true", help="the challenge's POST /event instead")
    parser.add_argument("--server-cpu", type=int, default=0)
    parser.add_argument("--client-cpu", type=int, default=1)
    return parser.parse_args()


def measure_round(rows, depth, options):
    """Starts all servers, drives them in turn, and adds to `rows` what a request cost each."""
    with contextlib.ExitStack() as running:
        servers = {}
        for command in rows:
            port = free_port()
            server = Server(command.format(port=port), port, options.server_cpu)
            servers[command] = running.enter_context(server)
            drive(server, depth, 1, options)  # warm-up
        for _, command in interleaved(options.slices, list(rows)):
            rows[command].append(quiet_run(servers[command], depth, options))


def quiet_run(server, depth, options):
    tries = []
    while len(tries) < options.tries and (not tries or tries[-1]["crowd"] > QUIET):
        await_quiet(options.patience, QUIET)
        tries.append(run(server, depth, options))
    return min(tries, key=lambda one: one["crowd"])


def run(server, depth, options):
    """Drives one server; returns what a request cost."""
    before, crowd = server.cpu_seconds(), Crowd()
    result = drive(server, depth, options.seconds, options)
    user, system = ((b - a) / result["requests"] * 1e6
                    for a, b in zip(before, server.cpu_seconds()))
    return {"user": user, "system": system, "cpu": user + system, "rate": result["rate"],
            "p99": result["p99"], "crowd": crowd.share()}


def drive(server, depth, seconds, options):
    """One run of the generator."""
    run_of = {"port": server.port, "path": "/event" if options.event else options.path,
              "depth": depth, "cpu": options.client_cpu, "connections": options.connections,
              "seconds": seconds}
    if options.loadgen:
        return generator.loadgen(options.loadgen, **run_of)
    return generator.wrk(**run_of)


def table(rows, depth):
    """Prints medians with ranges; the ratio is taken between neighbours, then its median."""
    first = next(iter(rows.values()))
    print(f"\ndepth {depth:<3} {'us/request':>10} {'range':>15} {'user':>6} {'system':>6} "
          f"{'ratio':>6} {'range':>13} {'requests/s':>10} {'p99':>8} {'crowd':>5}  server")
    for command, runs in rows.items():
        cpu, ratio = [r["cpu"] for r in runs], [r["cpu"] / f["cpu"] for r, f in zip(runs, first)]
        median = {key: statistics.median(r[key] for r in runs)
                  for key in ("cpu", "user", "system", "rate", "p99", "crowd")}
        print(f"{'':9} {median['cpu']:10.3f} {span(cpu):>15} {median['user']:6.3f} "
              f"{median['system']:6.3f} {statistics.median(ratio):6.3f} {span(ratio):>13} "
              f"{median['rate']:10.0f} {median['p99']:7.0f}u "
              f"{median['crowd']:5.0%}  "
              f"{command.split('{port}')[0][-40:]}", flush=True)


def span(values):
    return f"{min(values):.3f}-{max(values):.3f}"


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        sys.exit(f"measure_cpu: {failure}")
