#!/usr/bin/env python3
"""Runs a capi app from a CI job, waits for the end of the run, and saves what it made.

    run.py           runs the app that the environment describes
    run.py cancel    cancels the run of CAPI_FOLDER, unless it is over

It needs Python 3.8 or newer and no packages. README.md lists its settings, its outputs and its exit codes.
"""

import http.client
import json
import os
import pathlib
import re
import signal
import sys
import time
import urllib.error
import urllib.request
import uuid

COMPLETED, FAILED, USAGE, CANCELLED, UNAUTHORIZED, TIMED_OUT, UNREACHABLE = range(7)
WAIT_SECONDS = 50  # The default limit of a gateway. It shortens longer waits.
REQUEST_SECONDS, DOWNLOAD_SECONDS = 90, 600  # A request takes longer than its wait.
GIVE_UP_SECONDS = 300  # A rolling restart of the gateways takes less.
CANCEL_SECONDS, CANCEL_REQUEST_SECONDS = 5, 2  # GitHub kills a cancelled step 7.5 s after its SIGINT.
MAX_OUTPUT_CHARS = 200_000  # GitHub allows 1 MB for all outputs of a job, in UTF-16.
MAX_SUMMARY_CHARS = 20_000  # GitHub allows 1 MiB for the summary of a step.
MAX_NAME_CHARS = 50  # At most 200 bytes. A file system allows 255.
BUSY = (429, 500, 502, 503, 504)
ENV = os.environ
ON_GITHUB = ENV.get("GITHUB_ACTIONS") == "true"


class Stop(Exception):
    """Ends the program. Its arguments are the exit code and a sentence."""


class Interrupted(BaseException):
    """The job was cancelled."""


class NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


# It sends the key to no other address.
OPENER = urllib.request.build_opener(NoRedirects)


def problem(error):
    """The sentence of a refused request."""
    try:
        told = json.loads(error.read())
        return f"{told['code']}: {told['detail']} (request {told['requestId']})"
    except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError):
        return f"the gateway answered with the status {error.code}"


def send(url, body=None, headers=None, seconds=REQUEST_SECONDS, last=None):
    """The body of the answer. Tries again until `last`, as Retry-After says, while the gateway is busy or
    cannot be reached."""
    request = urllib.request.Request(url, body, {"Authorization": f"Bearer {key()}", **(headers or {})})
    last = last or time.monotonic() + GIVE_UP_SECONDS
    while True:
        pause = 1
        try:
            with OPENER.open(request, timeout=seconds) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            why = problem(error)
            if error.code not in BUSY:
                raise Stop(UNAUTHORIZED if error.code in (401, 403) else USAGE, why) from None
            told = error.headers.get("Retry-After", "")
            pause = int(told) if told.isdigit() else pause
        except (OSError, http.client.HTTPException) as error:
            why = f"cannot reach the gateway: {error}"
        if time.monotonic() + pause > last:
            raise Stop(UNREACHABLE, why)
        time.sleep(pause)


def required(name):
    if not ENV.get(name):
        raise Stop(USAGE, f"{name} is not set")
    return ENV[name]


def key():
    value = ENV.get("CAPI_API_KEY", "").strip()
    if not re.fullmatch("[!-~]+", value):
        raise Stop(UNAUTHORIZED, "CAPI_API_KEY is not set, or no key of capi; jobs of forks get no secrets")
    return value


def json_of(name):
    try:
        return json.loads(ENV.get(name) or "{}")
    except ValueError as error:
        raise Stop(USAGE, f"{name} is not JSON: {error}") from None


def create_body():
    """The body of the create, and its type. CAPI_FILES has a line FIELD=PATH for each file."""
    fields = {"inputs": json_of("CAPI_INPUTS"), "metadata": json_of("CAPI_METADATA")}
    files = [line.strip().partition("=") for line in ENV.get("CAPI_FILES", "").splitlines() if line.strip()]
    if not files:
        return json.dumps(fields).encode(), "application/json"
    boundary = uuid.uuid4().hex
    head = f"--{boundary}\r\nContent-Disposition: form-data; name="
    parts = [f'{head}"{name}"\r\n\r\n{json.dumps(value)}\r\n'.encode() for name, value in fields.items()]
    for field, _, path in files:
        field, name = (re.sub(r'["\r\n]', "_", text) for text in (field, os.path.basename(path)))
        try:
            content = pathlib.Path(path).read_bytes()
        except OSError as error:
            raise Stop(USAGE, f"CAPI_FILES: cannot read {path or field}: {error.strerror}") from None
        parts += [f'{head}"{field}"; filename="{name}"\r\n\r\n'.encode(), content, b"\r\n"]
    return b"".join(parts) + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


