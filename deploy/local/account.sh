# A user, an app and a working key for whoever tries capi locally. A second `make up` keeps all three.

LOCAL_EMAIL=you@example.com

ensure_account() {
    step "user, app and key"
    local log=$LOG/account.log key='' secret app
    if ! capi_gateway key list --email $LOCAL_EMAIL > "$log" 2>&1; then
        grep -q "no account has the email" "$log" || fail "key list" "$log"
        (umask 077 && head -c 18 /dev/urandom | base64 > "$LOCAL/password.new")
        capi_gateway user create --email $LOCAL_EMAIL --plan pro --password-stdin < "$LOCAL/password.new" > "$log" 2>&1 ||
            fail "user create" "$log"
        mv "$LOCAL/password.new" "$LOCAL/password"
    fi
    app=$(capi_gateway app import "$ROOT/deploy/apps/summarise.toml" --email $LOCAL_EMAIL 2> "$log") || fail "app import" "$log"
    if [ -f "$LOCAL/env" ]; then key=$(. "$LOCAL/env" && echo "${CAPI_API_KEY:-}"); fi
    if [ -z "$key" ] || ! key_works "$key"; then
        key=$(capi_gateway key create --email $LOCAL_EMAIL --name local 2> "$log") || fail "key create" "$log"
    fi
    secret=$(capi_gateway webhook-secret show --email $LOCAL_EMAIL 2> "$log") || fail "webhook-secret show" "$log"
    (
        umask 077
        printf "CAPI_URL='%s'\nCAPI_API_KEY='%s'\nCAPI_APP_ID='%s'\nCAPI_WEBHOOK_SECRET='%s'\n" \
            "$CAPI_URL" "$key" "$app" "$secret" > "$LOCAL/env.new"
        mv "$LOCAL/env.new" "$LOCAL/env"
    )
}

# 429 too is an answer that only a working key gets.
key_works() {
    local code
    code=$(CAPI_API_KEY=$1 as_client -m 10 -o /dev/null -w '%{http_code}' "$CAPI_URL/api/agentapps" 2> /dev/null || true)
    case $code in
        200 | 429) return 0 ;;
        *) return 1 ;;
    esac
}
