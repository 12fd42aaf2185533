#!/usr/bin/env python3
"""Compares servers by what a request costs them in CPU time.

For every round all servers are started afresh on one core and a generator for each on another. Then
the generators have turns of 50 ms, one at a time, A B B A ..., the others stopped meanwhile: what
the machine does in a second it does to all servers alike, so that two instances of one server
differ by less than 1 % where runs one after the other differed by 20. `{port}` in a command stands
for a free port. The first command is what the others are held against, round by round. A round
waits for a quiet moment (the kernel's pressure figure), at most `--patience` seconds. Ends only
what it started; takes about reps x depths x (servers x (seconds + 0.5) + 2) seconds.

wrk is the generator, or loadgen, which takes less of its own core, if `--loadgen` names it.

  scripts/measure_cpu.py --depth 1,16 \\
      'target/release/bare_ring {port}' \\
      'target/release/examples/techempower --listen 127.0.0.1:{port} --smp 1 --cpuset 0'
"""
import argparse
import concurrent.futures
import contextlib
import datetime
import os
import platform
import queue
import signal
import statistics
import sys
import time

from compare import generator
from compare.server import (Crowd, Failure, Server, await_quiet, cpu_model, free_port,
                            interleaved)

QUIET = 0.03  # share of a moment during which some task waited for a CPU
TURN = 0.05
OPENING = 0.3  # seconds in which a generator opens its connections


def main():
    options = arguments()
    print(f"# {datetime.date.today()}, Linux {platform.release()}, {cpu_model()}, "
          f"{os.cpu_count()} CPUs; server on CPU {options.server_cpu}, "
          f"{'loadgen' if options.loadgen else 'wrk'} on CPU {options.client_cpu}, "
          f"{options.connections} connections, {options.reps} rounds of {options.seconds} s each "
          f"in turns of {TURN * 1000:.0f} ms")
    for depth in options.depth:
        rows = {number: [] for number, _ in enumerate(options.command)}
        for _ in range(options.reps):
            await_quiet(options.patience, QUIET)
            crowd = Crowd()
            for number, cost in enumerate(measure_round(depth, options)):
                rows[number].append({**cost, "crowd": crowd.share()})
        table(rows, depth, options.command)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", nargs="+", help="a server, with {port}")
    parser.add_argument("--depth", default="1", help="requests at once per connection: 1,16",
                        type=lambda text: [int(part) for part in text.split(",")])
    parser.add_argument("--reps", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=5, help="for each server in a round")
    parser.add_argument("--loadgen", help="drive by this program instead: target/release/loadgen")
    parser.add_argument("--patience", type=int, default=20)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--path", default="/plaintext")
    parser.add_argument("--event", action="store_true", help="the challenge's POST /event instead")
    parser.add_argument("--server-cpu", type=int, default=0)
    parser.add_argument("--client-cpu", type=int, default=1)
    return parser.parse_args()


def measure_round(depth, options):
    """Starts all servers and their generators, lets these have their turns, and tells what a
    request has cost each server."""
    servers = []
    with contextlib.ExitStack() as running:
        for command in options.command:
            port = free_port()
            server = Server(command.format(port=port), port, options.server_cpu)
            servers.append(running.enter_context(server))
        before = [server.cpu_seconds() for server in servers]
        ended = take_turns(servers, depth, options)
        return [cost(first, server.cpu_seconds(), requests)
                for first, server, requests in zip(before, servers, ended)]


def take_turns(servers, depth, options):
    """Drives every server for so many seconds, in turns; tells how many requests each answered."""
    count = len(servers)
    # A generator's time is that of the clock: it passes for those that are stopped, too.
    seconds = count * options.seconds + round(count * OPENING) + 1
    with concurrent.futures.ThreadPoolExecutor(count) as threads:
        runs, processes = [], []
        try:
            for server in servers:
                started = queue.SimpleQueue()
                runs.append(threads.submit(drive, server, depth, seconds, options, started.put))
                processes.append(started.get(timeout=generator.GRACE))
                time.sleep(OPENING)
                processes[-1].send_signal(signal.SIGSTOP)
            let_go_in_turns(processes, time.monotonic() + count * options.seconds)
        except BaseException:
            for process in processes:
                process.kill()
            raise
        return [run.result()["requests"] for run in runs]


def let_go_in_turns(processes, end):
    """Lets one stopped process run at a time, until the end; then all."""
    for _, process in interleaved(sys.maxsize, processes):
        if time.monotonic() >= end:
            break
        process.send_signal(signal.SIGCONT)
        time.sleep(TURN)
        process.send_signal(signal.SIGSTOP)
    for process in processes:
        process.send_signal(signal.SIGCONT)


def drive(server, depth, seconds, options, started):
    """One run of the generator."""
    run_of = {"port": server.port, "path": "/event" if options.event else options.path,
              "depth": depth, "cpu": options.client_cpu, "connections": options.connections,
              "seconds": seconds, "started": started}
    if options.loadgen:
        return generator.loadgen(options.loadgen, **run_of)
    return generator.wrk(**run_of)


def cost(before, after, requests):
    user, system = ((b - a) / requests * 1e6 for a, b in zip(before, after))
    return {"user": user, "system": system, "cpu": user + system}


def table(rows, depth, commands):
    """Prints medians with ranges; the ratio is taken within a round, then its median."""
    print(f"\ndepth {depth:<3} {'us/request':>10} {'range':>15} {'user':>6} {'system':>6} "
          f"{'ratio':>6} {'range':>13} {'crowd':>5}  server")
    for number, runs in rows.items():
        cpu = [run["cpu"] for run in runs]
        ratio = [run["cpu"] / first["cpu"] for run, first in zip(runs, rows[0])]
        median = {key: statistics.median(run[key] for run in runs)
                  for key in ("cpu", "user", "system", "crowd")}
        print(f"{'':9} {median['cpu']:10.3f} {span(cpu):>15} {median['user']:6.3f} "
              f"{median['system']:6.3f} {statistics.median(ratio):6.3f} {span(ratio):>13} "
              f"{median['crowd']:5.0%}  {commands[number].split('{port}')[0][-40:]}", flush=True)


def span(values):
    return f"{min(values):.3f}-{max(values):.3f}"


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        sys.exit(f"measure_cpu: {failure}")
