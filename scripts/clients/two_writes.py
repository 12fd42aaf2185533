#!/usr/bin/env python3
"""Posts events to app-1mrc over one connection, head and body in two writes, as Java's client does.

Every reply must be a 200 with `Content-Length: 0`, and the connection must stay open.

    two_writes.py [--host localhost] [--port 8080] [-n 10000] [--pause SECONDS]
"""
import argparse
import json
import socket
import sys
import time


class Wrong(Exception):
    """What the server did that it must not do."""


class Client:
    """One connection that is never opened again."""

    def __init__(self, host, port):
        self.socket = socket.create_connection((host, port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.replies = self.socket.makefile("rb")
        self.host = f"{host}:{port}"

    def ask(self, method, path, body=b"", pause=0.0):
        """Sends a request in two writes and returns status, fields and body of the reply."""
        head = f"{method} {path} HTTP/1.1\r\nHost: {self.host}\r\n"
        if method == "POST":
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        self.socket.sendall(f"{head}\r\n".encode())
        if body:
            time.sleep(pause)
            self.socket.sendall(body)
        return self.reply()

    def reply(self):
        status = self.line().split(" ")
        if len(status) < 2 or status[0] != "HTTP/1.1":
            raise Wrong(f"status line {status}")
        fields = {}
        while line := self.line():
            name, _, value = line.partition(":")
            fields[name.lower()] = value.strip()
        if "content-length" not in fields:
            raise Wrong(f"no Content-Length in {fields}")
        return int(status[1]), fields, self.replies.read(int(fields["content-length"]))

    def line(self):
        line = self.replies.readline()
        if not line.endswith(b"\r\n"):
            raise Wrong(f"the connection ended after {line!r}")
        return line[:-2].decode("ascii")


def run(options):
    client = Client(options.host, options.port)
    if client.ask("POST", "/reset")[0] != 200:
        raise Wrong("POST /reset is refused")
    for i in range(options.n):
        event = {"userId": f"user_{i % 75_000}_req_{i}", "value": i % 1_000 + 0.5}
        status, fields, _ = client.ask("POST", "/event", json.dumps(event).encode(), options.pause)
        if status != 200 or fields["content-length"] != "0":
            raise Wrong(f"event {i} is answered with {status} and {fields}")
        if fields.get("connection", "keep-alive").lower() != "keep-alive":
            raise Wrong(f"event {i} is answered with {fields}")
    status, _, text = client.ask("GET", "/stats")
    total = sum(i % 1_000 + 0.5 for i in range(options.n))
    average = total / options.n if options.n else 0
    expected = dict(totalRequests=options.n, uniqueUsers=options.n, sum=total, avg=average)
    if status != 200 or json.loads(text) != expected:
        raise Wrong(f"stats are {text.decode()}, not {expected}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("-n", type=int, default=10_000, help="how many events to send")
    parser.add_argument("--pause", type=float, default=0.0, help="between the two writes")
    options = parser.parse_args()
    started = time.monotonic()
    try:
        run(options)
    except (Wrong, OSError, ValueError) as error:
        print(f"failed: {error}")
        sys.exit(1)
    print(f"ok: {options.n} events on one connection in {time.monotonic() - started:.2f} s")


if __name__ == "__main__":
    main()
