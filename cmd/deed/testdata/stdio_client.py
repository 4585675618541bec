"""Does what a desktop copilot does: starts the server that its configuration names, and calls a tool."""

import asyncio
import json
import sys

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client


async def main(path: str, server: str, tool: str, arguments: str) -> None:
    with open(path) as file:
        entry = json.load(file)["mcpServers"][server]
    async with stdio_client(StdioServerParameters(command=entry["command"], args=entry["args"], env=entry.get("env"))) as (read, write):
        async with ClientSession(read, write) as session:
            await session.initialize()
            tools = await session.list_tools()
            result = await session.call_tool(tool, json.loads(arguments))
            print(json.dumps({"tools": [t.name for t in tools.tools], "text": result.content[0].text}))


asyncio.run(main(*sys.argv[1:]))
