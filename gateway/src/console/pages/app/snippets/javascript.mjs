// Runs the app, waits for its end, prints the result and saves the artifacts in the folder capi-RUN.
// CAPI_API_KEY holds the API key.
import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { basename } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const runs = <: with.runs :>;
const inputs = <: with.inputs :>;
<% if !with.files.is_empty() %>// Replace each path by the path of your file.
const files = {
<% for file in with.files %>  "<: file.field :>": "<: file.path :>",
<% endfor %>};
<% endif %>
function stop(code, why) {
  console.error(why);
  process.exit(code);
}

// Returns the body of the answer. Tries again for up to five minutes, as Retry-After says, while the gateway
// is busy or cannot be reached.
async function send(url, { method = "GET", body, headers = {}, seconds = 90 } = {}) {
  const authorization = `Bearer ${(process.env.CAPI_API_KEY ?? "").trim()}`;
  const last = Date.now() + 300_000;
  for (;;) {
    let [pause, why] = [2, ""];
    try {
      const signal = AbortSignal.timeout(seconds * 1000);
      // The key goes to no other address.
      const options = { method, body, headers: { authorization, ...headers }, signal, redirect: "manual" };
      const answer = await fetch(url, options);
      const bytes = Buffer.from(await answer.arrayBuffer());
      if (answer.ok) return bytes;
      why = problem(answer.status, bytes);
      if (![429, 500, 502, 503, 504].includes(answer.status)) {
        stop([401, 403].includes(answer.status) ? 4 : 2, why);
      }
      pause = Number(answer.headers.get("retry-after")) || pause;
    } catch (error) {
      why = `cannot reach the gateway: ${error.cause?.message ?? error.message}`;
    }
    if (Date.now() + pause * 1000 > last) stop(6, why);
    await sleep(pause * 1000);
  }
}

function problem(status, bytes) {
  try {
    const { code, detail, requestId } = JSON.parse(bytes);
    return `${code}: ${detail} (request ${requestId})`;
  } catch {
    return `the gateway answered with the status ${status}`;
  }
}

<% if with.files.is_empty() %>const headers = { "content-type": "application/json" };
const body = JSON.stringify({ inputs });
<% else %>const headers = {};
const body = new FormData();
body.append("inputs", JSON.stringify(inputs));
for (const [field, path] of Object.entries(files)) {
  const content = await readFile(path).catch((error) => stop(2, `cannot read ${path}: ${error.message}`));
  body.append(field, new Blob([content]), basename(path));
}
<% endif %>// All attempts send the same key, so that there is only one run.
headers["idempotency-key"] = randomUUID();
let run = JSON.parse(await send(runs, { method: "POST", body, headers }));
console.error("run", run.id);
while (!run.completedAt) {
  run = JSON.parse(await send(`${runs}/${run.id}?wait=50`));
  if (!run.completedAt) await sleep(1000);
}

const folder = `capi-${run.id}`;
for (const artifact of run.artifacts) {
  const title = artifact.name ?? artifact.title;
  const safe = [...title.replace(/[^\p{L}\p{N}_.-]/gu, "_")].slice(-50).join("").replace(/^\.+/, "");
  let name = safe || "artifact";
  while (existsSync(`${folder}/${name}`)) name = `_${name}`;
  await mkdir(folder, { recursive: true });
  await writeFile(`${folder}/${name}`, await send(artifact.url, { seconds: 600 }));
  console.error(`saved ${folder}/${name}`);
}

if (run.status === "cancelled") stop(3, "the run was cancelled");
if (run.status !== "completed") stop(1, `the run failed: ${run.error.code}: ${run.error.message}`);
console.log(run.result.data == null ? run.result.text : JSON.stringify(run.result.data));
