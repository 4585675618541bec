// Goes through all that a client does, with the official TypeScript SDK; a line of JSON each.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { ElicitRequestSchema } from "@modelcontextprotocol/sdk/types.js";

const show = (check: string, said: Record<string, unknown>) => console.log(JSON.stringify({ check, ...said }));
const texts = (result: any) => result.content.filter((block: any) => block.type === "text").map((block: any) => block.text).join(" ");

let token = process.env.DEED_TOKEN!;
let renewed = 0;

// A bearer token that is fetched anew when it is refused.
async function renewing(url: string | URL, init?: RequestInit): Promise<Response> {
  const send = () => fetch(url, { ...init, headers: { ...Object.fromEntries(new Headers(init?.headers)), authorization: `Bearer ${token}` } });
  const response = await send();
  if (response.status !== 401) return response;
  token = await (await fetch(process.env.DEED_TOKENS!)).text();
  renewed++;
  return send();
}

const client = new Client({ name: "official-ts", version: "1" }, { capabilities: { elicitation: { form: {}, url: {} } } });
client.setRequestHandler(ElicitRequestSchema, async ({ params }: any) =>
  params.mode === "url" ? { action: "accept" } : { action: "accept", content: { username: "u", email: "e" } },
);
await client.connect(new StreamableHTTPClientTransport(new URL(process.env.DEED_URL + "/mcp"), { fetch: renewing }));
show("refresh", { renewed });
show("list", { names: (await client.listTools()).tools.map((tool) => tool.name).sort() });
show("call", { text: texts(await client.callTool({ name: "fixture__test_simple_text" })) });
show("structured", { structured: (await client.callTool({ name: "desk__add", arguments: { a: 2, b: 3 } })).structuredContent });
const steps: number[] = [];
const onprogress = ({ progress }: { progress: number }) => void steps.push(progress);
await client.callTool({ name: "fixture__test_tool_with_progress" }, undefined, { onprogress });
show("progress", { steps: [...steps] });
show("elicit", { text: texts(await client.callTool({ name: "fixture__test_elicitation", arguments: { message: "m" } })) });
const denied = await client.callTool({ name: "desk__secret", arguments: { of: "us" } });
show("denied", { error: denied.isError, text: texts(denied) });
const held = await client.callTool({ name: "desk__refund", arguments: { of: process.argv[2] } }, undefined, { onprogress, resetTimeoutOnProgress: true, timeout: 120_000 });
show("held", { text: texts(held) });
const stop = new AbortController();
let cancelled = false;
try {
  await client.callTool({ name: "desk__slow" }, undefined, { onprogress: () => stop.abort(), signal: stop.signal });
} catch {
  cancelled = stop.signal.aborted;
}
show("cancel", { cancelled });
await client.ping(); // so that the notification is away before the process is
await client.close();
