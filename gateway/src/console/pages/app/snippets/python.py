"""Runs the app, waits for its end, prints the result and saves the artifacts in the folder capi-RUN.

CAPI_API_KEY holds the API key."""

import http.client
import json
import os
import pathlib
import re
import sys
import time
import urllib.error
import urllib.request
import uuid

RUNS = <: with.runs :>
INPUTS = <: with.inputs :>
<% if !with.files.is_empty() %># Replace each path by the path of your file.
FILES = {
<% for file in with.files %>    "<: file.field :>": "<: file.path :>",
<% endfor %>}
<% endif %>

class NoRedirects(urllib.request.HTTPRedirectHandler):
    """Sends the key to no other address."""

    def redirect_request(self, *_):
        return None


OPENER = urllib.request.build_opener(NoRedirects)


def stop(code, why):
    print(why, file=sys.stderr)
    sys.exit(code)


def problem(error):
    try:
        told = json.loads(error.read())
        return f"{told['code']}: {told['detail']} (request {told['requestId']})"
    except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError):
        return f"the gateway answered with the status {error.code}"


def send(url, body=None, headers=None, seconds=90):
    """Returns the body of the answer. Tries again for up to five minutes, as Retry-After says, while the
    gateway is busy or cannot be reached."""
    key = os.environ.get("CAPI_API_KEY", "").strip()
    request = urllib.request.Request(url, body, {"Authorization": f"Bearer {key}", **(headers or {})})
    last = time.monotonic() + 300
    while True:
        pause = 2
        try:
            with OPENER.open(request, timeout=seconds) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            why = problem(error)
            if error.code not in (429, 500, 502, 503, 504):
                stop(4 if error.code in (401, 403) else 2, why)
            told = error.headers.get("Retry-After", "")
            pause = int(told) if told.isdigit() else pause
        except (OSError, http.client.HTTPException) as error:
            why = f"cannot reach the gateway: {error}"
        if time.monotonic() + pause > last:
            stop(6, why)
        time.sleep(pause)

<% if with.files.is_empty() %>
body, kind = json.dumps({"inputs": INPUTS}).encode(), "application/json"
<% else %>
def form(boundary):
    head = f'--{boundary}\r\nContent-Disposition: form-data; name='
    parts = [f'{head}"inputs"\r\n\r\n{json.dumps(INPUTS)}\r\n'.encode()]
    for field, path in FILES.items():
        name = re.sub(r'["\r\n]', "_", os.path.basename(path))
        try:
            content = pathlib.Path(path).read_bytes()
        except OSError as error:
            stop(2, f"cannot read {path}: {error.strerror}")
        parts += [f'{head}"{field}"; filename="{name}"\r\n\r\n'.encode(), content, b"\r\n"]
    return b"".join(parts) + f"--{boundary}--\r\n".encode()


boundary = uuid.uuid4().hex
body, kind = form(boundary), f"multipart/form-data; boundary={boundary}"
<% endif %># All attempts send the same key, so that there is only one run.
run = json.loads(send(RUNS, body, {"Idempotency-Key": str(uuid.uuid4()), "Content-Type": kind}))
print("run", run["id"], file=sys.stderr)
while not run.get("completedAt"):
    run = json.loads(send(f"{RUNS}/{run['id']}?wait=50"))
    if not run["completedAt"]:
        time.sleep(1)

folder = pathlib.Path("capi-" + run["id"])
for artifact in run["artifacts"]:
    title = artifact.get("name") or artifact["title"]
    path = folder / (re.sub(r"[^\w.-]", "_", title)[-50:].lstrip(".") or "artifact")
    while path.exists():
        path = path.with_name("_" + path.name)
    folder.mkdir(exist_ok=True)
    path.write_bytes(send(artifact["url"], seconds=600))
    print("saved", path, file=sys.stderr)

if run["status"] == "cancelled":
    stop(3, "the run was cancelled")
if run["status"] != "completed":
    stop(1, f"the run failed: {run['error']['code']}: {run['error']['message']}")
result = run["result"]
print(result["text"] if result.get("data") is None else json.dumps(result["data"], ensure_ascii=False))
