"""The service on FastAPI: one process, one set.

    uvicorn --app-dir benches/peers/python peer:app --port PORT --no-access-log
"""
from fastapi import FastAPI, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel


class Event(BaseModel):
    userId: str
    value: float


class Tally:
    def __init__(self):
        self.users, self.count, self.sum = set(), 0, 0.0


app, tally = FastAPI(), Tally()


@app.get("/plaintext", response_class=PlainTextResponse)
async def plaintext():
    return "Hello, World!"


@app.get("/json")
async def json():
    return {"message": "Hello, World!"}


@app.post("/event")
async def post_event(event: Event):
    tally.users.add(event.userId)
    tally.count += 1
    tally.sum += event.value
    return Response()


@app.get("/stats")
async def stats():
    return {"totalRequests": tally.count, "uniqueUsers": len(tally.users), "sum": tally.sum,
            "avg": tally.sum / tally.count if tally.count else 0.0}
