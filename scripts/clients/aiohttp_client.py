#!/usr/bin/env python3
"""Sends events to app-1mrc with aiohttp, as the challenge's Python client does, and compares /stats.

    aiohttp_client.py [--url http://localhost:8080] [-n 1000000] [-c 1000]
"""
import argparse
import asyncio
import sys
import time

import aiohttp

USER_COUNT = 75_000
VALUE_COUNT = 1_000


async def send(session, url, numbers, failures):
    """Takes numbers and sends their events until none is left."""
    for i in numbers:
        event = {"userId": f"user_{i % USER_COUNT}", "value": i % VALUE_COUNT}
        try:
            async with session.post(url, json=event) as reply:
                if reply.status != 200:
                    failures.append(f"event {i}: status {reply.status}")
        except (aiohttp.ClientError, asyncio.TimeoutError) as error:
            failures.append(f"event {i}: {error!r}")


async def run(url, count, concurrency):
    """Sends all events and says what is wrong, or nothing."""
    connector = aiohttp.TCPConnector(limit=concurrency)
    async with aiohttp.ClientSession(connector=connector) as session:
        async with session.post(url + "/reset") as reply:
            if reply.status != 200:
                return f"POST /reset: status {reply.status}"
        numbers, failures, started = iter(range(count)), [], time.monotonic()
        senders = (send(session, url + "/event", numbers, failures) for _ in range(concurrency))
        await asyncio.gather(*senders)
        elapsed = time.monotonic() - started
        print(f"{count} events in {elapsed:.2f} s, {count / elapsed:.0f}/s, {len(failures)} failed")
        async with session.get(url + "/stats") as reply:
            seen = await reply.json()
    if failures:
        return failures[0]
    total = sum(i % VALUE_COUNT for i in range(count))
    expected = {
        "totalRequests": count,
        "uniqueUsers": min(count, USER_COUNT),
        "sum": total,
        "avg": total / count,
    }
    return None if seen == expected else f"stats are {seen}, not {expected}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--url", default="http://localhost:8080")
    parser.add_argument("-n", type=int, default=1_000_000, help="how many events to send")
    parser.add_argument("-c", type=int, default=1_000, help="how many are under way at once")
    options = parser.parse_args()
    try:
        wrong = asyncio.run(run(options.url, options.n, options.c))
    except (aiohttp.ClientError, asyncio.TimeoutError) as error:
        wrong = f"{options.url}: {error or repr(error)}"
    print(f"failed: {wrong}" if wrong else "ok: exact")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
