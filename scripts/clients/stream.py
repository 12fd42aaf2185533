#!/usr/bin/env python3
"""Streams content up to an echoing server with aiohttp and back, sized and chunked; compares SHA-256.

    stream.py URL [MIB]
"""
import asyncio
import hashlib
import sys

import aiohttp

PIECE = bytes(range(256)) * 256


async def echo(session, url, count, is_sized):
    """Sends `count` pieces; returns whether the same came back."""
    sent = hashlib.sha256()

    async def pieces():
        for _ in range(count):
            sent.update(PIECE)
            yield PIECE

    fields = {"Content-Length": str(count * len(PIECE))} if is_sized else {}
    received = hashlib.sha256()
    async with session.post(url, data=pieces(), headers=fields) as reply:
        reply.raise_for_status()
        async for piece in reply.content.iter_any():
            received.update(piece)
    return sent.digest() == received.digest()


async def main():
    url, mib = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 8
    count = mib * 2**20 // len(PIECE)
    async with aiohttp.ClientSession() as session:
        for is_sized in (True, False):
            if not await echo(session, url, count, is_sized):
                sys.exit(f"sized {is_sized}: what came back is not what was sent")
    print(f"{mib} MiB up and down, sized and chunked: equal")


asyncio.run(main())
