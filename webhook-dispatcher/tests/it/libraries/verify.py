"""Verifies the requests on stdin with the Python library of Standard Webhooks; prints a verdict for each."""

import base64
import json
import sys

from standardwebhooks import Webhook, WebhookVerificationError

for case in json.load(sys.stdin):
    try:
        Webhook(case["secret"]).verify(base64.b64decode(case["body"]), case["headers"])
        print("verified")
    except WebhookVerificationError:
        print("refused")
