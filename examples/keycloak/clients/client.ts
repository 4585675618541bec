// An MCP client on the official TypeScript SDK that knows nothing but the broker's address.
//
//   node client.ts URL CLIENT_ID
//
// The broker says which identity provider to log in at; the SDK does the rest, and asks for
// more scopes when a tool needs them. Prints "open ADDRESS" for each login, then one line of
// JSON for each call.
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { UnauthorizedError, type OAuthClientProvider } from "@modelcontextprotocol/sdk/client/auth.js";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import type { OAuthTokens } from "@modelcontextprotocol/sdk/shared/auth.js";

const [url, clientId] = process.argv.slice(2);

// The person's browser comes back here.
let came: (code: string) => void = () => {};
const listener = createServer((request, response) => {
  response.end("Logged in.");
  came(new URL(request.url!, "http://127.0.0.1").searchParams.get("code")!);
});
await new Promise<void>((ready) => listener.listen(0, "127.0.0.1", ready));
const redirectUrl = `http://127.0.0.1:${(listener.address() as AddressInfo).port}/callback`;
let code: Promise<string>;

let tokens: OAuthTokens | undefined;
let verifier = "";
const provider: OAuthClientProvider = {
  redirectUrl,
  clientMetadata: { client_name: "example", redirect_uris: [redirectUrl], token_endpoint_auth_method: "none" },
  clientInformation: () => ({ client_id: clientId }),
  tokens: () => tokens,
  // Without the refresh token: with one the SDK answers a demand for more scopes by
  // refreshing, which brings the same scopes again.
  saveTokens: ({ refresh_token: _, ...fresh }) => void (tokens = fresh),
  codeVerifier: () => verifier,
  saveCodeVerifier: (fresh) => void (verifier = fresh),
  redirectToAuthorization: (address) => {
    code = new Promise((resolve) => (came = resolve));
    process.stdout.write(`open ${address}\n`);
  },
};

// loggedIn does something with the broker, logging in as often as it is asked to.
let transport: StreamableHTTPClientTransport;
async function loggedIn<T>(something: (client: Client) => Promise<T>): Promise<T> {
  for (;;) {
    transport = new StreamableHTTPClientTransport(new URL(url), { authProvider: provider });
    const client = new Client({ name: "example", version: "1.0.0" });
    try {
      await client.connect(transport);
      return await something(client);
    } catch (failure) {
      if (!(failure instanceof UnauthorizedError)) throw failure;
      await transport.finishAuth(await code);
    } finally {
      await client.close();
    }
  }
}

for (const [name, args] of [["payments__accounts", {}], ["payments__refund", { payment: "pay-1001", amount: 1 }]] as const) {
  const result = await loggedIn((client) => client.callTool({ name, arguments: args }));
  const [{ text }] = result.content as [{ text: string }];
  process.stdout.write(JSON.stringify({ tool: name, isError: result.isError ?? false, text }) + "\n");
}
listener.close();
listener.closeAllConnections();
