"""The peers of benches/peers/peers.toml: what each is, how it is built and started."""
import pathlib
import re
import shlex
import subprocess
import tomllib

from compare.server import Failure

ROOT = pathlib.Path(__file__).resolve().parents[2]
PEERS = ROOT / "benches/peers"
KINDS = ("limit", "ours", "framework", "loop", "server")
BUILD_MAX = 1800  # seconds
KNOWN = {"name", "title", "version", "kind", "routes", "build", "config", "start", "event",
         "suites"}


class Peer:
    """One server of the file."""

    def __init__(self, table, target):
        unknown = set(table) - KNOWN
        if unknown or table["kind"] not in KINDS:
            raise ValueError(f"peers.toml: {table['name']}: {unknown or table['kind']} is unknown")
        self.name, self.kind, self.routes = table["name"], table["kind"], table["routes"]
        self.title, self.builds = table["title"], table["build"]
        self.start, self.event = table["start"], table.get("event", table["start"])
        self.suites = table.get("suites")
        self.config, self.version_from = table.get("config"), table["version"]
        self.places = {"target": target, "peers": PEERS}

    def takes_part(self, name, path):
        """Whether it is measured in this suite, which asks for this path."""
        return path in self.routes and (self.suites is None or name in self.suites)

    def build(self):
        """Builds what is missing."""
        (PEERS / "target").mkdir(exist_ok=True)
        for command in self.builds:
            run(shlex.split(fill(command, self.places)))

    def command(self, path, port, cpu, place):
        """The command that starts it; its configuration is written into the directory `place`."""
        places = dict(self.places, port=port, cpu=cpu)
        if self.config:
            source = pathlib.Path(fill(self.config, places))
            places["config"] = pathlib.Path(place, source.name)
            text = fill(source.read_text(), dict(places, dir=place))
            places["config"].write_text(text)
        return fill(self.event if path == "/event" else self.start, places)

    def program(self):
        """The file that is started."""
        return shlex.split(fill(self.start, dict(self.places, port=0, cpu=0, config="")))[0]

    def version(self):
        """The version that is measured, as a short text."""
        how, what = self.version_from.split(" ", 1) if " " in self.version_from \
            else (self.version_from, "")
        if how == "cargo":
            return locked(what, [PEERS / "Cargo.lock", ROOT / "Cargo.lock"])
        if how == "commit":
            return run(["git", "-C", str(ROOT), "describe", "--always", "--dirty"]).strip()
        return re.search(r"\d+(\.\d+)+", run(shlex.split(fill(what, self.places))))[0]


def fill(text, places):
    """Replaces `{name}` for each of `places`, and leaves other braces alone."""
    for name, value in places.items():
        text = text.replace("{" + name + "}", str(value))
    return text


def locked(package, files):
    """The version of a package in the first lock file that has it."""
    for file in files:
        for entry in tomllib.loads(file.read_text())["package"]:
            if entry["name"] == package:
                return entry["version"]
    raise ValueError(f"{package} is in no Cargo.lock")


def run(command):
    """Runs a command to its end; its output, or why there is none."""
    try:
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True,
                               timeout=BUILD_MAX)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failure(f"{shlex.join(command)}: {error}") from error
    text = ended.stdout + ended.stderr
    if ended.returncode != 0:
        wrong = [line for line in text.splitlines() if "error" in line] or text.splitlines()[-1:]
        raise Failure(f"{shlex.join(command)} failed: {' '.join(wrong[:1]).strip()[:300]}")
    return text


def read(target, names=None, file=PEERS / "peers.toml"):
    """The peers with these names, in the file's order; all if no names are given."""
    peers = [Peer(table, target) for table in tomllib.loads(file.read_text())["peer"]]
    known = [peer.name for peer in peers]
    if len(set(known)) != len(known):
        raise ValueError("peers.toml: a name stands there twice")
    unknown = set(names or ()) - set(known)
    if unknown:
        raise ValueError(f"no such peer: {', '.join(sorted(unknown))}; "
                         f"there are {', '.join(known)}")
    return [peer for peer in peers if not names or peer.name in names]
