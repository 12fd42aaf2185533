"""Whether a peer answers right: the figures of wrong answers are worth nothing.

Each route is asked on one connection that must stay open, then twice in one write; the figures of
`/stats` must be those of the events that were sent.
"""
import json
import socket

from compare.server import Failure

HELLO = b"Hello, World!"
EVENTS = (("ann", 1.5), ("ben", 2.25), ("ann", 4.0))
EXPECTED = {"totalRequests": 3, "uniqueUsers": 2, "sum": 7.75, "avg": 7.75 / 3}
TIMEOUT = 5.0  # seconds
ANSWER_LEN_MAX = 64 * 1024


def check(port, path, routes):
    """Asks for `path`, and for /stats after events; raises `Failure` for the first wrong answer."""
    with Client(port) as client:
        if path == "/event":
            check_events(client, "/stats" in routes)
            return
        expect = plaintext if path == "/plaintext" else message
        for count in (1, 2, 1):
            client.send(request("GET", path) * count)
            for _ in range(count):
                expect(client.answer())


def check_events(client, has_stats):
    for user, value in EVENTS:
        content = json.dumps({"userId": user, "value": value}).encode()
        client.send(request("POST", "/event", content))
        answer = client.answer()
        if answer.status != 200:
            raise Failure(f"POST /event was answered with {answer.status}")
    if has_stats:
        client.send(request("GET", "/stats"))
        answer = client.answer()
        stats = parsed(answer)
        if answer.status != 200 or stats != EXPECTED:
            raise Failure(f"/stats after three events was {answer.status} {stats}")


def request(method, path, content=None):
    """A request as a client writes it."""
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n"
    if content is not None:
        head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n"
    return head.encode() + b"\r\n" + (content or b"")


def plaintext(answer):
    kind = answer.fields.get("content-type", "")
    if answer.status != 200 or answer.content != HELLO or not kind.startswith("text/plain"):
        raise Failure(f"/plaintext was {answer.status}, {kind!r}, {answer.content[:80]!r}")


def message(answer):
    kind = answer.fields.get("content-type", "")
    good = {"message": HELLO.decode()}
    if answer.status != 200 or parsed(answer) != good or not kind.startswith("application/json"):
        raise Failure(f"/json was {answer.status}, {kind!r}, {answer.content[:80]!r}")


def parsed(answer):
    try:
        return json.loads(answer.content)
    except ValueError:
        return None


class Answer:
    """Status, header fields (in lower case) and content."""

    def __init__(self, head, content):
        lines = head.decode("latin-1").split("\r\n")
        self.status = int(lines[0].split()[1])
        pairs = (line.split(":", 1) for line in lines[1:])
        self.fields = {name.lower(): value.strip() for name, value in pairs}
        self.content = content


class Client:
    """One connection."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), TIMEOUT)
        self.input = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, text):
        self.socket.sendall(text)

    def answer(self):
        """Reads one whole answer."""
        try:
            end = self.until(b"\r\n\r\n")
            answer = Answer(self.take(end)[:-4], b"")
            if answer.fields.get("transfer-encoding", "").lower() == "chunked":
                answer.content = self.chunked()
            else:
                answer.content = self.take(int(answer.fields.get("content-length", 0)))
            return answer
        except (OSError, ValueError, IndexError) as error:
            raise Failure(f"no whole answer: {error or type(error).__name__}") from error

    def chunked(self):
        content = b""
        while (size := int(self.take(self.until(b"\r\n")).split(b";")[0], 16)) > 0:
            content += self.take(size + 2)[:-2]
        self.take(self.until(b"\r\n"))
        return content

    def until(self, mark):
        """How long the input is up to and with `mark`."""
        while mark not in self.input:
            self.receive()
        return self.input.index(mark) + len(mark)

    def take(self, size):
        while len(self.input) < size:
            self.receive()
        piece, self.input = self.input[:size], self.input[size:]
        return piece

    def receive(self):
        piece = self.socket.recv(4096)
        if not piece or len(self.input) > ANSWER_LEN_MAX:
            raise ValueError("the connection was closed" if not piece else "too long")
        self.input += piece