def clean(text):
    """Without control characters, which can change what a log shows."""
    return re.sub(r"[^\n\t\x20-\x7e\xa0-\U0010ffff]", "", text)


def say(text):
    # GitHub reads two streams in any order, so everything goes to one.
    print(clean(text).replace("\n", " "), file=sys.stdout if ON_GITHUB else sys.stderr, flush=True)


def append(variable, text):
    if ENV.get(variable):
        with open(ENV[variable], "a", encoding="utf-8") as file:
            file.write(text)


def write_outputs(**outputs):
    for name, value in outputs.items():
        delimiter = f"capi_{uuid.uuid4().hex}"  # No value can contain a random delimiter.
        append("GITHUB_OUTPUT", f"{name.replace('_', '-')}<<{delimiter}\n{value}\n{delimiter}\n")


class Job:
    """One run, from its create to its end."""

    def __init__(self, folder):
        self.folder = folder
        self.url = required("CAPI_URL").rstrip("/")
        self.runs = f"{self.url}/api/v1/apps/{required('CAPI_APP')}/runs"
        self.body, kind = create_body()
        # All attempts send the same key, so that there is only one run.
        once = ENV.get("CAPI_IDEMPOTENCY_KEY") or str(uuid.uuid4())
        self.headers = {"Content-Type": kind, "Idempotency-Key": once}
        self.seconds = ENV.get("CAPI_TIMEOUT") or None
        if self.seconds and not re.fullmatch("[1-9][0-9]{0,8}", self.seconds):
            raise Stop(USAGE, "CAPI_TIMEOUT must be a number of seconds")
        self.is_sent, self.run = False, {}

    def create(self, **limits):
        self.is_sent = True
        self.run = json.loads(send(self.runs, self.body, self.headers, **limits))

    def wait(self):
        """Waits for the end, and cancels the run if its time is over."""
        last = time.monotonic() + int(self.seconds) if self.seconds else float("inf")
        while not self.run.get("completedAt"):
            left = last - time.monotonic()
            if left <= 0:
                self.cancel()
                raise Stop(TIMED_OUT, f"the run was not over within {self.seconds} s, and was cancelled")
            wait = max(1, int(min(WAIT_SECONDS, left)))
            self.run = json.loads(send(f"{self.runs}/{self.run['id']}?wait={wait}"))
            if not self.run["completedAt"]:
                time.sleep(1)

    def cancel(self, last=None):
        """Cancels the run. If the answer to the create has not arrived, asks for its run first."""
        limits = {"seconds": CANCEL_REQUEST_SECONDS, "last": last}
        if not self.run:
            self.create(**limits)
        send(f"{self.runs}/{self.run['id']}/cancel", b"", **limits)

    def save_artifacts(self):
        """Saves each artifact under a safe name that no other file has."""
        folder = self.folder / "artifacts"
        for artifact in self.run["artifacts"]:
            title = artifact.get("name") or artifact["title"]
            path = folder / (re.sub(r"[^\w.-]", "_", title)[-MAX_NAME_CHARS:].lstrip(".") or "artifact")
            while path.exists():
                path = path.with_name("_" + path.name)
            folder.mkdir(exist_ok=True)
            path.write_bytes(send(artifact["url"], seconds=DOWNLOAD_SECONDS))

    def link(self):
        return (self.run.get("links") or {}).get("console") or f"{self.url}/runs/{self.run['id']}"

    def result(self):
        """The name of the result's file, and its text."""
        result = self.run.get("result") or {}
        if result.get("data") is not None:
            return "result.json", json.dumps(result["data"], ensure_ascii=False, indent=2)
        return "result.txt", result.get("text") or ""

    def begin(self):
        """Creates the run, and says where it is."""
        self.create()
        run, link = self.run["id"], self.link()
        (self.folder / "run-id").write_text(run)
        (self.folder / "capi.env").write_text(f"CAPI_RUN_ID={run}\nCAPI_RUN_URL={link}\n")
        annotation = {"external_link": {"label": "capi run", "url": link}}
        (self.folder / "annotations.json").write_text(json.dumps({"capi": [annotation]}))
        write_outputs(run_id=run, console_url=link, folder=self.folder)
        name = re.sub(r"([^\w\s])", r"\\\1", clean(self.run["appName"]))
        append("GITHUB_STEP_SUMMARY", f"### {name}\n\n[Run {run}]({link})\n\n")
        say(f"run {run}: {link}")

    def summarise(self, text):
        """Adds what people and models wrote to the page of the job, inside a fence that it cannot end."""
        text = clean(text)[:MAX_SUMMARY_CHARS]
        fence = "`" * max([3, *(len(ticks) + 1 for ticks in re.findall("`+", text))])
        facts = f"{self.run['status']}, artifacts: {len(self.run['artifacts'])}"
        append("GITHUB_STEP_SUMMARY", f"{facts}\n\n{fence}text\n{text}\n{fence}\n")

    def end(self):
        """Saves and shows what the run made."""
        run, (name, text), error = self.run, self.result(), self.run.get("error") or {}
        (self.folder / "run.json").write_text(json.dumps(run, ensure_ascii=False, indent=2), encoding="utf-8")
        (self.folder / name).write_text(text, encoding="utf-8")
        self.save_artifacts()
        output = text if len(text) <= MAX_OUTPUT_CHARS else ""
        write_outputs(status=run["status"], error_code=error.get("code", ""), result=output)
        if run["status"] != "completed":
            why = f"{error['code']}: {error['message']}" if error else f"the run was {run['status']}"
            self.summarise(why)
            raise Stop(CANCELLED if run["status"] == "cancelled" else FAILED, why)
        self.summarise(text)
        shown, token = clean(text if output else f"result: {self.folder / name}"), uuid.uuid4().hex
        # Between these two lines, GitHub obeys no command.
        print(f"::stop-commands::{token}\n{shown}\n::{token}::" if ON_GITHUB else shown, flush=True)

    def interrupted(self):
        """The job was cancelled: so is its run."""
        if not self.is_sent or self.run.get("completedAt"):
            return Stop(CANCELLED, "the job was cancelled")
        try:
            self.cancel(time.monotonic() + CANCEL_SECONDS)
            return Stop(CANCELLED, "the job was cancelled, and so was the run")
        except Stop as stop:
            return Stop(CANCELLED, f"the job was cancelled, but the run was not: {stop.args[1]}")


