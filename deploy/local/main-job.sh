# The main job: a run of an app with a language model, whose result is printed and whose webhook is verified,
# and a chart by the demo model.

RUN_TEXT="Ada Lovelace, aged 36, lives in London."
QUESTION="How did sales (売上) develop over the year?"

main_job() {
    extract_job
    chart_job
}

extract_job() {
    step "run the app \"Extract\""
    (
        . "$LOCAL/env"
        local port_file=$RUN/receiver.webhook-port log=$LOG/receiver.log receiver id status
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
        status=$(end_of_run "$id" "$LOG/run.json")
        [ "$status" = completed ] || fail "the run has the status $status" "$LOG/run.json"
        printf '\n%s\n\n' "$(json_field result data < "$LOG/run.json")"
        wait $receiver || fail "the webhook did not arrive" "$log"
        trap - EXIT
        say "webhook $(cat "$log")"
    )
}

# The chart needs a working sandbox. Without one, everything else of capi works, so that is no failure.
chart_job() {
    local run=$LOG/chart-run.json id status artifact
    # Another models file may have no demo model, and its language model may cost money.
    if [ "$MODELS_FILE" != "$LOCAL/models.toml" ] || [ "${CAPI_SANDBOX:-}" = off ]; then return; fi
    step "run the app \"Chart\" with the demo model"
    (
        . "$LOCAL/env"
        create_chart_run > "$LOG/create.json" && id=$(json_field id < "$LOG/create.json") ||
            fail "the gateway did not accept the run" "$LOG/create.json"
        status=$(end_of_run "$id" "$run")
        if [ "$status" = failed ] && [ "$(json_field errorCode < "$run")" = sandbox_error ]; then
            say "no chart: the sandbox does not work on this machine; deploy/runbook.md says why"
            return
        fi
        [ "$status" = completed ] || fail "the run has the status $status" "$run"
        artifact=$(json_field artifacts 0 id < "$run") || fail "the run published no chart" "$run"
        as_client -m 30 -f -L -o "$LOCAL/chart.png" "$CAPI_URL/api/v1/runs/$id/artifacts/$artifact" ||
            fail "the chart cannot be downloaded" "$run"
        printf '\n%s\n\n' "$(json_field result text < "$run")"
        say "the chart is .local/chart.png"
    )
}

create_run() { # WEBHOOK-URL
    as_client -m 30 --fail-with-body -X POST "$CAPI_URL/api/v1/apps/$CAPI_APP_ID/runs" \
        -H 'Content-Type: application/json' \
        -d "{\"inputs\": {\"text\": \"$RUN_TEXT\"}, \"webhookUrl\": \"$1\"}"
}

create_chart_run() {
    as_client -m 30 --fail-with-body -X POST "$CAPI_URL/api/v1/apps/$CHART_ID/runs" \
        -F "inputs={\"question\": \"$QUESTION\"}" -F "table=@$ROOT/deploy/samples/sales.csv"
}

end_of_run() { # ID FILE: leaves the run in FILE, and prints how it ended
    local status deadline=$((SECONDS + 120))
    while :; do
        status=$(as_client -m 10 -o "$2" -w '%{http_code}' "$CAPI_URL/api/v1/runs/$1") || status=000
        if [ "$status" = 200 ]; then status=$(json_field status < "$2"); fi
        case $status in
            completed | failed | cancelled)
                echo "$status"
                return
                ;;
            # A timeout, 429 or 503 says nothing about the run itself.
            pending | running | 000 | 429 | 503) ;;
            *) fail "the run has the status $status" "$2" ;;
        esac
        [ $SECONDS -lt $deadline ] ||
            fail "the run still had the status $status after 120 s" "$LOG/run-worker.log"
        sleep 2.5
    done
}
