"""Receives one webhook on loopback and verifies its signature (Standard Webhooks 1.0).

usage: receiver.py PORT-FILE SECONDS < SECRET

It prints the type and the run id of the verified event, or exits with 1 if none arrives in time.
"""

import base64
import hashlib
import hmac
import http.server
import json
import sys
import time

TOLERANCE_SECONDS = 300
MAX_BODY = 1 << 20


def verified(secret, headers, body):
    """Returns whether the secret signed this request within the last five minutes."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    message_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "0")
    if not timestamp.isdigit() or abs(time.time() - int(timestamp)) > TOLERANCE_SECONDS:
        return False
    signed = f"{message_id}.{timestamp}.".encode() + body
    expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    signatures = headers.get("webhook-signature", "").split(" ")
    return any(hmac.compare_digest(expected, given) for given in signatures)


def main():
    port_file, seconds = sys.argv[1], float(sys.argv[2])
    secret = sys.stdin.readline().strip()
    received = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(min(int(self.headers.get("content-length", 0)), MAX_BODY))
            good = verified(secret, self.headers, body)
            if good:
                received.append(json.loads(body))
            self.send_response(204 if good else 401)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    server.timeout = 0.2
    with open(port_file, "w", encoding="ascii") as file:
        file.write(f"{server.server_port}\n")
    deadline = time.monotonic() + seconds
    while not received:
        if time.monotonic() > deadline:
            sys.exit(f"no verified webhook within {seconds:.0f} s")
        server.handle_request()
    event = received[0]
    print(f"{event['type']} for run {event['data']['id']}, signature verified")


if __name__ == "__main__":
    main()
