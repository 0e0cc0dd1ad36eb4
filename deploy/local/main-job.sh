# The main job: a run of an app with a language model. It prints the result and verifies the webhook.

RUN_TEXT="Ada Lovelace, aged 36, lives in London."

main_job() {
    step "run the app \"Extract\""
    (
        . "$LOCAL/env"
        local port_file=$RUN/receiver.webhook-port log=$LOG/receiver.log receiver id
        rm -f "$port_file"
        printf '%s\n' "$CAPI_WEBHOOK_SECRET" |
            python3 "$HERE/receiver.py" "$port_file" 150 > "$log" 2>&1 9>&- &
        receiver=$!
        trap 'kill $receiver 2> /dev/null || true' EXIT
        wait_until 10 "the webhook receiver" "$log" test -s "$port_file"
        create_run "http://127.0.0.1:$(cat "$port_file")/hook" > "$LOG/create.json" &&
            id=$(json_field id < "$LOG/create.json") ||
            fail "the gateway did not accept the run" "$LOG/create.json"
        say "run $id accepted"
        wait_for_run "$id" "$LOG/run.json"
        printf '\n%s\n\n' "$(json_field result data < "$LOG/run.json")"
        wait $receiver || fail "the webhook did not arrive" "$log"
        trap - EXIT
        say "webhook $(cat "$log")"
    )
}

create_run() { # WEBHOOK-URL
    as_client -m 30 --fail-with-body -X POST "$CAPI_URL/api/v1/apps/$CAPI_APP_ID/runs" \
        -H 'Content-Type: application/json' \
        -d "{\"inputs\": {\"text\": \"$RUN_TEXT\"}, \"webhookUrl\": \"$1\"}"
}

wait_for_run() { # ID FILE: leaves the completed run in FILE
    local status deadline=$((SECONDS + 120))
    while :; do
        status=$(as_client -m 10 -o "$2" -w '%{http_code}' "$CAPI_URL/api/v1/runs/$1") || status=000
        if [ "$status" = 200 ]; then status=$(json_field status < "$2"); fi
        case $status in
            completed) return ;;
            # A timeout, 429 or 503 says nothing about the run itself.
            pending | running | 000 | 429 | 503) ;;
            *) fail "the run has the status $status" "$2" ;;
        esac
        [ $SECONDS -lt $deadline ] ||
            fail "the run still had the status $status after 120 s" "$LOG/run-worker.log"
        sleep 2.5
    done
}
