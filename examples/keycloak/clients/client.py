"""An MCP client on the official Python SDK that knows nothing but the broker's address.

    client.py URL CLIENT_ID

The broker says which identity provider to log in at; the SDK does the rest, and comes
back for more scopes when a tool needs them. Prints "open ADDRESS" for each login, then
one line of JSON for each call.
"""

import asyncio
import json
import sys
from urllib.parse import parse_qs, urlsplit

import anyio
import httpx2
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata


class Memory:
    """Keeps what the SDK gets for as long as the process lives."""

    def __init__(self, client_id: str, redirect: str) -> None:
        self.tokens = None
        self.client = OAuthClientInformationFull(client_id=client_id, redirect_uris=[redirect], token_endpoint_auth_method="none")

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client_info):
        self.client = client_info


class Browser:
    """Waits on loopback for the person's browser to come back."""

    async def listen(self) -> str:
        self.answers = asyncio.Queue()
        server = await asyncio.start_server(self.answer, "127.0.0.1", 0)
        return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/callback"

    async def answer(self, reader, writer) -> None:
        target = (await reader.readline()).split()[1].decode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\nLogged in.")
        await writer.drain()
        writer.close()
        query = {name: values[0] for name, values in parse_qs(urlsplit(target).query).items()}
        if "code" not in query:
            sys.exit(f"error: the login failed: {query.get('error_description', query.get('error'))}")
        await self.answers.put(AuthorizationCodeResult(code=query["code"], state=query.get("state"), iss=query.get("iss")))

    async def open(self, address: str) -> None:
        print("open", address, flush=True)

    async def back(self) -> AuthorizationCodeResult:
        return await self.answers.get()


async def main(url: str, client_id: str) -> None:
    browser = Browser()
    redirect = await browser.listen()
    auth = OAuthClientProvider(
        server_url=url,
        # No refresh_token among the grants: the SDK would ask for offline_access, and what
        # comes of that outlives the person's logout.
        client_metadata=OAuthClientMetadata(
            client_name="example", redirect_uris=[redirect], token_endpoint_auth_method="none", grant_types=["authorization_code"]
        ),
        storage=Memory(client_id, redirect),
        redirect_handler=browser.open,
        callback_handler=browser.back,
    )
    async with httpx2.AsyncClient(auth=auth, timeout=httpx2.Timeout(30, read=300)) as http:
        async with Client(streamable_http_client(url, http_client=http)) as client:
            for name, arguments in (("payments__accounts", {}), ("payments__refund", {"payment": "pay-1001", "amount": 1})):
                result = await client.call_tool(name, arguments)
                print(json.dumps({"tool": name, "isError": bool(result.is_error), "text": result.content[0].text}), flush=True)


anyio.run(main, *sys.argv[1:3], backend="asyncio")
