#!/usr/bin/env python3
"""Lets slowhttptest loose on a server and says how long it keeps each peer and what that costs it.

Starts the server that the one argument tells (`--listen` is added), and for each attack reads from
/proc/net/tcp, four times a second, which connections the server holds open, and from
/proc/PID/smaps_rollup what memory it has for itself. A canary on 127.0.0.2 makes a request every
20 ms, each fifth on a connection of its own. Ends with 1 if a peer is kept for longer than its
limit and a second, costs more than 4 KiB, or the canary sees an error. Needs Linux.
"""

import argparse
import http.client
import re
import resource
import shlex
import subprocess
import sys
import threading
import time

EACH_MAX = 4096
SLACK = 1.0
PERIOD = 0.25

# What slowhttptest is told, and how long the server's limits let such a peer stay, in seconds:
# the time for a head; 5 s of grace and the little that is earned by what comes; 30 s without
# progress, with ten answers that carry the cookie back and so are too long for the peer's window;
# a field longer than 8 KiB is refused at once.
ATTACKS = {
    "slow heads": ("-H -i 1 -x 24", 10.0),
    "slow content": ("-B -i 1 -x 10 -s 4096", 6.0),
    "slow reading": (f"-X -k 10 -w 1 -y 512 -n 1 -z 5 -j {'c' * 7900}", 30.0),
    "long ranges": ("-R -a 5 -b 2000", 1.0),
}


def private_bytes(pid):
    """The pages that only this process has, and those in swap, in bytes."""
    wanted = ("Private_Clean:", "Private_Dirty:", "Swap:")
    with open(f"/proc/{pid}/smaps_rollup") as lines:
        return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(wanted))


def held(port):
    """The sockets (inodes) of peers at 127.0.0.1 that the server has accepted and not closed.

    Not their ports: a port that is free again is soon taken by the next peer, and two that were
    closed in time would look like one that was not."""
    local, sockets = f"0100007F:{port:04X}", set()
    with open("/proc/net/tcp") as lines:
        for line in lines:
            _, address, peer, state, _, _, _, _, _, inode, *_ = line.split()
            if (address == local and state in ("01", "08") and peer.startswith("0100007F")
                    and inode != "0"):
                sockets.add(inode)
    return sockets


class Canary(threading.Thread):
    """A well-behaved client; counts what it asked and what went wrong."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.stop = port, threading.Event()
        self.count, self.errors, self.longest = 0, [], 0.0

    def connect(self):
        return http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=10, source_address=("127.0.0.2", 0))

    def ask(self, client):
        start = time.monotonic()
        try:
            client.request("GET", "/")
            answer = client.getresponse()
            if answer.status != 200 or answer.read() != b"ok":
                self.errors.append(f"status {answer.status}")
        except (OSError, http.client.HTTPException) as error:
            self.errors.append(repr(error))
            client.close()
        self.count += 1
        self.longest = max(self.longest, time.monotonic() - start)

    def run(self):
        kept = self.connect()
        while not self.stop.wait(0.02):
            if self.count % 5:
                self.ask(kept)
            else:
                fresh = self.connect()
                self.ask(fresh)
                fresh.close()


def watch(tool, port, pid):
    """Samples until the tool ends: (longest stay, most peers at once, peers, most memory)."""
    first, last, most, memory = {}, {}, 0, 0
    while tool.poll() is None:
        peers, now = held(port), time.monotonic()
        for peer in peers:
            first.setdefault(peer, now)
            last[peer] = now
        most = max(most, len(peers))
        memory = max(memory, private_bytes(pid))
        time.sleep(PERIOD)
    # A peer is seen for the last time up to a period before it is closed.
    stays = [last[peer] - first[peer] + PERIOD for peer in first]
    return max(stays, default=0), most, len(first), memory


def attack(name, port, pid, count):
    """Runs one attack; returns what is wrong with the outcome."""
    options, limit = ATTACKS[name]
    canary = Canary(port)
    canary.start()
    time.sleep(1)
    before = private_bytes(pid)
    command = f"slowhttptest {options} -c {count} -r {count} -l 60 -p 5 -u http://127.0.0.1:{port}/"
    tool = subprocess.Popen(
        shlex.split(command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said = []
    reader = threading.Thread(target=lambda: said.append(tool.stdout.read()))
    reader.start()
    stay, most, peers, memory = watch(tool, port, pid)
    reader.join()
    left = len(held(port))
    canary.stop.set()
    canary.join()
    each = max(0, memory - before) / max(1, most)
    ended = re.findall(r"Exit status:\S*\s+([^\x1b\n]+)", said[0])
    print(
        f"{name}: {peers} peers, {most} at once, kept {stay:.1f} s at most (limit {limit:.0f}),"
        f" {each:.0f} bytes each, {left} left; canary {canary.count} requests,"
        f" {len(canary.errors)} errors, longest {canary.longest * 1e3:.0f} ms;"
        f" slowhttptest: {ended[-1].strip() if ended else 'no exit status'}",
        flush=True)
    wrong = []
    # What is refused at once may never be seen open; what is slow must be there to be closed.
    if limit > 1 and peers < count:
        wrong.append(f"only {peers} of {count} peers came; raise ulimit -n")
    if left or stay > limit + SLACK:
        wrong.append("peers are kept for too long")
    if each > EACH_MAX:
        wrong.append(f"a peer costs more than {EACH_MAX} bytes")
    if canary.errors:
        wrong.append(f"the canary saw {canary.errors[0]}")
    return [f"{name}: {what}" for what in wrong]


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("command")
    options.add_argument("--connections", type=int, default=4_000)
    options.add_argument("--only", choices=ATTACKS, help="one attack")
    options = options.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    server = subprocess.Popen(
        [*shlex.split(options.command), "--listen", "127.0.0.1:0"],
        stdout=subprocess.PIPE, text=True)
    try:
        ready = server.stdout.readline()
        print(ready.strip(), flush=True)
        port = int(re.search(r"127\.0\.0\.1:(\d+)", ready)[1])
        names = [options.only] if options.only else list(ATTACKS)
        wrong = [what for name in names
                 for what in attack(name, port, server.pid, options.connections)]
    finally:
        server.terminate()
        server.wait()
    sys.exit("\n".join(wrong) or None)


if __name__ == "__main__":
    main()
