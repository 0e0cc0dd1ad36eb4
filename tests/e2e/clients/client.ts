// Does with the generated client what programs do with the API. The environment says where. A step that fails
// throws.
import { readFile } from "node:fs/promises";
import createClient from "openapi-fetch";
import { Webhook } from "standardwebhooks";
import type { components, paths } from "./schema.js";

type Schemas = components["schemas"];

function env(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set`);
  return value;
}

function check(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(what);
}

function present<T>(result: { data?: T; error?: Schemas["Problem"] }): T {
  if (result.data === undefined) throw new Error(JSON.stringify(result.error));
  return result.data;
}

const client = createClient<paths>({
  baseUrl: env("CAPI_URL"),
  headers: { Authorization: `Bearer ${env("CAPI_API_KEY")}` },
});

async function createAndWait(): Promise<string> {
  const accepted = present(await client.POST("/api/v1/runs", {
    body: {
      appId: env("CAPI_APP_ID"),
      inputs: { text: "hello" },
      metadata: { customer: "typescript", order: "a=b" },
    },
  }));
  check("id" in accepted, "the run has an id");
  for (let tries = 0; tries < 10; tries++) {
    const run = present(await client.GET("/api/v1/runs/{id}", {
      params: { path: { id: accepted.id }, query: { wait: 10 } },
    }));
    const status: Schemas["Status"] = run.status;
    if (status === "pending" || status === "running") continue;
    check(status === "completed" && run.result?.text === "You said: hello", JSON.stringify(run));
    return run.id;
  }
  throw new Error("the run does not end");
}

async function sendFile(): Promise<void> {
  const body = {
    appId: env("CAPI_FILE_APP_ID"),
    inputs: { question: "How many rows?" },
    table: new File(["a,b\n1,2\n"], "table.csv"),
  };
  const accepted = present(await client.POST("/api/v1/runs", {
    body,
    bodySerializer: () => {
      const form = new FormData();
      form.append("appId", body.appId);
      form.append("inputs", JSON.stringify(body.inputs));
      form.append("table", body.table);
      return form;
    },
  }));
  check("id" in accepted, "the run has an id");
}

async function listByMetadata(id: string): Promise<void> {
  const page = present(await client.GET("/api/v1/runs", {
    params: { query: { metadata: ["customer=typescript", "order=a=b"], status: ["completed"], limit: 5 } },
  }));
  check(page.data.length === 1 && page.data[0]?.id === id, JSON.stringify(page));
  const other = { query: { metadata: ["customer=nobody"] } };
  const none = present(await client.GET("/api/v1/runs", { params: other }));
  check(none.data.length === 0 && none.nextCursor === null, JSON.stringify(none));
}

async function readEvents(id: string): Promise<void> {
  const page = present(await client.GET("/api/v1/runs/{id}/events", {
    params: { path: { id }, query: { limit: 50 } },
  }));
  check(typeof page !== "string" && page.nextAfter === null, "the last page as JSON");
  const answers = page.data.flatMap((event) =>
    event.type === "message" && event.data.role === "assistant" ? [event.data.content] : [],
  );
  check(answers[0] === "You said: hello", JSON.stringify(page));
  check(page.data.at(-1)?.type === "run.completed", JSON.stringify(page));
}

async function download(): Promise<void> {
  const path = { id: env("CAPI_RUN_ID"), artifactId: env("CAPI_ARTIFACT_ID") };
  const bytes = present(await client.GET("/api/v1/runs/{id}/artifacts/{artifactId}", {
    params: { path },
    parseAs: "arrayBuffer",
  }));
  const text = new TextDecoder().decode(bytes);
  check(text === "the bytes of the artifact", text);
}

async function changeApp(): Promise<void> {
  const path = { appId: env("CAPI_APP_ID") };
  const file = present(await client.GET("/api/v1/apps/{appId}", {
    params: { path, query: { format: "toml" } },
    parseAs: "text",
  }));
  const changed = present(await client.PUT("/api/v1/apps/{appId}", {
    params: { path, header: { "If-Match": '"1"' } },
    headers: { "Content-Type": "application/toml" },
    body: `description = "typescript"\n${file}`,
    bodySerializer: (text) => text,
  }));
  check(changed.version === 2, JSON.stringify(changed));
  const refused = await client.PUT("/api/v1/apps/{appId}", {
    params: { path, header: { "If-Match": '"1"' } },
    body: { name: "Echo", prompt: "another" },
  });
  check(refused.error?.code === "app_changed" && refused.error.currentVersion === 2, "412 with the version");
}

async function verifyWebhook(): Promise<void> {
  const { headers, body } = JSON.parse(await readFile(env("CAPI_WEBHOOK_FILE"), "utf8"));
  const event = new Webhook(env("CAPI_WEBHOOK_SECRET")).verify(body, headers) as Schemas["Webhook"];
  check(event.type === "run.completed" && event.data.id === env("CAPI_RUN_ID"), JSON.stringify(event));
}

const run = await createAndWait();
await sendFile();
await listByMetadata(run);
await readEvents(run);
await download();
await changeApp();
await verifyWebhook();
console.log("done");
