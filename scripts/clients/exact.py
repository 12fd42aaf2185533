#!/usr/bin/env python3
"""Sends events whose sum plain doubles get wrong, and compares /stats with math.fsum of what was sent.

    exact.py [--url http://localhost:8080] [-n 1000000] [-c 16] [--seed 1]
             {random,decimals,cancel,unicode}

Pipelines over several connections; needs nothing but Python. The sum and the average are also
compared with quotients of integers, since fsum gives up when a part of a sum is too large.
"""
import argparse
import json
import math
import random
import selectors
import socket
import struct
import sys
import time
import urllib.parse

BATCH = 50
CANCEL = (1e16, 1.0, -1e16, 1e308, 1e308, -1e308, -1e308, 5e-324, -5e-324, 0.1)
LETTERS = ("\u00e4", "a\u0308", "\U0001f31f", "\u65e5\u672c", "\x00", '"\\', "\ufeff", "a")


def events(payload, count, rng):
    """The users and values of a payload."""
    for i in range(count):
        if payload == "decimals":
            yield f"user_{i % 75000}", 0.1
        elif payload == "cancel":
            yield f"user_{i % 75000}", CANCEL[i % len(CANCEL)]
        elif payload == "unicode":
            yield f"{LETTERS[i % len(LETTERS)]}{i % 9973}", i % 1000 + 0.5
        else:
            value = struct.unpack("<d", rng.randbytes(8))[0]
            # Of all sizes, but such that the sum stays a double.
            value = math.ldexp(math.frexp(value)[0], rng.randint(-1074, 900)) \
                if math.isfinite(value) else 0.5
            yield f"user_{rng.randrange(75000)}", value


def request(user, value, escape):
    body = json.dumps({"userId": user, "value": value}, ensure_ascii=escape).encode()
    return b"POST /event HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


class Connection:
    """Sends its batches one after the other, and counts what is answered with 200."""

    def __init__(self, address, batches):
        self.socket = socket.create_connection(address)
        self.batches, self.waiting, self.rest, self.good = batches, 0, b"", 0

    def send_next(self):
        batch = next(self.batches, None)
        if batch is None:
            return False
        self.waiting = len(batch)
        self.socket.sendall(b"".join(batch))
        return True

    def receive(self):
        """Takes in answers; false when there is nothing more to do."""
        data = self.socket.recv(1 << 16)
        if not data:
            raise ConnectionError("closed by the server")
        data = self.rest + data
        *replies, self.rest = data.split(b"\r\n\r\n")
        self.good += sum(reply.startswith(b"HTTP/1.1 200 ") for reply in replies)
        self.waiting -= len(replies)
        return self.waiting > 0 or self.send_next()


def ask(address, method, path):
    with socket.create_connection(address) as plain:
        plain.sendall(f"{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
                      "Content-Length: 0\r\n\r\n".encode())
        reply = b"".join(iter(lambda: plain.recv(1 << 16), b""))
    head, body = reply.split(b"\r\n\r\n", 1)
    if not head.startswith(b"HTTP/1.1 200 "):
        raise ConnectionError(f"{method} {path}: {head.splitlines()[0].decode()}")
    return body


def exact(values):
    """The sum in units of the smallest double. Python divides such integers to the nearest double."""
    total = 0
    for value in values:
        numerator, denominator = value.as_integer_ratio()
        total += numerator * ((1 << 1074) // denominator)
    return total


def run(address, options):
    rng = random.Random(options.seed)
    users, values = set(), []

    def batches():
        batch = []
        for i, (user, value) in enumerate(events(options.payload, options.n, rng)):
            users.add(user)
            values.append(value)
            batch.append(request(user, value, escape=i % 2 == 0))
            if len(batch) == BATCH:
                yield batch
                batch = []
        if batch:
            yield batch

    ask(address, "POST", "/reset")
    shared, start = batches(), time.monotonic()
    selector = selectors.DefaultSelector()
    connections = [Connection(address, shared) for _ in range(options.c)]
    for one in connections:
        if one.send_next():
            selector.register(one.socket, selectors.EVENT_READ, one)
    while selector.get_map():
        for key, _ in selector.select():
            if not key.data.receive():
                selector.unregister(key.fileobj)
    good = sum(one.good for one in connections)
    print(f"{good} of {options.n} events acknowledged in {time.monotonic() - start:.1f} s")
    seen = json.loads(ask(address, "GET", "/stats"))
    total, unit = exact(values), 1 << 1074
    expected = {"totalRequests": good, "uniqueUsers": len(users),
                "sum": total / unit, "avg": total / (len(values) * unit)}
    wrong = {name: (seen[name], value) for name, value in expected.items() if seen[name] != value}
    try:
        if math.fsum(values) != seen["sum"]:
            wrong["fsum"] = (seen["sum"], math.fsum(values))
    except OverflowError:
        pass  # it gives up where a part of the sum is too large
    if good != options.n:
        wrong["acknowledged"] = (good, options.n)
    return wrong, seen


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("payload", choices=["random", "decimals", "cancel", "unicode"])
    parser.add_argument("--url", default="http://localhost:8080")
    parser.add_argument("-n", type=int, default=1_000_000, help="how many events to send")
    parser.add_argument("-c", type=int, default=16, help="over how many connections")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    url = urllib.parse.urlsplit(options.url)
    try:
        wrong, seen = run((url.hostname, url.port or 80), options)
    except OSError as error:
        wrong, seen = str(error), None
    print(f"failed: (seen, expected) {wrong}" if wrong else f"ok: exact {json.dumps(seen)}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
