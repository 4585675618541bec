// A small MCP client on the official TypeScript SDK, for calling tools through Deed.
//
//   node client.ts [--upstream NAME] list
//   node client.ts [--upstream NAME] call NAME [JSON]
//
// DEED_URL says where Deed is (default http://127.0.0.1:8642), DEED_TOKEN who is
// calling. --upstream talks to one upstream alone, by its own tool names.
//
// Prints one line of JSON a tool, or one for the call: {"isError": …, "content": …,
// "structured": …}. Exit code 0: the tool answered; 1: it answered with an error (or
// policy refused the call: the content says why); 2: wrong usage; 3: the token was
// refused or is missing; 5: Deed could not be reached.
import { parseArgs } from "node:util";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { McpError } from "@modelcontextprotocol/sdk/types.js";

const exit = { ok: 0, failed: 1, usage: 2, unauthenticated: 3, unreachable: 5 };

// A held call stays open for a while before Deed answers that it is pending.
const timeout = 300_000;

type Command = { upstream?: string; verb: "list" } | { upstream?: string; verb: "call"; name: string; args: Record<string, unknown> };

function parseCommand(argv: string[]): Command | undefined {
  try {
    const { values, positionals } = parseArgs({ args: argv, options: { upstream: { type: "string" } }, allowPositionals: true });
    const [verb, name, json, ...rest] = positionals;
    if (verb === "list" && name === undefined) return { upstream: values.upstream, verb };
    if (verb === "call" && name && rest.length === 0) return { upstream: values.upstream, verb, name, args: JSON.parse(json ?? "{}") };
  } catch (failure) {
    console.error(`error: ${(failure as Error).message}`);
  }
  return undefined;
}

function show(value: unknown): void {
  process.stdout.write(JSON.stringify(value) + "\n");
}

async function listTools(client: Client): Promise<number> {
  let cursor: string | undefined;
  do {
    const page = await client.listTools({ cursor });
    for (const { name, description, inputSchema } of page.tools) show({ name, description, inputSchema });
    cursor = page.nextCursor;
  } while (cursor !== undefined);
  return exit.ok;
}

async function callTool(client: Client, name: string, args: Record<string, unknown>): Promise<number> {
  const result = await client.callTool({ name, arguments: args }, undefined, { timeout });
  show({ isError: result.isError ?? false, content: result.content, structured: result.structuredContent ?? null });
  return result.isError ? exit.failed : exit.ok;
}

async function run(command: Command, token: string): Promise<number> {
  const base = (process.env.DEED_URL ?? "http://127.0.0.1:8642").replace(/\/+$/, "");
  const url = new URL(base + "/mcp" + (command.upstream ? `/${command.upstream}` : ""));
  let refused: string | undefined;
  const transport = new StreamableHTTPClientTransport(url, {
    requestInit: { headers: { Authorization: `Bearer ${token}` } },
    fetch: async (input, init) => {
      const response = await fetch(input, init);
      if (response.status === 401 || response.status === 403) {
        refused = `${response.status} ${response.headers.get("WWW-Authenticate") ?? ""}`.trim();
      }
      return response;
    },
  });
  const client = new Client({ name: "deed-example", version: "1.0.0" });
  try {
    await client.connect(transport);
    return command.verb === "list" ? await listTools(client) : await callTool(client, command.name, command.args);
  } catch (failure) {
    if (refused !== undefined) {
      console.error(`error: the token was refused: ${refused}`);
      return exit.unauthenticated;
    }
    const { message, cause } = failure as Error;
    console.error(`error: ${url}: ${message}${cause ? ` (${cause})` : ""}`);
    // a JSON-RPC error: an unknown tool, arguments that don't fit its schema
    return failure instanceof McpError ? exit.failed : exit.unreachable;
  } finally {
    await client.close();
  }
}

async function main(): Promise<number> {
  const command = parseCommand(process.argv.slice(2));
  if (command === undefined) {
    console.error("usage: client.ts [--upstream NAME] list | call NAME [JSON]");
    return exit.usage;
  }
  const token = process.env.DEED_TOKEN;
  if (!token) {
    console.error("error: DEED_TOKEN is not set\nhint: deed token --user alice --agent copilot");
    return exit.unauthenticated;
  }
  return run(command, token);
}

process.exitCode = await main();
