#!/usr/bin/env python3
"""Looks for requests that a server sees and the proxy before it does not.

The proxy marks each request that it forwards with a number of its own, which the server sends back:
what the server answers with 200 and no such number was hidden in another request. A relay between
the two reads along. And the proxy says in its answer which number it had given to the request that
it answers: an answer with two that differ went to the wrong client. So that the watch is known to
work, it is first tried on a server that takes every request to end with its head.

    proxies.py [--cases FILE] COMMAND    COMMAND starts the server; `--listen` is added
"""

import argparse
import base64
import json
import pathlib
import re
import shlex
import socket
import subprocess
import sys
import tempfile
import threading
import time

HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: h\r\n\r\n"
CHUNKED = b"%x\r\n%s\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN)

# Lines of a head, and the content behind it that hides a request from somebody.
LINES = """
Content-Length: 5|Transfer-Encoding: chunked
Transfer-Encoding: chunked|Content-Length: 5
Transfer-Encoding: chunked|Content-Length: 0
Content-Length: 0|Content-Length: 40
Content-Length: 40|Content-Length: 0
Content-Length: 0, 40
Content-Length: +5
Content-Length: 0x28
Content-Length: 00000000000000000000000
Content-Length : 5
Content-Length: 18446744073709551616
Content-Length: 5\x0b
Content_Length: 40
Transfer-Encoding: chunked, identity
Transfer-Encoding: identity, chunked
Transfer-Encoding: chunked, chunked
Transfer-Encoding: xchunked
Transfer-Encoding: chunked;a=b
Transfer-Encoding:\x0bchunked
Transfer-Encoding: "chunked"
Transfer-Encoding: chunked|Transfer-Encoding: identity
Transfer-Encoding : chunked|Content-Length: 5
Transfer-Encoding\t: chunked|Content-Length: 5
 Transfer-Encoding: chunked|Content-Length: 5
A: b|\tTransfer-Encoding: chunked|Content-Length: 5
A: b\nTransfer-Encoding: chunked
A: b\rTransfer-Encoding: chunked
A: b\0Transfer-Encoding: chunked
Transfer_Encoding: chunked
Connection: Content-Length|Content-Length: 40
Connection: Transfer-Encoding|Transfer-Encoding: chunked
Expect: 100-continue|Content-Length: 40
Expect: 100-continue|Transfer-Encoding: chunked
Connection: Upgrade, HTTP2-Settings|Upgrade: h2c|HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA
Connection: Upgrade|Upgrade: websocket|Content-Length: 40
Transfer-Encoding: chunked
"""
CONTENTS = [
    HIDDEN,
    b"0\r\n\r\n" + HIDDEN,
    CHUNKED,
    b"0\n\n" + HIDDEN,
    b"0;\n" + HIDDEN + b"\r\n0\r\n\r\n",
    b"5;a=\nb\r\nhello\r\n0\r\n\r\n" + HIDDEN,
    b"5 \r\nhello\r\n0\r\n\r\n" + HIDDEN,
    b"0x5\r\nhello\r\n0\r\n\r\n" + HIDDEN,
    b"10000000000000000\r\n\r\n0\r\n\r\n" + HIDDEN,
    b"5\r\nhello0\r\n\r\n" + HIDDEN,
    b"5\r\nhelloXX0\r\n\r\n" + HIDDEN,
    b"0\r\nContent-Length: 40\r\n\r\n" + HIDDEN,
    b"0\r\nA: b\n\n" + HIDDEN,
]


def own_cases():
    for lines in LINES.strip("\n").split("\n"):
        head = re.sub(r"\\x0b|\\[tnr0]", lambda it: eval(f"'{it[0]}'"), lines)
        for content in CONTENTS:
            for method in ("POST", "GET"):
                start = f"{method} / HTTP/1.1\r\nHost: h\r\n" + head.replace("|", "\r\n")
                yield start.encode("latin-1") + b"\r\n\r\n" + content


def cases_of(path):
    for case in json.loads(pathlib.Path(path).read_text()):
        if "request_b64" in case:
            yield base64.b64decode(case["request_b64"])


NGINX = """
daemon off; master_process off; worker_processes 1; pid {dir}/nginx.pid;
error_log {dir}/nginx.log crit;
events {{ }}
http {{
    access_log off; client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi; uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;
    upstream wire {{ server 127.0.0.1:{server}; keepalive 1; }}
    server {{
        listen 127.0.0.1:{port}; client_max_body_size 0; keepalive_requests 1000000;
        ignore_invalid_headers off; underscores_in_headers on;
        location / {{
            proxy_pass http://wire; proxy_http_version 1.1; proxy_request_buffering off;
            proxy_set_header Connection ""; proxy_set_header Cookie id=$request_id;
            add_header X-Asked id=$request_id always;
        }}
    }}
}}
"""
HAPROXY = """
global
    nbthread 1
defaults
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
    http-reuse always
frontend front
    bind 127.0.0.1:{port}
    option accept-invalid-http-request
    http-request set-var(txn.id) uuid()
    http-request set-header Cookie id=%[var(txn.id)]
    http-response set-header X-Asked id=%[var(txn.id)]
    default_backend wire
backend wire
    option accept-invalid-http-response
    server wire 127.0.0.1:{server}
"""
PROXIES = {"nginx": (NGINX, "nginx -e stderr -c"), "haproxy": (HAPROXY, "haproxy -f")}

