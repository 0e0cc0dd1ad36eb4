"""Does with the generated client what programs do with the API. The environment says where. A step that fails
raises."""

import io
import json
import os
from uuid import UUID

from standardwebhooks import Webhook as Verifier

from capi_client import AuthenticatedClient
from capi_client.api.apps import get_app, put_app
from capi_client.api.runs import create_run, download_artifact, get_run, get_run_events, list_runs
from capi_client.models import (
    Accepted, App, AppFile, CreateRun, CreateRunForm, CreateRunFormInputs, CreateRunInputs, CreateRunMetadata,
    EventMessage, EventPage, EventRunCompleted, MessageDataAssistant, Problem, Run, RunList, Status, Webhook,
    WebhookEvent,
)
from capi_client.types import File

ENV = os.environ
APP, FILE_APP = UUID(ENV["CAPI_APP_ID"]), UUID(ENV["CAPI_FILE_APP_ID"])
RUN, ARTIFACT = UUID(ENV["CAPI_RUN_ID"]), UUID(ENV["CAPI_ARTIFACT_ID"])

client = AuthenticatedClient(
    base_url=ENV["CAPI_URL"], token=ENV["CAPI_API_KEY"], raise_on_unexpected_status=True
)


def create_and_wait() -> UUID:
    body = CreateRun(
        app_id=APP,
        inputs=CreateRunInputs.from_dict({"text": "hello"}),
        metadata=CreateRunMetadata.from_dict({"customer": "python", "order": "a=b"}),
    )
    accepted = create_run.sync(client=client, body=body, idempotency_key="python-1")
    assert isinstance(accepted, Accepted), accepted
    for _ in range(10):
        run = get_run.sync(accepted.id, client=client, wait=10)
        assert isinstance(run, Run), run
        if run.status not in (Status.PENDING, Status.RUNNING):
            break
    assert run.status == Status.COMPLETED and run.result.text == "You said: hello", run
    return run.id


def send_file() -> None:
    table = File(payload=io.BytesIO(b"a,b\n1,2\n"), file_name="table.csv", mime_type="text/csv")
    question = CreateRunFormInputs.from_dict({"question": "How many rows?"})
    body = CreateRunForm(app_id=FILE_APP, inputs=question, files=[table])
    accepted = create_run.sync(client=client, body=body, prefer="wait=0")
    assert isinstance(accepted, Accepted), accepted


def list_by_metadata(run: UUID) -> None:
    pairs = ["customer=python", "order=a=b"]
    page = list_runs.sync(client=client, metadata=pairs, status=[Status.COMPLETED], limit=5)
    assert isinstance(page, RunList) and [item.id for item in page.data] == [run], page
    page = list_runs.sync(client=client, metadata=["customer=nobody"])
    assert isinstance(page, RunList) and page.data == [] and page.next_cursor is None, page


def read_events(run: UUID) -> None:
    page = get_run_events.sync(run, client=client, limit=50)
    assert isinstance(page, EventPage) and page.next_after is None, page
    answers = [
        event.data.content
        for event in page.data
        if isinstance(event, EventMessage) and isinstance(event.data, MessageDataAssistant)
    ]
    assert answers == ["You said: hello"], page
    assert isinstance(page.data[-1], EventRunCompleted), page


def download() -> None:
    file = download_artifact.sync(RUN, ARTIFACT, client=client)
    assert isinstance(file, File) and file.payload.read() == b"the bytes of the artifact", file


def change_app() -> None:
    app = get_app.sync(APP, client=client)
    assert isinstance(app, App), app
    inputs = [{"name": field.name, "type": field.type_.value} for field in app.inputs]
    file = AppFile.from_dict(
        {"name": app.name, "description": "python", "prompt": "{{ text }}", "inputs": inputs}
    )
    changed = put_app.sync(APP, client=client, body=file, if_match=f'"{app.version}"')
    assert isinstance(changed, App) and changed.version == 2, changed
    file.prompt = "another"
    refused = put_app.sync(APP, client=client, body=file, if_match='"1"')
    assert isinstance(refused, Problem) and refused.code == "app_changed", refused
    assert refused.current_version == 2, refused


def verify_webhook() -> None:
    with open(ENV["CAPI_WEBHOOK_FILE"], encoding="utf-8") as file:
        sent = json.load(file)
    verified = Verifier(ENV["CAPI_WEBHOOK_SECRET"]).verify(sent["body"], sent["headers"])
    event = Webhook.from_dict(verified)
    assert event.type_ == WebhookEvent.RUN_COMPLETED and event.data.id == RUN, event


run_id = create_and_wait()
send_file()
list_by_metadata(run_id)
read_events(run_id)
download()
change_app()
verify_webhook()
print("done")
