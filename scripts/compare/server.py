"""A server under measurement: started afresh on one CPU, asked what it cost, ended with all its
children.

What must hold: whatever happens, `Server` as a context leaves no process behind. Needs Linux.
"""
import contextlib
import itertools
import os
import pathlib
import re
import resource
import shlex
import signal
import socket
import statistics
import subprocess
import time

TICKS = os.sysconf("SC_CLK_TCK")
START_MAX, STOP_MAX = 20.0, 10.0  # seconds
# A ring gives its sockets back a little after its process has ended.
REST = 0.5
PORTS = range(20000, 30000)
# Two comparisons at a time begin in different places.
NEXT_PORT = itertools.islice(itertools.cycle(PORTS), os.getpid() % len(PORTS), None)


class Failure(Exception):
    """A peer that cannot be measured; the text says why."""


class Server:
    """A command that runs on one CPU until the context ends."""

    def __init__(self, command, port, cpu, log=subprocess.DEVNULL):
        self.command, self.port, self.cpu, self.log = command, port, cpu, log

    def __enter__(self):
        try:
            self.started = time.monotonic()
            # A session of its own: a Ctrl-C is for us, who then end it and its children.
            self.process = subprocess.Popen(
                shlex.split(self.command), stdout=subprocess.DEVNULL, stderr=self.log,
                start_new_session=True, preexec_fn=lambda: prepare(self.cpu))
        except OSError as error:
            raise Failure(f"cannot start {self.command}: {error}") from error
        try:
            self.await_port()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def await_port(self):
        """Waits until the port is open."""
        while time.monotonic() < self.started + START_MAX:
            if self.process.poll() is not None:
                raise Failure(f"ended with {self.process.returncode} before it listened")
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.001)
        raise Failure(f"did not listen on port {self.port} within {START_MAX:.0f} s")

    def stop(self):
        """Ends it and all its children, first politely."""
        group = self.process.pid
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGTERM)
        try:
            self.process.wait(STOP_MAX)
        except subprocess.TimeoutExpired:
            pass
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
        self.process.wait()
        time.sleep(REST)

    def cpu_seconds(self):
        """User and system time of it and its children up to now."""
        user = system = 0
        for pid in family(self.process.pid):
            with contextlib.suppress(OSError):
                fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
                user, system = user + int(fields[11]), system + int(fields[12])
        return user / TICKS, system / TICKS

    def private_bytes(self):
        """The pages that only it or its children have, and those in swap."""
        wanted = ("Private_Clean:", "Private_Dirty:", "Swap:")
        total = 0
        for pid in family(self.process.pid):
            with open(f"/proc/{pid}/smaps_rollup") as lines:
                total += sum(int(line.split()[1]) * 1024 for line in lines
                             if line.startswith(wanted))
        return total


def prepare(cpu):
    """What a server's process does before it becomes the server."""
    os.sched_setaffinity(0, {cpu})
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def family(pid):
    """A process and all that descend from it."""
    pids = [pid]
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in task.read_text().split():
                pids += family(int(child))
    return pids


def free_port():
    """A free port below the ephemeral ones, where a client cannot connect to itself.

    Each time another one: what a server leaves in TIME_WAIT keeps the next from its port, unless
    that sets SO_REUSEADDR, which not all do.
    """
    for _ in PORTS:
        port = next(NEXT_PORT)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise Failure(f"no free port from {PORTS.start} to {PORTS.stop - 1}")


class Crowd:
    """The share of a stretch of time during which some task was ready and had no CPU."""

    def __init__(self):
        self.waits, self.start = cpu_waits(), time.monotonic()

    def share(self):
        return (cpu_waits() - self.waits) / (time.monotonic() - self.start)


def cpu_waits():
    """Seconds since boot during which some task was ready and had no CPU; 0 if nobody counts."""
    try:
        text = pathlib.Path("/proc/pressure/cpu").read_text()
    except OSError:
        return 0.0
    return int(re.search(r"some .*total=(\d+)", text)[1]) / 1e6


def await_quiet(patience, quiet):
    """Waits until the machine is quiet, at most `patience` seconds."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        crowd = Crowd()
        time.sleep(0.3)
        if crowd.share() < quiet:
            return


def cpu_model():
    """The name of the CPU."""
    found = re.search(r"model name\s*:\s*(.+)", pathlib.Path("/proc/cpuinfo").read_text())
    return found[1] if found else "unknown"


def interleaved(rounds, subjects):
    """Pairs of round and subject: A B B A A B ..."""
    for one in range(rounds):
        for subject in subjects if one % 2 == 0 else reversed(subjects):
            yield one, subject


def summary(values):
    """Median, least and most."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}
