"""Goes through all that a client does, with fastmcp; a line of JSON each."""

import json
import os
import sys

import anyio
from fastmcp import Client
from fastmcp.client.elicitation import ElicitResult
from fastmcp.client.transports import StreamableHttpTransport

from renewing import Renewing


def show(check, **said):
    print(json.dumps({"check": check, **said}), flush=True)


def texts(result):
    return " ".join(block.text for block in result.content if block.type == "text")


async def elicit(message, response_type, params, context):
    if getattr(params, "mode", "form") == "url" or not params.requested_schema.get("properties"):
        return ElicitResult(action="accept")
    return ElicitResult(action="accept", content={"username": "u", "email": "e"})


async def run():
    auth = Renewing()
    to = StreamableHttpTransport(os.environ["DEED_URL"] + "/mcp", auth=auth)
    async with Client(to, elicitation_handler=elicit, timeout=120) as client:
        show("refresh", renewed=auth.renewed)
        show("list", names=sorted(tool.name for tool in await client.list_tools()))
        show("call", text=texts(await client.call_tool("fixture__test_simple_text")))
        show("structured", structured=(await client.call_tool("desk__add", {"a": 2, "b": 3})).structured_content)
        steps = []

        async def progress(done, total, message):
            steps.append(done)

        await client.call_tool("fixture__test_tool_with_progress", progress_handler=progress)
        show("progress", steps=steps)
        show("elicit", text=texts(await client.call_tool("fixture__test_elicitation", {"message": "m"})))
        denied = await client.call_tool("desk__secret", {"of": "us"}, raise_on_error=False)
        show("denied", error=denied.is_error, text=texts(denied))
        held = await client.call_tool("desk__refund", {"of": sys.argv[1]}, progress_handler=progress)
        show("held", text=texts(held))
        with anyio.CancelScope() as scope:

            async def begun(done, total, message):
                scope.cancel()

            await client.call_tool("desk__slow", progress_handler=begun)
        show("cancel", cancelled=scope.cancelled_caught)


anyio.run(run)
