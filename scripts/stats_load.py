#!/usr/bin/env python3
"""Runs the challenge with and without questions for /stats, interleaved; see stats-load.sh.

    stats_load.py DIRECTORY PAIRS REQUESTS

The questions come once a millisecond on one connection. Each answer must be whole: counts never go
back, and sum and users are possible for their count of the Go payload.
"""
import json
import pathlib
import re
import socket
import statistics
import subprocess
import sys
import threading
import time

PERIOD = 0.001
ASK = b"GET /stats HTTP/1.1\r\nHost: a\r\n\r\n"
USER_COUNT, VALUE_MAX = 75_000, 999.5


class Questions(threading.Thread):
    """Asks until told to end."""

    def __init__(self, address):
        super().__init__()
        self.address, self.done = address, threading.Event()
        self.count, self.faults, self.slowest = 0, [], 0.0

    def run(self):
        with socket.create_connection(self.address) as plain:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            before, due = 0, time.monotonic()
            while not self.done.is_set():
                start = time.monotonic()
                plain.sendall(ASK)
                stats = json.loads(self.body(plain))
                self.slowest = max(self.slowest, time.monotonic() - start)
                total = stats["totalRequests"]
                # loadgen begins with a reset of what was there, so only from then on.
                whole = (total >= before and stats["uniqueUsers"] <= min(total, USER_COUNT)
                         and 0 <= stats["sum"] <= total * VALUE_MAX
                         and abs(stats["avg"] * total - stats["sum"]) <= 1e-9 * stats["sum"])
                if not whole:
                    self.faults.append((before, stats))
                self.count, before = self.count + 1, total
                due = max(due + PERIOD, time.monotonic() - PERIOD)
                time.sleep(max(0.0, due - time.monotonic()))

    @staticmethod
    def body(plain):
        data = b""
        while b"\r\n\r\n" not in data or not data.endswith(b"}"):
            data += plain.recv(4096)
        return data.split(b"\r\n\r\n", 1)[1]


def run(directory, requests, asked):
    server = subprocess.Popen([directory / "app-1mrc", "--listen", "127.0.0.1:0", "--smp", "2"],
                              stdout=subprocess.PIPE, text=True)
    try:
        address = server.stdout.readline().split()[2].rstrip(",")
        host, port = address.rsplit(":", 1)
        questions = Questions((host, int(port)))
        if asked:
            questions.start()
        try:
            ended = subprocess.run(
                [directory / "loadgen", "1mrc", f"http://{address}", "-n", str(requests), "-c", "64"],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        finally:
            questions.done.set()
            if asked:
                questions.join()
    finally:
        server.terminate()
        server.wait()
    if ended.returncode or questions.faults:
        sys.exit(f"not exact: {ended.stdout}\n{questions.faults[:3]}")
    rate = float(re.search(r"([\d,]+(?:\.\d+)?)\s*(?:req(?:uests)?)?/s", ended.stdout)[1].replace(",", ""))
    p99 = re.search(r"p99\s+([\d.]+)\s*(us|ms|s)\b", ended.stdout)
    return rate, float(p99[1]) * {"us": 0.001, "ms": 1, "s": 1000}[p99[2]], questions


def main():
    directory, pairs, requests = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    rates, tails = [], []
    for pair in range(pairs):
        both = {}
        for asked in (False, True) if pair % 2 == 0 else (True, False):
            both[asked] = run(directory, requests, asked)
        (plain, plain_p99, _), (busy, busy_p99, questions) = both[False], both[True]
        rates.append(busy / plain)
        tails.append(busy_p99 / plain_p99)
        print(f"pair {pair + 1}: {plain:,.0f}/s p99 {plain_p99:.2f} ms; asked "
              f"{questions.count} times, slowest {questions.slowest * 1000:.1f} ms: "
              f"{busy:,.0f}/s p99 {busy_p99:.2f} ms", flush=True)
    print(f"with questions / without: rate {statistics.median(rates):.3f} "
          f"({min(rates):.3f}-{max(rates):.3f}), p99 {statistics.median(tails):.3f} "
          f"({min(tails):.3f}-{max(tails):.3f}); every answer whole")


if __name__ == "__main__":
    main()
