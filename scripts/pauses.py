#!/usr/bin/env python3
"""How often the machine itself stops a program: gaps in a loop that does nothing but read the clock,
on each CPU at the same time. What they take of the time, as many requests are late whatever the
server is: from 1 % on they, and not servers, decide what p99 is. Run it while nothing else runs.

  scripts/pauses.py                    all CPUs that it may use, ten seconds
  scripts/pauses.py --cpus 0,1 --seconds 30 --least-us 100
"""
import argparse
import multiprocessing
import os
import time


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cpus", type=lambda text: [int(cpu) for cpu in text.split(",")],
                        default=sorted(os.sched_getaffinity(0)), help="such as 0,1")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--least-us", type=float, default=50.0,
                        help="the shortest gap that counts (default 50)")
    options = parser.parse_args()
    with multiprocessing.Pool(len(options.cpus)) as pool:
        each = [(cpu, options.seconds, options.least_us * 1e3) for cpu in options.cpus]
        found = pool.starmap(gaps, each, chunksize=1)
    for cpu, lengths in zip(options.cpus, found):
        print(f"CPU {cpu}: {report(lengths, options.seconds)}")
    share = 1.0
    for lengths in found:
        share *= 1 - sum(lengths) / (options.seconds * 1e9)
    print(f"some CPU stopped for {1 - share:.2%} of the time")


def gaps(cpu, seconds, least):
    """The gaps of at least so many nanoseconds."""
    os.sched_setaffinity(0, {cpu})
    found, now = [], time.monotonic_ns()
    end = now + int(seconds * 1e9)
    while now < end:
        before, now = now, time.monotonic_ns()
        if now - before >= least:
            found.append(now - before)
    return found


def report(lengths, seconds):
    lengths = sorted(lengths)
    if not lengths:
        return "no gap"
    median, longest = lengths[len(lengths) // 2] / 1e3, lengths[-1] / 1e3
    share = sum(lengths) / (seconds * 1e9)
    return (f"{len(lengths) / seconds:.1f} gaps a second, {median:,.0f} us in the middle, "
            f"{longest:,.0f} us the longest, {share:.2%} of the time")


if __name__ == "__main__":
    main()
