"""The FastAPI peer with `async def` and `AsyncMongoClient`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bench.peers.fastapi_join import Document, User, joined, require_active, settings
from bench.peers.fastapi_models import Envelope, Joined, JoinRequest
from bson import ObjectId
from fastapi import FastAPI, Request
from pymongo import AsyncMongoClient


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with AsyncMongoClient[Document](settings.mongodb_uri, tz_aware=True) as client:
        app.state.database = client[settings.mongodb_database]
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/healthz")
async def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/api/v1/live-stream/join")
async def join(request: Request, wanted: JoinRequest, user: User) -> Envelope[Joined]:
    database = request.app.state.database
    key = {"_id": ObjectId(wanted.live_stream_id), "deleted_at": None}
    stream = require_active(await database["streams"].find_one(key))
    ids = [each["user"] for each in stream["broadcasters"]]
    users = await database["users"].find({"_id": {"$in": ids}}).to_list()
    return joined(stream, users, user)
