// Verifies the requests on stdin with the JavaScript library of Standard Webhooks; prints a verdict for each.
const { readFileSync } = require("node:fs");
const { Webhook, WebhookVerificationError } = require("standardwebhooks");

for (const { secret, headers, body } of JSON.parse(readFileSync(0, "utf8"))) {
  try {
    new Webhook(secret).verify(Buffer.from(body, "base64"), headers);
    console.log("verified");
  } catch (error) {
    if (!(error instanceof WebhookVerificationError)) throw error;
    console.log("refused");
  }
}
