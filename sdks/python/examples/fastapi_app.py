"""A FastAPI app that tells all browsers of a new comment. `uvicorn fastapi_app:app` starts it."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from cometql import AsyncClient
from fastapi import Depends, FastAPI, Request
from pydantic import BaseModel


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    hosts = os.environ["COMETQL_HOSTS"].split(",")
    async with AsyncClient.connect(hosts, "root", os.environ["COMETQL_KEY"]) as client:
        app.state.comet = client
        yield


async def comet(request: Request) -> AsyncClient:
    client: AsyncClient = request.app.state.comet
    return client


class Comment(BaseModel):
    author: str
    text: str


app = FastAPI(lifespan=lifespan)


@app.post("/comments")
async def add_comment(comment: Comment, client: Annotated[AsyncClient, Depends(comet)]) -> dict[str, str | int]:
    sent = await client.publish("web_comments", comment.model_dump(), event="comment")
    return {"id": sent.id, "reached": sent.reached}
