# The main job: a run of an app, answered by a language model, its result on the terminal, its webhook verified.

main_job() {
    step "run the app \"Summarise\""
    (
        . "$LOCAL/env"
        local port_file=$RUN/receiver.webhook-port log=$LOG/receiver.log receiver id status
        rm -f "$port_file"
        printf '%s\n' "$CAPI_WEBHOOK_SECRET" | python3 "$HERE/receiver.py" "$port_file" 150 > "$log" 2>&1 9>&- &
        receiver=$!
        trap 'kill $receiver 2> /dev/null || true' EXIT
        wait_until 10 "the webhook receiver" "$log" test -s "$port_file"
        id=$(as_client -m 30 --fail-with-body -X POST "$CAPI_URL/api/v1/apps/$CAPI_APP_ID/runs" \
            -H 'Content-Type: application/json' \
            -d "{\"inputs\":{\"text\":\"Rust is a language for reliable and fast software. Its compiler finds many mistakes before the program runs.\"},
                 \"webhookUrl\":\"http://127.0.0.1:$(cat "$port_file")/hook\"}" | tee "$LOG/create.json" | json_field id) ||
            fail "the run was not accepted" "$LOG/create.json"
        say "run $id accepted"
        local deadline=$((SECONDS + 120)) run=$LOG/run.json
        while :; do
            status=$(as_client -m 10 -o "$run" -w '%{http_code}' "$CAPI_URL/api/v1/runs/$id") || status=000
            # No answer, too many requests, or a database that hiccups: none of them says anything about the run.
            if [ "$status" = 200 ]; then status=$(json_field status < "$run"); fi
            case $status in
                completed) break ;;
                pending | running | 000 | 429 | 503) [ $SECONDS -lt $deadline ] || fail "the run is still $status after 120 s" "$LOG/run-worker.log" ;;
                *) fail "the run is $status" "$run" ;;
            esac
            sleep 2.5
        done
        printf '\n%s\n\n' "$(json_field result text < "$run")"
        wait $receiver || fail "the webhook" "$log"
        trap - EXIT
        say "webhook $(cat "$log")"
    )
}

json_field() {
    python3 -c 'import functools, json, sys; print(functools.reduce(lambda value, key: value[key], sys.argv[1:], json.load(sys.stdin)))' "$@"
}
