"""From a result to tables in Markdown and to pictures.

What must hold: a figure is a median over rounds; a ratio is taken within each round, to the bare
ring of that round, and then its median; whoever failed stands there with the reason.
"""
import re
import statistics

from compare import plot

BASE = "bare-ring"
MARKS = ("<!-- compare: start -->", "<!-- compare: end -->")
NONE = ""
# The columns of the first table: title, suite, and what tells its runs apart.
COLUMNS = (
    ("plaintext", "plaintext", {"depth": 1}),
    ("16 pipelined", "plaintext", {"depth": 16}),
    ("JSON", "json", {"depth": 1}),
    ("`POST /event`", "event", {"depth": 1}),
    ("10 requests per connection", "churn", {}),
)


def brief(one):
    """One run in a few words."""
    if "start_ms" in one:
        return (f"{one['start_ms']:.0f} ms, {one['idle_bytes'] / 2**20:.1f} MiB, "
                f"{one['connection_bytes']:.0f} bytes each")
    depth = f" x{one['depth']}" if one.get("depth", 1) > 1 else ""
    tail = f" p99 {one['p99']:.0f}" if one.get("rate_offered") else ""
    return f"{one['generator']}{depth} {one['cpu']:.2f} us {one['rate']:,.0f}/s{tail}"


def selected(result, suite, generator, wanted):
    """The runs of one column by peer and round."""
    runs = result["suites"].get(suite, {"runs": []})["runs"]
    found = {}
    for one in runs:
        if one.get("generator") == generator and all(one.get(k) == v for k, v in wanted.items()):
            found.setdefault(one["peer"], {})[one["rep"]] = one
    return found


def median(runs, key):
    values = [one[key] for one in runs.values() if one[key] is not None]
    return statistics.median(values) if values else None


def ratio(runs, base, key="cpu"):
    """The median over the rounds that both have of the ratio within the round."""
    shared = [runs[rep][key] / base[rep][key] for rep in runs if rep in base]
    return statistics.median(shared) if shared else None


def tables(result):
    """All tables, one below the other."""
    parts = [head(result), cpu_table(result, "loadgen"), check_table(result), tail_table(result),
             idle_table(result), failures(result)]
    return "\n\n".join(part for part in parts if part)


def head(result):
    machine, tools = result["machine"], result["tools"]
    suites = result["suites"]
    days = sorted({one["started"][:10] for one in suites.values()})
    shapes = sorted({f"{one['reps']} rounds of {one['seconds']} s" for one in suites.values()})
    return (f"Measured on {' and '.join(days)}: {machine['cpu']}, {machine['cpus']} CPUs, "
            f"Linux {machine['kernel']}, {tools['rustc'].split(' (')[0]}, commit "
            f"{tools['commit']}. Server on one CPU, generator on another, 64 connections, "
            f"{', '.join(shapes)}, interleaved.")


def cpu_table(result, generator):
    """What a request costs the server in CPU time, and beside it the ratio to the bare ring."""
    columns = [(title, selected(result, suite, generator, wanted))
               for title, suite, wanted in COLUMNS]
    columns = [(title, found) for title, found in columns if found]
    if not columns:
        return ""
    lines = ["CPU time of the server per request in microseconds, its user part, and the ratio to "
             "the bare ring:", "", row("server", *(title for title, _ in columns)),
             row(*["---"] * (len(columns) + 1))]
    for name, peer in result["peers"].items():
        cells = [cpu_cell(found.get(name), found.get(BASE, {})) for _, found in columns]
        if any(cells):
            lines.append(row(peer["title"], *cells))
    return "\n".join(lines)


def cpu_cell(runs, base):
    if not runs:
        return NONE
    cpu, user, times = median(runs, "cpu"), median(runs, "user"), ratio(runs, base)
    digits = 2 if cpu < 1.995 else 1 if cpu < 99.95 else 0
    told = f"{cpu:.{digits}f} ({user:.{digits}f})"
    return told + (f" {times:.2f}x" if times else "")


def check_table(result):
    """The rates, and what wrk says of the same."""
    columns = []
    for title, suite, wanted in COLUMNS[:4]:
        for generator in ("loadgen", "wrk"):
            found = selected(result, suite, generator, wanted)
            if found:
                columns.append((f"{title}, {generator}", found))
    if not columns:
        return ""
    lines = ["Thousand requests per second (at depth 1 the generator is the bottleneck for the "
             "fast ones), and CPU time per request as the two generators see it:", "",
             row("server", *(title for title, _ in columns)),
             row(*["---"] * (len(columns) + 1))]
    for name, peer in result["peers"].items():
        cells = [f"{median(found[name], 'rate') / 1e3:.0f}, {median(found[name], 'cpu'):.2f} us"
                 if name in found else NONE for _, found in columns]
        if any(cells):
            lines.append(row(peer["title"], *cells))
    return "\n".join(lines)


