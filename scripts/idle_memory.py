#!/usr/bin/env python3
"""Measures what an idle connection costs the server in user memory.

Starts the server that the one argument tells (`{port}` stands for its port), opens keep-alive
connections from 127.0.0.2 and up, has each of them make one request, lets them be idle and reads
the server's private memory from /proc/PID/smaps_rollup before and after. The kernel's part, some
4 KiB for each end on loopback, is not in it. Needs Linux and enough descriptors on both sides.

    scripts/idle_memory.py \\
        'target/release/examples/techempower --listen 127.0.0.1:{port} --smp 1'
"""

import argparse
import resource
import shlex
import socket
import subprocess
import sys
import time

PER_SOURCE = 20_000
REQUEST = b"GET /plaintext HTTP/1.1\r\nHost: test\r\n\r\n"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def private_bytes(pid):
    """The pages that only this process has, and those in swap, in bytes."""
    wanted = ("Private_Clean:", "Private_Dirty:", "Swap:")
    with open(f"/proc/{pid}/smaps_rollup") as lines:
        return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(wanted))


def connect(port, number):
    """Opens one connection and makes one request on it."""
    client = socket.socket()
    client.bind((f"127.0.0.{2 + number // PER_SOURCE}", 0))
    client.connect(("127.0.0.1", port))
    client.settimeout(30)
    client.sendall(REQUEST)
    answer = b""
    while b"Hello, World!" not in answer:
        piece = client.recv(4096)
        if not piece:
            sys.exit(f"connection {number} was closed: {answer!r}")
        answer += piece
    return client


def wait_for(port):
    for _ in range(100):
        try:
            connect(port, 0).close()
            return
        except ConnectionError:
            time.sleep(0.05)
    sys.exit("the server does not answer")


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("command")
    options.add_argument("--connections", type=int, default=15_000)
    options = options.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < options.connections + 100:
        sys.exit(f"{options.connections} connections need more than {hard} descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    port = free_port()
    words = [word.replace("{port}", str(port)) for word in shlex.split(options.command)]
    server = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    try:
        wait_for(port)
        before = private_bytes(server.pid)
        clients = [connect(port, number) for number in range(options.connections)]
        time.sleep(1)
        after = private_bytes(server.pid)
        each = (after - before) / len(clients)
        print(f"{len(clients)} idle connections: {before / 1024:.0f} KiB before,"
              f" {after / 1024:.0f} KiB after, {each:.0f} bytes each")
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