# Stands for the answer that an innocent client did not get: its two numbers differ.
NO_ANSWER = b"HTTP/1.1 200 none\r\nX-Cookie: id=none\r\n"


class Deaf(threading.Thread):
    """A server that takes every request to end with its head."""

    def __init__(self):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]

    def run(self):
        while True:
            client, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    @staticmethod
    def serve(client):
        held = b""
        while piece := client.recv(65536):
            *heads, held = (held + piece).split(b"\r\n\r\n")
            for head in heads:
                asked = re.search(rb"(?i)\ncookie: (\S+)", head)
                cookie = b"X-Cookie: %s\r\n" % asked[1] if asked else b""
                client.sendall(b"HTTP/1.1 200 OK\r\n%sContent-Length: 2\r\n\r\nok" % cookie)


def exchange(port, request, patience):
    """What comes back until the proxy closes, or nothing comes for so many seconds."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=patience) as client:
        try:
            client.sendall(request)
            while piece := client.recv(65536):
                answer += piece
        except OSError:
            pass
    return answer


class Relay(threading.Thread):
    """Passes bytes on between a proxy and the server at `port`, and keeps what the server says."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.server = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.said = []

    def run(self):
        while True:
            proxy, _ = self.listener.accept()
            server = socket.create_connection(("127.0.0.1", self.server))
            said = bytearray()
            self.said.append(said)
            for ends in ((proxy, server, bytearray()), (server, proxy, said)):
                threading.Thread(target=self.pass_on, args=ends, daemon=True).start()

    @staticmethod
    def pass_on(source, sink, passed):
        try:
            while piece := source.recv(65536):
                passed += piece
                sink.sendall(piece)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            for end in (source, sink):
                end.close()

    def take(self):
        """What the server has said since the last time, on all connections."""
        taken = []
        for said in self.said:
            taken.append(bytes(said))
            del said[:len(taken[-1])]
        return b"\r\n\r\n".join(taken)


def numbers(name, answers):
    """By answer with 200, the proxy's number in the field of that name, if there is one."""
    heads = re.findall(rb"HTTP/1\.1 200 [^\r]*\r\n(?:[^\r\n]+\r\n)*", answers)
    return [re.findall(rb"(?i)\n" + name + rb": (id=\S+)", head) for head in heads]


def look(port, relay, cases):
    """Returns the cases of which something hidden was served, and how often the server answered."""
    innocent = b"GET /innocent HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    found, seen = [], 0
    for case in cases:
        received = exchange(port, case, 0.05)
        for _ in range(2):
            answer = exchange(port, innocent, 10)
            is_answered = answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"ok")
            received += answer if is_answered else NO_ANSWER
        said = relay.take()
        seen += said.count(b"HTTP/1.1 ")
        is_hidden = [] in numbers(b"x-cookie", said)
        if is_hidden or numbers(b"x-cookie", received) != numbers(b"x-asked", received):
            found.append((case, said, received))
    return found, seen


def through(proxy, server, cases, directory):
    """Starts a proxy before the server at that port, and looks at what comes through."""
    relay = Relay(server)
    relay.start()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    text, command = PROXIES[proxy]
    path = pathlib.Path(directory, proxy)
    path.write_text(text.format(dir=directory, port=port, server=relay.port))
    running = subprocess.Popen([*shlex.split(command), path], stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionError:
                time.sleep(0.05)
        return look(port, relay, cases)
    finally:
        running.kill()
        running.wait()


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("command")
    options.add_argument("--cases", help="JSON with more requests, each in `request_b64`")
    options = options.parse_args()
    cases = [*own_cases(), *(cases_of(options.cases) if options.cases else ())]
    hiding = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKED
    deaf = Deaf()
    deaf.start()
    server = subprocess.Popen(
        [*shlex.split(options.command), "--listen", "127.0.0.1:0"],
        stdout=subprocess.PIPE, text=True)
    wrong = 0
    try:
        ready = server.stdout.readline()
        port = int(re.search(r"127\.0\.0\.1:(\d+)", ready)[1])
        print(ready.strip(), flush=True)
        for proxy in PROXIES:
            with tempfile.TemporaryDirectory() as directory:
                if not through(proxy, deaf.port, [hiding], directory)[0]:
                    sys.exit(f"{proxy}: a server that is deaf to content went unnoticed")
                found, seen = through(proxy, port, cases, directory)
            for case, said, received in found:
                print(f"{proxy}: {case!r}\n    {said!r}\n    {received!r}")
            wrong += len(found)
            print(
                f"{proxy}: {len(cases)} requests, {seen} answers of the server,"
                f" {len(found)} smuggled",
                flush=True)
    finally:
        server.terminate()
        server.wait()
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
