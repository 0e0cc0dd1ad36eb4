//! The models file of the scripted model.

use std::net::SocketAddr;

use super::ScriptedModel;

/// Where nothing listens.
const NOWHERE: &str = "127.0.0.1:9";

pub(super) fn models_file(address: SocketAddr) -> String {
    let here = address.to_string();
    let entry = |id: &str, provider: &str, address: &str, more: &str| {
        format!(
            "[[models]]\nid = \"{id}\"\nname = \"{id}\"\nprovider = \"{provider}\"\nbase_url = \
             \"http://{address}/v1\"\nmodel = \"{id}\"\n{more}\n"
        )
    };
    let usual = |id: &str, more: &str| entry(id, "openai", &here, &format!("timeout_seconds = 30\n{more}"));
    let [chat, responses, anthropic] = ScriptedModel::THINKING;
    [
        usual("scripted", &format!("default = true\napi_key_env = \"{}\"", ScriptedModel::KEY_VARIABLE)),
        usual("plain", "tools = false\njson_schema = false"),
        usual("forgetful", "context_window = 4000\nmax_output_tokens = 200"),
        entry("impatient", "openai", &here, "timeout_seconds = 3"),
        entry("away", "openai", NOWHERE, "timeout_seconds = 30"),
        usual(chat, "returns_reasoning = true"),
        entry(responses, "openai-responses", &here, "timeout_seconds = 30"),
        entry(anthropic, "anthropic", &here, "timeout_seconds = 30"),
    ]
    .concat()
}
