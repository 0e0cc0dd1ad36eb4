# The main job: a run of an app, answered by a language model, its result on the terminal, its webhook verified.

main_job() {
    step "run the app \"Summarise\""
    (
        . "$LOCAL/env"
        local port_file=$RUN/receiver.webhook-port log=$LOG/receiver.log receiver id status run
        rm -f "$port_file"
        printf '%s\n' "$CAPI_WEBHOOK_SECRET" | python3 "$HERE/receiver.py" "$port_file" 150 > "$log" 2>&1 9>&- &
        receiver=$!
        wait_until 10 "the webhook receiver" "$log" test -s "$port_file"
        id=$(curl -sS --fail-with-body -X POST "$CAPI_URL/api/v1/apps/$CAPI_APP_ID/runs" \
            -H "Authorization: Bearer $CAPI_API_KEY" -H 'Content-Type: application/json' \
            -d "{\"inputs\":{\"text\":\"Rust is a language for reliable and fast software. Its compiler finds many mistakes before the program runs.\"},
                 \"webhookUrl\":\"http://127.0.0.1:$(cat "$port_file")/hook\"}" | tee "$LOG/create.json" | json_field id) ||
            fail "the run was not accepted" "$LOG/create.json"
        say "run $id accepted"
        local deadline=$((SECONDS + 120))
        while :; do
            run=$(curl -sS -H "Authorization: Bearer $CAPI_API_KEY" "$CAPI_URL/api/v1/runs/$id")
            status=$(printf '%s' "$run" | json_field status)
            case $status in
                completed) break ;;
                pending | running) [ $SECONDS -lt $deadline ] || fail "the run is still $status after 120 s" "$LOG/run-worker.log" ;;
                *) printf '%s\n' "$run" > "$LOG/run.json"; fail "the run is $status" "$LOG/run.json" ;;
            esac
            sleep 2.5
        done
        printf '\n%s\n\n' "$(printf '%s' "$run" | json_field result text)"
        wait $receiver || fail "the webhook" "$log"
        say "webhook $(cat "$log")"
    )
}

json_field() {
    python3 -c 'import functools, json, sys; print(functools.reduce(lambda value, key: value[key], sys.argv[1:], json.load(sys.stdin)))' "$@"
}
