#!/usr/bin/env python3
"""Compares servers by what a request costs them in CPU time, interleaved (A B B A ...).

Each server is started afresh for every run, alone on one core, and driven by wrk from another.
`{port}` in a command stands for a free port. The first command is what the others are held
against. Each run waits for a quiet moment (the kernel's pressure figure), at most `--patience`
seconds; one that other processes crowded all the same is tried again, at most `--tries` times, and
the quietest try counts. Ends only what it started; takes about
reps x depths x servers x (seconds + 2) seconds on a quiet machine.

  scripts/measure_cpu.py --depth 1,16 --reps 5 --seconds 3 \\
      'target/release/bare_ring {port}' \\
      'target/release/examples/techempower --listen 127.0.0.1:{port} --smp 1 --cpuset 0'
"""
import argparse
import datetime
import os
import pathlib
import platform
import re
import shlex
import signal
import socket
import statistics
import subprocess
import sys
import time

LUA = pathlib.Path(__file__).with_name("pipeline.lua")
TICKS = os.sysconf("SC_CLK_TCK")
START_MAX, STOP_MAX = 10.0, 10.0  # seconds
QUIET = 0.03  # share of a run during which some task waited for a CPU


def main():
    options = arguments()
    print(f"# {datetime.date.today()}, Linux {platform.release()}, {cpu_model()}, "
          f"{os.cpu_count()} CPUs; server on CPU {options.server_cpu}, "
          f"wrk on CPU {options.client_cpu}, {options.connections} connections, "
          f"{options.reps} runs of {options.seconds} s each")
    for depth in options.depth:
        rows = {command: [] for command in options.command}
        for rep in range(options.reps):
            for command in options.command if rep % 2 == 0 else reversed(options.command):
                rows[command].append(quiet_run(command, depth, options))
        table(rows, depth)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", nargs="+", help="a server, with {port}")
    parser.add_argument("--depth", default="1", help="requests at once per connection: 1,16",
                        type=lambda text: [int(part) for part in text.split(",")])
    parser.add_argument("--reps", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--tries", type=int, default=3)
    parser.add_argument("--patience", type=int, default=20)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--path", default="/plaintext")
    parser.add_argument("--event", action="store_true", help="the challenge's POST /event instead")
    parser.add_argument("--server-cpu", type=int, default=0)
    parser.add_argument("--client-cpu", type=int, default=1)
    return parser.parse_args()


def quiet_run(command, depth, options):
    tries = []
    while len(tries) < options.tries and (not tries or tries[-1]["crowd"] > QUIET):
        await_quiet(options.patience)
        tries.append(run(command, depth, options))
    return min(tries, key=lambda one: one["crowd"])


def await_quiet(patience):
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        waits, start = cpu_waits(), time.monotonic()
        time.sleep(0.3)
        if (cpu_waits() - waits) / (time.monotonic() - start) < QUIET:
            return


def run(command, depth, options):
    """Starts one server, drives it, stops it; returns what a request cost."""
    port = free_port()
    server = subprocess.Popen(shlex.split(command.format(port=port)), stdout=subprocess.DEVNULL,
                              preexec_fn=lambda: os.sched_setaffinity(0, {options.server_cpu}))
    try:
        await_port(server, port)
        wrk(port, depth, 1, options)  # warm-up
        before, waits, start = cpu_seconds(server.pid), cpu_waits(), time.monotonic()
        result = wrk(port, depth, options.seconds, options)
        user, system = (b - a for a, b in zip(before, cpu_seconds(server.pid)))
        crowd = (cpu_waits() - waits) / (time.monotonic() - start)
    finally:
        stop(server)
    requests = result["requests"]
    return {"user": user / requests * 1e6, "system": system / requests * 1e6,
            "cpu": (user + system) / requests * 1e6, "rate": result["rate"], "p99": result["p99"],
            "crowd": crowd}


def free_port():
    """A free port below the ephemeral ones, where a client cannot connect to itself."""
    for port in range(20000 + os.getpid() % 5000, 30000):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                try:
                    probe.close()
                    with socket.create_server(("127.0.0.1", port)):
                        return port
                except OSError:
                    pass
    sys.exit("no free port between 20000 and 30000")


def await_port(server, port):
    deadline = time.monotonic() + START_MAX
    while time.monotonic() < deadline:
        if server.poll() is not None:
            sys.exit(f"{server.args} ended with {server.returncode} before it listened")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    sys.exit(f"{server.args} did not listen on port {port} within {START_MAX} s")


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) / TICKS, int(fields[12]) / TICKS


def cpu_waits():
    """Seconds since boot during which some task was ready and had no CPU."""
    try:
        text = pathlib.Path("/proc/pressure/cpu").read_text()
    except OSError:
        return 0.0
    return int(re.search(r"some .*total=(\d+)", text)[1]) / 1e6


def wrk(port, depth, seconds, options):
    command = ["wrk", "-t1", f"-c{options.connections}", f"-d{seconds}", "--latency"]
    path, script = options.path, []
    if options.event:
        path, script = "/event", ["-s", str(LUA), "--", str(depth), "event"]
    elif depth > 1:
        script = ["-s", str(LUA), "--", str(depth)]
    url = f"http://127.0.0.1:{port}{path}"
    command += script[:2] + [url] + script[2:]
    text = subprocess.run(command, check=True, capture_output=True, text=True,
                          timeout=seconds + 30,
                          preexec_fn=lambda: os.sched_setaffinity(0, {options.client_cpu})).stdout
    if "Socket errors" in text or "Non-2xx" in text:
        sys.exit(f"not every request was answered well:\n{text}")
    return {"requests": int(re.search(r"(\d+) requests in", text)[1]),
            "rate": float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1]),
            "p99": microseconds(re.search(r"\n +99% +(\S+)", text)[1])}


def microseconds(text):
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s)", text).groups()
    return float(number) * {"us": 1, "ms": 1e3, "s": 1e6}[unit]


def stop(server):
    """Ends the server and gives the kernel time to take back what its ring held."""
    server.send_signal(signal.SIGTERM)
    try:
        server.wait(STOP_MAX)
    except subprocess.TimeoutExpired:
        print(f"{server.args} did not end on SIGTERM and was killed", file=sys.stderr)
        server.kill()
        server.wait()
    time.sleep(0.5)


def table(rows, depth):
    """Prints medians with ranges; the ratio is taken within each round, then its median."""
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


def cpu_model():
    text = pathlib.Path("/proc/cpuinfo").read_text()
    found = re.search(r"model name\s*:\s*(.+)", text)
    return found[1] if found else platform.machine()


if __name__ == "__main__":
    main()
