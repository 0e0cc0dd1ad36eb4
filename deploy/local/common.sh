# Paths, messages, processes and ports for the local scripts.
# A process is identified by its pid and its start time, because the kernel reuses pids.

set -eEuo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
LOCAL=$ROOT/.local
RUN=$LOCAL/run
LOG=$LOCAL/log
HERE=$ROOT/deploy/local
mkdir -p "$RUN" "$LOG"
chmod 700 "$LOCAL"

STEP=start
say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }
step() { STEP=$1; say "$1"; }

# The exit status of a script that has printed its failure already.
REPORTED=70

# fail MESSAGE [LOG]: prints the failed step, the message and the last lines of the log, then exits.
fail() {
    printf '\nFAILED at "%s": %s\n' "$STEP" "$1" >&2
    if [ -n "${2:-}" ] && [ -f "$2" ]; then
        printf -- '--- last lines of %s\n' "$2" >&2
        tail -n 20 "$2" >&2
    fi
    exit $REPORTED
}

# The trap runs in a subshell and again in its parent; only the first prints.
failed() { # STATUS PLACE
    if [ "$1" = $REPORTED ]; then exit $REPORTED; fi
    fail "command ended with status $1 at $2"
}
trap 'failed $? "${BASH_SOURCE[0]##*/}:$LINENO"' ERR

# start_time PID: in clock ticks since boot; empty if the process does not exist.
start_time() { sed -E 's/^.*\) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20 || true; }

remember() { printf '%s %s\n' "$2" "$(start_time "$2")" > "$RUN/$1.pid"; }

# alive NAME: true if the remembered process still runs and is no zombie.
alive() {
    local pid started
    [ -f "$RUN/$1.pid" ] || return 1
    read -r pid started < "$RUN/$1.pid" || return 1
    [ -n "$started" ] && [ "$(start_time "$pid")" = "$started" ] || return 1
    ! grep -q '^State:.*Z' "/proc/$pid/status" 2>/dev/null
}

# adopt NAME PROGRAM ARGUMENT VARIABLE=VALUE: finds a process that detached, or that an interrupted start left
# behind, by its program, one argument and one environment variable, and remembers it.
adopt() {
    local proc
    for proc in /proc/[0-9]*; do
        if [ "$(cat "$proc/comm" 2> /dev/null)" = "$2" ] && [ -r "$proc/environ" ] &&
            [ "$proc/ns/mnt" -ef /proc/self/ns/mnt ] &&
            holds "$proc/cmdline" "$3" && holds "$proc/environ" "$4"; then
            remember "$1" "${proc#/proc/}"
            return
        fi
    done
}

# holds FILE ITEM: true if the NUL-separated list in FILE contains ITEM.
holds() { tr '\0' '\n' 2> /dev/null < "$1" | grep -xF -- "$2" > /dev/null; }

pid_of() { cut -d' ' -f1 "$RUN/$1.pid"; }

# end NAME: sends SIGTERM, and SIGKILL after 30 s.
end() {
    if alive "$1"; then
        kill "$(pid_of "$1")" 2>/dev/null || true
        for _ in $(seq 300); do alive "$1" || break; sleep 0.1; done
        if alive "$1"; then kill -9 "$(pid_of "$1")" 2>/dev/null || true; fi
    fi
    rm -f "$RUN/$1.pid"
}

# launch NAME COMMAND…: starts COMMAND detached from the terminal, with a log of its own, and remembers it.
launch() {
    local name=$1
    shift
    setsid "$@" > "$LOG/$name.log" 2>&1 < /dev/null &
    remember "$name" $!
}

# wait_until SECONDS WHAT LOG COMMAND…: repeats COMMAND until it succeeds.
wait_until() {
    local seconds=$1 what=$2 log=$3 deadline=$((SECONDS + $1))
    shift 3
    until "$@" > /dev/null 2>&1; do
        [ $SECONDS -lt $deadline ] || fail "$what was not ready within $seconds s" "$log"
        sleep 0.2
    done
}

# as_client CURL-ARGUMENT…: sends CAPI_API_KEY from a file, because every user of the machine can read argv.
as_client() { curl -sS -H @<(printf 'Authorization: Bearer %s\n' "$CAPI_API_KEY") "$@"; }

json_field() { # KEY…: prints the value at this path of the JSON document on stdin
    python3 -c '
import functools, json, sys
member = lambda value, key: value[int(key) if isinstance(value, list) else key]
value = functools.reduce(member, sys.argv[1:], json.load(sys.stdin))
print(value if isinstance(value, str) else json.dumps(value))' "$@"
}

# port_is_free PORT [ADDRESS]: true if no server listens on the port of ADDRESS, by default 127.0.0.1.
port_is_free() { ! (exec 3<> "/dev/tcp/${2:-127.0.0.1}/$1") 2>/dev/null; }

# port_of NAME FIRST: prints the port that NAME had before, else the first free port from FIRST upwards.
port_of() {
    if [ ! -s "$RUN/$1.port" ]; then choose_port "$1" "$2"; fi
    cat "$RUN/$1.port"
}

# free_port_for NAME FIRST [ADDRESS]: like port_of, for a NAME that is about to start: it replaces a port in
# use.
free_port_for() {
    if [ ! -s "$RUN/$1.port" ] || ! port_is_free "$(cat "$RUN/$1.port")" "${3:-}"; then choose_port "$@"; fi
    cat "$RUN/$1.port"
}

choose_port() { # NAME FIRST [ADDRESS]
    local port
    for port in $(seq "$2" $(($2 + 400))); do
        if port_is_free "$port" "${3:-}"; then
            printf '%s\n' "$port" > "$RUN/$1.port"
            return
        fi
    done
    fail "no port from $2 to $(($2 + 400)) is free for $1"
}

# Two set-ups in one tree would overwrite each other's files.
lock() {
    exec 9> "$LOCAL/lock"
    flock -w 600 9 || fail "another set-up has been running here for 10 minutes"
}
