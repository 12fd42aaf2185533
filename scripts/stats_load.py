#!/usr/bin/env python3
"""Drives app-1mrc with events, with and without questions for /stats among them; see stats-load.sh.

    stats_load.py DIRECTORY ROUNDS together|apart

A round is a fresh server and SLICES pairs of runs of a second against it, a run with questions next
to one without (A B B A ...). The questions are so many of the generator's own requests that they
come about a thousand times a second: a process of its own that asks would take a CPU from the other
two. That the answers are right is seen by scripts/history-1mrc.sh; here each must be a 200.
"""
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

from compare.server import Failure, free_port, interleaved

QUESTIONS_PER_SECOND = 1000
SLICES = 20
CPUS = sorted(os.sched_getaffinity(0))
EVENT = 'POST /event {"userId":"user_{rand:1:75000}","value":{rand:1:999}}'
TELL = (("rate", "rate of events"), ("p99", "p99 of events"), ("cpu", "server CPU per request"))


def main():
    directory, rounds = pathlib.Path(sys.argv[1]), int(sys.argv[2])
    cpus = divided(sys.argv[3])
    ratios, asked = {key: [] for key, _ in TELL}, []
    with tempfile.TemporaryDirectory() as place:
        for number in range(rounds):
            for plain, busy in measure_round(directory, cpus, pathlib.Path(place)):
                asked.append(busy["asked"])
                for key, of_key in ratios.items():
                    of_key.append(busy[key] / plain[key])
            print(f"round {number + 1} of {rounds}: {told(plain)}; with questions: {told(busy)}",
                  flush=True)
    print(f"{len(asked)} pairs, asked {statistics.median(asked):,.0f} times a second; "
          "with questions / without, and where half of all pairs are:")
    for key, name in TELL:
        low, middle, high = statistics.quantiles(ratios[key], n=4)
        print(f"  {name}: {middle:.3f} ({low:.3f}-{high:.3f})")


def told(one):
    return f"{one['rate']:,.0f}/s, p99 {one['p99']:.2f} ms, CPU {one['cpu']:.2f} us"


def divided(how):
    """The CPUs of the server, and those of the generator."""
    half = len(CPUS) // 2
    if how == "together" or half == 0:
        parts = CPUS, CPUS
    else:
        parts = CPUS[:half], CPUS[half:]
    return tuple(",".join(map(str, part)) for part in parts)


def measure_round(directory, cpus, place):
    """The pairs of one server: (without, with questions)."""
    server_cpus, client_cpus = cpus
    port = free_port()
    address = f"127.0.0.1:{port}"
    server = subprocess.Popen([directory / "app-1mrc", "--listen", address, "--cpuset",
                               server_cpus], stdout=subprocess.PIPE, text=True)
    try:
        if not server.stdout.readline().startswith("listening"):
            raise Failure("app-1mrc does not listen")
        drive = Generator(directory / "loadgen", address, client_cpus, server.pid, place).drive
        rate = drive(0, 1)["rate"]  # warm-up
        share = max(1, round(rate / QUESTIONS_PER_SECOND))
        runs = {0: [], share: []}
        for _, kind in interleaved(SLICES, list(runs)):
            runs[kind].append(drive(kind, 1))
        return list(zip(*runs.values()))
    finally:
        server.terminate()
        server.wait()


class Generator:
    """loadgen, as it drives one server."""

    def __init__(self, program, address, cpus, server_pid, place):
        self.program, self.address, self.cpus = program, address, cpus
        self.server_pid, self.place = server_pid, place

    def drive(self, share, seconds):
        """One run with one question among `share` events; 0 for none."""
        mix, out = self.place / "mix", self.place / "result.json"
        mix.write_text(f"{share} {EVENT}\n1 GET /stats\n" if share else f"1 {EVENT}\n")
        ended = subprocess.run(
            [self.program, "run", "-q", "--allow-invalid", "-c", "64", "-d", f"{seconds}s",
             "--warmup", "0", "--cpus", self.cpus, "--busy-poll", "off", "--expect-status", "200",
             "-H", "Content-Type: application/json", "--server-pid", str(self.server_pid),
             "--urls", mix, "-o", out, f"http://{self.address}/"],
            capture_output=True, text=True, check=False)
        if ended.returncode:
            raise Failure(f"loadgen ended with {ended.returncode}: {ended.stderr or ended.stdout}")
        result = json.loads(out.read_text())
        lasted, parts = result["phases"]["measured_s"], result["templates"]
        # Requests of one kind have no account of their own.
        events = parts[0] if share else {"counts": result["counts"], **result["latency"]}
        return {"rate": events["counts"]["ok"] / lasted,
                "p99": events["response"]["percentiles"]["99"]["value"] / 1e6,
                "cpu": result["server"]["cpu_us_per_request"],
                "asked": parts[1]["counts"]["ok"] / lasted if share else 0}


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        sys.exit(f"stats_load: {failure}")
