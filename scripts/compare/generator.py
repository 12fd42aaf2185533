"""The generators: loadgen, and wrk as a cross-check. Each call is one run that ends by itself."""
import json
import os
import pathlib
import re
import subprocess
import tempfile

from compare.server import Failure

LUA = pathlib.Path(__file__).parent.with_name("pipeline.lua")
# The events of the challenge's Go client, but in no order.
EVENT = '{"userId":"user_{rand:0:74999}","value":{rand:0:999}.5}'
GRACE = 30  # seconds


def on_cpu(command, cpu, seconds, started=None):
    """Runs a generator on one CPU and returns how it ended; tells `started` its process."""
    try:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              preexec_fn=lambda: os.sched_setaffinity(0, {cpu})) as process:
            try:
                if started:
                    started(process)
                out, err = process.communicate(timeout=seconds + GRACE)
            except BaseException:
                process.kill()
                raise
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failure(f"{command[0]}: {error}") from error
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def loadgen(program, port, path, seconds, cpu, connections=64, depth=1, per_connection=None,
            rate=None, started=None):
    """A run of loadgen: an open loop with random arrivals if there is a rate."""
    with tempfile.TemporaryDirectory() as place:
        file = pathlib.Path(place, "result.json")
        command = [program, "run", "-q", "--allow-invalid", "-c", str(connections), "-p",
                   str(depth),
                   "-d", f"{round(seconds * 1000)}ms", "--warmup", "0", "--cpus", str(cpu),
                   "--expect-status", "200", "-o", str(file)]
        if path == "/event":
            command += ["-m", "POST", "-H", "Content-Type: application/json", "-b", EVENT]
        if per_connection:
            command += ["-r", str(per_connection)]
        if rate:
            command += ["-R", str(rate), "--arrival", "poisson"]
        ended = on_cpu(command + [f"http://127.0.0.1:{port}{path}"], cpu, seconds,
                       started)
        if ended.returncode != 0:
            raise Failure(f"loadgen ended with {ended.returncode}: {last_line(ended)}")
        return of_loadgen(json.loads(file.read_text()))


def of_loadgen(result):
    """What we keep of loadgen's result; every answer must have been good."""
    counts, response = result["counts"], result["latency"]["response"]["percentiles"]
    if counts["ok"] + counts["in_flight_at_end"] != counts["sent"]:
        wrong = {name: count for name, count in counts.items() if count and name in WRONG}
        raise Failure(f"not every request was answered well: {wrong}")
    at = {name: response[key]["value"] / 1e3 if key in response else None
          for name, key in (("p50", "50"), ("p99", "99"), ("p999", "99.9"))}
    return {"requests": counts["ok"], "rate": result["rate"]["achieved"], **at,
            "verdict": result["verdict"]["status"],
            "client_busy": result["verdict"]["client_busy_max"]}


WRONG = ("status_unexpected", "header_mismatch", "body_mismatch", "protocol", "timeout", "reset",
         "connect_failed")


def wrk(port, path, seconds, cpu, connections=64, depth=1, started=None):
    """A run of wrk, which has no p99.9 and a closed loop only."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}", "--latency"]
    url, event = f"http://127.0.0.1:{port}{path}", path == "/event"
    if event or depth > 1:
        command += ["-s", str(LUA), url, "--", str(depth)] + ["event"] * event
    else:
        command.append(url)
    ended = on_cpu(command, cpu, seconds, started)
    if ended.returncode != 0:
        raise Failure(f"wrk ended with {ended.returncode}: {last_line(ended)}")
    return of_wrk(ended.stdout)


def of_wrk(text):
    """What we keep of wrk's words; every answer must have been good."""
    if "Socket errors" in text or "Non-2xx" in text:
        raise Failure("not every request was answered well: " + " ".join(
            line.strip() for line in text.splitlines() if "errors" in line or "Non-2xx" in line))
    return {"requests": int(re.search(r"(\d+) requests in", text)[1]),
            "rate": float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1]),
            "p50": microseconds(re.search(r"\n +50% +(\S+)", text)[1]),
            "p99": microseconds(re.search(r"\n +99% +(\S+)", text)[1]), "p999": None}


def microseconds(text):
    """wrk's `1.25ms` as a number of microseconds."""
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text).groups()
    return float(number) * {"us": 1, "ms": 1e3, "s": 1e6, "m": 60e6}[unit]


def last_line(ended):
    return (ended.stderr.strip() or ended.stdout.strip() or "without a word").splitlines()[-1]
