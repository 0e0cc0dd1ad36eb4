#!/usr/bin/env bash
# Runs the app, waits for its end, prints the result and saves the artifacts in the folder capi-RUN.
# CAPI_API_KEY holds the API key.
runs=<: with.runs :>
inputs=<: with.inputs :>
<% for file in with.files %><: file.field :>_file='<: file.path :>'  # replace it
<% endfor %>
for program in curl jq; do
  command -v "$program" > /dev/null || { echo "install $program" >&2; exit 2; }
done
<% if !with.files.is_empty() -%>
for file in<% for file in with.files %> "$<: file.field :>_file"<% endfor %>; do
  [ -r "$file" ] || { echo "cannot read $file" >&2; exit 2; }
done
<% endif %>tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT
# The key is in a file, because other users can see the arguments of a command.
printf 'Authorization: Bearer %s\n' "${CAPI_API_KEY:-}" > "$tmp/key"

# call ARGUMENTS: writes the answer to $tmp/answer, or ends this script. curl tries again for up to five
# minutes, as Retry-After says, while the gateway is busy or cannot be reached.
call() {
  local status code why
  status=$(curl -sS --connect-timeout 10 --max-time 90 --retry 20 --retry-all-errors --retry-max-time 300 \
    -H "@$tmp/key" -o "$tmp/answer" -w '%{http_code}' "$@") || exit 6
  case $status in
    2*) return ;;
    401 | 403) code=4 ;;
    429 | 500 | 502 | 503 | 504) code=6 ;;
    *) code=2 ;;
  esac
  why=$(jq -r '"\(.code): \(.detail) (request \(.requestId))"' "$tmp/answer" 2> /dev/null)
  echo "${why:-the gateway answered with the status $status}" >&2
  exit "$code"
}

# All attempts send the same key, so that there is only one run.
once=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
<% if with.files.is_empty() %>printf '{"inputs": %s}' "$inputs" > "$tmp/body"
call "$runs" -H "Idempotency-Key: $once" -H 'Content-Type: application/json' --data-binary "@$tmp/body"
<% else %>printf '%s' "$inputs" > "$tmp/inputs"
call "$runs" -H "Idempotency-Key: $once" -F "inputs=<$tmp/inputs"<% for file in with.files %> \
  -F "<: file.field :>=@\"$<: file.field :>_file\""<% endfor %>
<% endif %>id=$(jq -r .id "$tmp/answer")
echo "run $id" >&2
while call "$runs/$id?wait=50" && [ "$(jq -r .completedAt "$tmp/answer")" = null ]; do sleep 1; done
mv "$tmp/answer" "$tmp/run"

jq -r '.artifacts[] | "\(.url) \(.name // .title
  | gsub("[^\\w.-]"; "_") | .[-50:] | sub("^[.]+"; "") | if . == "" then "artifact" else . end)"' "$tmp/run" |
  while read -r url name; do
    mkdir -p "capi-$id"
    while [ -e "capi-$id/$name" ]; do name=_$name; done
    call "$url" --max-time 600
    mv "$tmp/answer" "capi-$id/$name"
    echo "saved capi-$id/$name" >&2
  done || exit

case $(jq -r .status "$tmp/run") in
  completed) jq -r 'if .result.data == null then .result.text else .result.data end' "$tmp/run" ;;
  cancelled) echo "the run was cancelled" >&2; exit 3 ;;
  *) jq -r '"the run failed: \(.error.code): \(.error.message)"' "$tmp/run" >&2; exit 1 ;;
esac
