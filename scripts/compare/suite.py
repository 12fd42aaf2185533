"""The suites: what is asked of a peer, and what is kept of each run.

A run is a dictionary with the peer, the round and what was measured; times are microseconds.
"""
import contextlib
import pathlib
import resource
import shutil
import socket
import subprocess
import tempfile
import time

from compare import conformance, generator
from compare.server import Crowd, Failure, Server, await_quiet, free_port

QUIET = 0.03
PER_SOURCE = 20_000
IP_BIND_ADDRESS_NO_PORT = 24  # ip(7); Python has no name for it before 3.12
ANSWER_MAX = 30  # seconds
# Connections that are opened before the first of them is asked for its answer.
AT_ONCE = 100


class Suite:
    """One path, and the ways in which it is asked."""

    def __init__(self, path, ways):
        self.path, self.ways = path, ways


# Each way: the generator and what it is told.
SUITES = {
    "plaintext": Suite("/plaintext", [("loadgen", {"depth": 1}), ("loadgen", {"depth": 16}),
                                      ("wrk", {"depth": 1}), ("wrk", {"depth": 16})]),
    "json": Suite("/json", [("loadgen", {"depth": 1}), ("wrk", {"depth": 1})]),
    "event": Suite("/event", [("loadgen", {"depth": 1}), ("wrk", {"depth": 1})]),
    "churn": Suite("/plaintext", [("loadgen", {"per_connection": 10})]),
    "latency": Suite("/plaintext", [("loadgen", {"rate": None})]),
    "idle": Suite("/plaintext", []),
}


@contextlib.contextmanager
def started(peer, path, options):
    """The peer, fresh."""
    port = free_port()
    with tempfile.TemporaryDirectory() as place, tempfile.TemporaryFile("w+") as log:
        command = peer.command(path, port, options.server_cpu, place)
        try:
            with Server(command, port, options.server_cpu, log) as server:
                yield server
        except Failure as failure:
            log.seek(0)
            said = log.read().strip().splitlines()[-1:]
            tail = f"; it said: {said[0][:200]}" if said else ""
            raise Failure(f"{failure}{tail}") from None


def check(peer, name, options):
    """Whether the peer answers right for this suite."""
    path = SUITES[name].path
    with started(peer, path, options) as server:
        conformance.check(server.port, path, peer.routes)


def measure(peer, name, rep, options):
    """One round of a suite against a fresh server: a run for each way."""
    suite, runs = SUITES[name], []
    if options.patience:
        await_quiet(options.patience, QUIET)
    if name == "idle":
        return [{"peer": peer.name, "rep": rep} | idle(peer, options)]
    with started(peer, suite.path, options) as server:
        drive(server, suite.path, "loadgen", {}, options.seconds / 2, options)  # warm-up
        for program, ways in suite.ways:
            if program == "wrk" and options.no_wrk:
                continue
            ways = dict(ways, rate=options.rate) if "rate" in ways else ways
            before, crowd = server.cpu_seconds(), Crowd()
            result = drive(server, suite.path, program, ways, options.seconds, options)
            after = server.cpu_seconds()
            runs.append({"peer": peer.name, "rep": rep, "generator": program, **ways, **result,
                         **cost(before, after, result["requests"]), "crowd": crowd.share()})
    return runs


def drive(server, path, program, ways, seconds, options):
    """One run of a generator."""
    common = {"path": path, "cpu": options.client_cpu, "connections": options.connections}
    if program == "wrk":
        return generator.wrk(server.port, seconds=max(1, round(seconds)), **common, **ways)
    return generator.loadgen(options.loadgen, server.port, seconds=seconds, **common, **ways)


def cost(before, after, requests):
    """CPU time for each request."""
    if requests == 0:
        raise Failure("no request was answered")
    user, system = ((b - a) / requests * 1e6 for a, b in zip(before, after))
    return {"user": user, "system": system, "cpu": user + system}


def idle(peer, options):
    """What a server costs that has nothing to do: time to start, memory, file."""
    with started(peer, "/plaintext", options) as server:
        conformance.check(server.port, "/plaintext", ())
        start = time.monotonic() - server.started
        before = server.private_bytes()
        held = []
        try:
            every = range(options.idle_connections)
            for first in every[::AT_ONCE]:
                connect(server.port, every[first:first + AT_ONCE], held)
            time.sleep(0.5)
            after = server.private_bytes()
        finally:
            for client in held:
                client.close()
    each = (after - before) / options.idle_connections
    return {"start_ms": start * 1e3, "idle_bytes": before, "connection_bytes": each,
            "program_bytes": stripped(peer.program())}


def connect(port, numbers, held):
    """Opens connections that make one request each, and adds them to `held`."""
    fresh = []
    for number in numbers:
        client = socket.socket()
        held.append(client)
        fresh.append((number, client))
        client.settimeout(ANSWER_MAX)
        # Else the kernel looks through all ports at each bind.
        client.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        try:
            client.bind((f"127.0.0.{2 + number // PER_SOURCE}", 0))
            client.connect(("127.0.0.1", port))
            client.sendall(conformance.request("GET", "/plaintext"))
        except OSError as error:
            raise Failure(f"connection {number}: {error}") from error
    for number, client in fresh:
        answer = b""
        while conformance.HELLO not in answer:
            try:
                piece = client.recv(4096)
            except OSError as error:
                raise Failure(f"connection {number}: {error}") from error
            if not piece:
                raise Failure(f"connection {number} was closed")
            answer += piece


def stripped(program):
    """The length of a program's file without symbols; nothing for a script."""
    found = shutil.which(program)
    if not found or not pathlib.Path(found).read_bytes().startswith(b"\x7fELF"):
        return None
    with tempfile.NamedTemporaryFile() as file:
        ended = subprocess.run(["strip", "-o", file.name, found], capture_output=True)
        return pathlib.Path(file.name).stat().st_size if ended.returncode == 0 else None


def allow_connections(count):
    """Raises our limit of open files, if the system lets us."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most < count + 200:
        raise Failure(f"{count} connections need more than {most} open files: ulimit -n, "
                      f"or --idle-connections {max(1, most - 200)}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
