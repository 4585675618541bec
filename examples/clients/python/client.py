"""A small MCP client on the official Python SDK, for calling tools through Deed.

    client.py list
    client.py call NAME [JSON]

DEED_URL says where Deed is (default http://127.0.0.1:8642), DEED_TOKEN who is
calling. --upstream NAME talks to one upstream alone, by its own tool names.

Prints one line of JSON a tool, or one for the call: {"isError": …, "content": …,
"structured": …}. Exit code 0: the tool answered; 1: it answered with an error (or
policy refused the call: the content says why); 2: wrong usage; 3: the token was
refused or is missing; 5: Deed could not be reached.
"""

import argparse
import json
import os
import sys

import anyio
import httpx2
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client

FAILED, USAGE, UNAUTHENTICATED, UNREACHABLE = 1, 2, 3, 5

# A held call stays open for a while before Deed answers that it is pending.
TIMEOUT = httpx2.Timeout(30, read=300)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Call tools through Deed.")
    parser.add_argument("--upstream", help="talk to this upstream alone")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("list", help="print the tools that may be called")
    call = verbs.add_parser("call", help="call a tool")
    call.add_argument("name")
    call.add_argument("args", nargs="?", default={}, type=json.loads, metavar="JSON")
    return parser.parse_args()


def show(value: object) -> None:
    print(json.dumps(value, ensure_ascii=False), flush=True)


async def list_tools(client: Client) -> int:
    cursor = None
    while True:
        page = await client.list_tools(cursor=cursor)
        for tool in page.tools:
            show({"name": tool.name, "description": tool.description, "inputSchema": tool.input_schema})
        cursor = page.next_cursor
        if cursor is None:
            return 0


async def call_tool(client: Client, name: str, args: dict) -> int:
    try:
        result = await client.call_tool(name, args)
    except MCPError as refused:  # a JSON-RPC error: an unknown tool, arguments that don't fit its schema
        print(f"error: {refused}", file=sys.stderr)
        return FAILED
    content = [block.model_dump(mode="json", by_alias=True, exclude_none=True) for block in result.content]
    show({"isError": bool(result.is_error), "content": content, "structured": result.structured_content})
    return FAILED if result.is_error else 0


async def run(options: argparse.Namespace, token: str) -> int:
    url = os.environ.get("DEED_URL", "http://127.0.0.1:8642").rstrip("/") + "/mcp"
    if options.upstream:
        url += "/" + options.upstream
    refused = []

    async def note_refusal(response: httpx2.Response) -> None:
        if response.status_code in (401, 403):
            refused.append(f"{response.status_code} {response.headers.get('WWW-Authenticate', '')}".strip())

    http = httpx2.AsyncClient(
        headers={"Authorization": f"Bearer {token}"},
        timeout=TIMEOUT,
        event_hooks={"response": [note_refusal]},
    )
    try:
        async with http, Client(streamable_http_client(url, http_client=http)) as client:
            if options.verb == "list":
                return await list_tools(client)
            return await call_tool(client, options.name, options.args)
    except Exception as failure:  # what the SDK raises depends on where the connection broke
        if refused:
            print(f"error: the token was refused: {refused[0]}", file=sys.stderr)
            return UNAUTHENTICATED
        print(f"error: {url}: {innermost(failure)!r}", file=sys.stderr)
        return UNREACHABLE


def innermost(failure: BaseException) -> BaseException:
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return failure


def main() -> int:
    options = arguments()
    token = os.environ.get("DEED_TOKEN")
    if not token:
        print("error: DEED_TOKEN is not set\nhint: deed token --user alice --agent copilot", file=sys.stderr)
        return UNAUTHENTICATED
    return anyio.run(run, options, token)


if __name__ == "__main__":
    sys.exit(main())