def on_signal(*_):
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise Interrupted


def run_app(folder):
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise Stop(USAGE, f"the folder {folder} is not empty; set CAPI_FOLDER")
    job = Job(folder)
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, on_signal)
        job.begin()
        job.wait()
        job.end()
    except Interrupted:
        raise job.interrupted() from None


def cancel_unfinished(folder):
    """GitLab runs this after a job that was cancelled or timed out."""
    if (folder / "run-id").exists() and not (folder / "run.json").exists():
        run = (folder / "run-id").read_text().strip()
        send(f"{required('CAPI_URL').rstrip('/')}/api/v1/runs/{run}/cancel", b"")
        say(f"cancelled the run {run}")


def main():
    # Each step of a job on GitHub needs a folder of its own.
    default = f"{ENV.get('RUNNER_TEMP', '.')}/capi-{uuid.uuid4().hex[:8]}" if ON_GITHUB else "capi"
    folder = pathlib.Path(ENV.get("CAPI_FOLDER") or default)
    try:
        if ON_GITHUB:
            print(f"::add-mask::{key()}", flush=True)
        cancel_unfinished(folder) if sys.argv[1:] == ["cancel"] else run_app(folder)
        return COMPLETED
    except Stop as stop:
        code, why = stop.args
        text = clean(why).replace("%", "%25").replace("\n", "%0A")
        print(f"::error title=capi::{text}", flush=True) if ON_GITHUB else say(why)
        return code


if __name__ == "__main__":
    sys.exit(main())
