#!/usr/bin/env python3
"""Runs the challenge with and without questions for /stats, interleaved; see stats-load.sh.

    stats_load.py DIRECTORY PAIRS REQUESTS

The questions come once a millisecond on one connection, also from loadgen. That the answers are
right is seen by scripts/history-1mrc.sh; here each must be a 200. The server has one half of the
CPUs and the generators the other: what asking costs the one who asks is not the server's.
"""
import os
import pathlib
import re
import signal
import statistics
import subprocess
import sys

QUESTIONS_PER_SECOND = 1000
CPUS = sorted(os.sched_getaffinity(0))
HALF = max(1, len(CPUS) // 2)
SERVER_CPUS, CLIENT_CPUS = (",".join(map(str, part)) for part in
                            (CPUS[:HALF], CPUS[HALF:] or CPUS))
TICKS = os.sysconf("SC_CLK_TCK")
UNITS = {"ns": 1e-6, "µs": 1e-3, "ms": 1.0, "s": 1e3}
TELL = (("rate", "rate of events"), ("p99", "p99"), ("cpu", "server CPU"))


def main():
    directory, pairs, requests = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    ratios = {key: [] for key, _ in TELL}
    for pair in range(pairs):
        both = {}
        for asked in (False, True) if pair % 2 == 0 else (True, False):
            both[asked] = run(directory, requests, asked)
        plain, busy = both[False], both[True]
        for key, of_key in ratios.items():
            of_key.append(busy[key] / plain[key])
        print(f"pair {pair + 1}: {told(plain)}; asked {busy['asked']} times: {told(busy)}",
              flush=True)
    for key, name in TELL:
        print(f"{name} with questions / without: {statistics.median(ratios[key]):.3f} "
              f"({min(ratios[key]):.3f}-{max(ratios[key]):.3f})")


def told(one):
    return f"{one['rate']:,.0f}/s, p99 {one['p99']:.2f} ms, CPU {one['cpu']:.2f} us an event"


def run(directory, requests, asked):
    """One run against a fresh server: rate, p99, the server's CPU per event."""
    server = subprocess.Popen([directory / "app-1mrc", "--listen", "127.0.0.1:0",
                               "--cpuset", SERVER_CPUS], stdout=subprocess.PIPE, text=True)
    questions = None
    try:
        address = server.stdout.readline().split()[2].rstrip(",")
        if asked:
            questions = subprocess.Popen(
                [directory / "loadgen", "-c", "1", "-R", str(QUESTIONS_PER_SECOND), "-d", "300s",
                 "--warmup", "0", "--busy-poll", "off", "--cpus", CLIENT_CPUS, "-t", "1",
                 f"http://{address}/stats"],
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        before = cpu_seconds(server.pid)
        ended = subprocess.run(
            [directory / "loadgen", "1mrc", f"http://{address}", "-n", str(requests), "-c", "64",
             "--cpus", CLIENT_CPUS],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        cpu = (cpu_seconds(server.pid) - before) / requests * 1e6
        answered = answers(questions) if asked else 0
    finally:
        if questions:
            questions.kill()
            questions.wait()
        server.terminate()
        server.wait()
    if ended.returncode:
        sys.exit(f"not exact: {ended.stdout}")
    rate = re.search(r"^Rate +([\d,.]+)/s", ended.stdout, re.M)[1].replace(",", "")
    # Count, mean, p50, p90 and p99.
    p99 = re.search(r"^Response time(?: +\S+){4} +([\d.]+)(ns|µs|ms|s)\b", ended.stdout, re.M)
    return {"rate": float(rate), "p99": float(p99[1]) * UNITS[p99[2]], "cpu": cpu,
            "asked": answered}


def answers(questions):
    """Ends the questions; how many were answered, and that each was answered well."""
    questions.send_signal(signal.SIGTERM)
    text = questions.communicate()[0]
    sent, good = re.search(r"^Sent ([\d,]+) = ([\d,]+) ok", text, re.M).groups()
    sent, good = (int(number.replace(",", "")) for number in (sent, good))
    if sent - good > 1:  # one may have been under way
        sys.exit(f"not every question was answered:\n{text}")
    return good


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


if __name__ == "__main__":
    main()
