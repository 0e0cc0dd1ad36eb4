# A user, sample apps and a working API key for a local trial. A second `make up` keeps them all.

LOCAL_EMAIL=you@example.com

ensure_account() {
    step "user, apps and key"
    ensure_user
    local log=$LOG/account.log key='' secret app sample model=''
    # The local model calls no tools. Another models file has a default of its own.
    if [ "$MODELS_FILE" = "$LOCAL/models.toml" ]; then model=demo; fi
    # The newest app is the first on the console's page.
    for sample in slides invoice fix report; do import_sample $sample $model > /dev/null; done
    CHART_ID=$(import_sample chart $model)
    import_sample summarise > /dev/null
    app=$(import_sample extract)
    if [ -f "$LOCAL/env" ]; then key=$(. "$LOCAL/env" && echo "${CAPI_API_KEY:-}"); fi
    if [ -z "$key" ] || ! key_works "$key"; then
        key=$(capi_gateway key create --email $LOCAL_EMAIL --name local 2> "$log") || fail "key create" "$log"
    fi
    secret=$(capi_gateway webhook-secret show --email $LOCAL_EMAIL 2> "$log") ||
        fail "webhook-secret show" "$log"
    (
        umask 077
        {
            echo "CAPI_URL='$CAPI_URL'"
            echo "CAPI_API_KEY='$key'"
            echo "CAPI_APP_ID='$app'"
            echo "CAPI_WEBHOOK_SECRET='$secret'"
        } > "$LOCAL/env.new"
        mv "$LOCAL/env.new" "$LOCAL/env"
    )
}

import_sample() { # NAME [MODEL]: prints the id of the app
    local log=$LOG/account.log
    { if [ -n "${2:-}" ]; then echo "model = \"$2\""; fi && cat "$ROOT/deploy/apps/$1.toml"; } |
        capi_gateway app import /dev/stdin --email $LOCAL_EMAIL 2> "$log" ||
        fail "app import $1" "$log"
}

ensure_user() {
    local log=$LOG/account.log new=$LOCAL/password.new
    if capi_gateway key list --email $LOCAL_EMAIL > "$log" 2>&1; then return; fi
    grep -q "no account has the email" "$log" || fail "key list" "$log"
    (umask 077 && head -c 18 /dev/urandom | base64 > "$new")
    capi_gateway user create --email $LOCAL_EMAIL --plan pro --password-stdin < "$new" > "$log" 2>&1 ||
        fail "user create" "$log"
    mv "$new" "$LOCAL/password"
}

# The gateway answers 429 only to a valid key, so 429 shows a working key too.
key_works() {
    local code
    code=$(CAPI_API_KEY=$1 as_client -m 10 -o /dev/null -w '%{http_code}' \
        "$CAPI_URL/api/agentapps" 2> /dev/null || true)
    case $code in
        200 | 429) return 0 ;;
        *) return 1 ;;
    esac
}
