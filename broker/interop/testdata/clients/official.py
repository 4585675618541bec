"""Goes through all that a client does, with the official Python SDK; a line of JSON each."""

import json
import os
import sys

import anyio
import httpx2
import mcp_types as types
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from renewing import Renewing


def show(check, **said):
    print(json.dumps({"check": check, **said}), flush=True)


def texts(result):
    return " ".join(block.text for block in result.content if block.type == "text")


async def elicit(context, params):
    if getattr(params, "mode", "form") == "url" or not params.requested_schema.get("properties"):
        return types.ElicitResult(action="accept")
    return types.ElicitResult(action="accept", content={"username": "u", "email": "e"})


async def run(mode):
    auth = Renewing()
    http = httpx2.AsyncClient(auth=auth, timeout=httpx2.Timeout(30, read=120))
    url = os.environ["DEED_URL"] + "/mcp"
    async with http, Client(streamable_http_client(url, http_client=http), mode=mode, elicitation_callback=elicit) as client:
        show("refresh", renewed=auth.renewed)
        tools = (await client.list_tools()).tools
        show("list", names=sorted(tool.name for tool in tools))
        show("call", text=texts(await client.call_tool("fixture__test_simple_text")))
        show("structured", structured=(await client.call_tool("desk__add", {"a": 2, "b": 3})).structured_content)
        steps = []

        async def progress(done, total, message):
            steps.append(done)

        await client.call_tool("fixture__test_tool_with_progress", progress_callback=progress)
        show("progress", steps=steps)
        asked = await client.call_tool("fixture__test_elicitation", {"message": "m"})
        show("elicit", text=texts(asked))
        denied = await client.call_tool("desk__secret", {"of": "us"})
        show("denied", error=denied.is_error, text=texts(denied))
        held = await client.call_tool("desk__refund", {"of": sys.argv[1]}, progress_callback=progress)
        show("held", text=texts(held))
        with anyio.CancelScope() as scope:

            async def begun(done, total, message):
                scope.cancel()

            await client.call_tool("desk__slow", progress_callback=begun)
        show("cancel", cancelled=scope.cancelled_caught)
        if mode == "legacy":
            await client.send_ping()  # so that the notification is away before the process is


anyio.run(run, "legacy" if sys.argv[1].startswith("2025") else "auto")