def tail_table(result):
    """Response times at a rate that is offered whatever comes back."""
    found = selected(result, "latency", "loadgen", {})
    if not found:
        return ""
    offered = result["suites"]["latency"]["rate"]
    lines = [f"Response time in microseconds when {offered:,} requests per second are offered, at "
             "random moments, counted from when each was due:", "",
             row("server", "p50", "p99", "p99.9", "CPU us per request",
                 "rounds that loadgen calls VALID"),
             row(*["---"] * 6)]
    for name, peer in result["peers"].items():
        if name not in found:
            continue
        runs = found[name]
        cells = [time_cell(median(runs, key)) for key in ("p50", "p99", "p999")]
        if median(runs, "rate") < 0.97 * offered:
            cells = [f"reaches {median(runs, 'rate'):,.0f}/s", NONE, NONE]
        valid = sum(run["verdict"] == "VALID" for run in runs.values())
        lines.append(row(peer["title"], *cells, f"{median(runs, 'cpu'):.1f}",
                         f"{valid} of {len(runs)}"))
    return "\n".join(lines)


def time_cell(value):
    return "?" if value is None else f"{value:,.0f}"


def idle_table(result):
    """Servers that have nothing to do."""
    suite = result["suites"].get("idle")
    if not suite or not suite["runs"]:
        return ""
    found = selected(result, "idle", None, {})
    lines = [f"Doing nothing, with {suite['idle_connections']:,} connections open: private memory "
             "of the process, and the time from its start to its first answer:", "",
             row("server", "before the first connection", "each connection", "start",
                 "program without symbols"), row(*["---"] * 5)]
    for name, peer in result["peers"].items():
        if name in found:
            size = median(found[name], "program_bytes")
            lines.append(row(
                peer["title"], f"{median(found[name], 'idle_bytes') / 2**20:.1f} MiB",
                f"{median(found[name], 'connection_bytes'):,.0f} bytes",
                f"{median(found[name], 'start_ms'):.0f} ms",
                f"{size / 2**20:.1f} MiB" if size else "a script"))
    return "\n".join(lines)


def failures(result):
    """Who could not be measured, and why."""
    lines = []
    for suite, one in result["suites"].items():
        for wrong in one["failed"]:
            title = result["peers"].get(wrong["peer"], {"title": wrong["peer"]})["title"]
            lines.append(f"- {title}, {suite}: {wrong['stage']}: {wrong['why']}")
    return "Left out:\n\n" + "\n".join(lines) if lines else ""


def row(*cells):
    return "| " + " | ".join(cells) + " |"


def pictures(result, file):
    """Draws a picture of bars for each column, beside the result; their paths."""
    drawn = []
    for title, suite, wanted in COLUMNS:
        found = selected(result, suite, "loadgen", wanted)
        bars = [(plain(peer["title"]), peer["kind"], median(found[name], "user"),
                 median(found[name], "system"))
                for name, peer in result["peers"].items() if name in found]
        if len(bars) > 1:
            kind = "-".join([suite, *(f"depth-{value}" for value in wanted.values())])
            path = file.with_name(f"{file.stem}-{kind}.svg")
            heading = f"{plain(title)}: server CPU time per request, microseconds"
            path.write_text(plot.bars(heading, bars))
            drawn.append(path)
    return drawn


def plain(title):
    return re.sub(r"[*`]", "", title)


def into_readme(result, file, drawn, readme):
    """Replaces what stands between the marks."""
    text = readme.read_text()

    def below(path):
        return path.resolve().relative_to(readme.parent.resolve())

    block = [head(result), cpu_table(result, "loadgen"), tail_table(result), idle_table(result),
             failures(result)]
    block += [f"![{path.stem}]({below(path)})" for path in drawn[:2]]
    block.append(f"All runs: [{file.name}]({below(file)}).")
    readme.write_text(between(text, "\n\n".join(part for part in block if part)))


def between(text, block):
    """`text` with `block` between the marks."""
    start, end = (text.find(mark) for mark in MARKS)
    if start < 0 or end < start:
        raise ValueError(f"README.md lacks the lines {' and '.join(MARKS)}")
    return text[:start + len(MARKS[0])] + "\n" + block + "\n" + text[end:]
