# What all local scripts share: paths, messages, and processes that are known by pid *and* start time (a pid file
# can name a pid that belongs to something else by now).

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

# What a script ends with that has said why.
SAID=70

# fail MESSAGE [LOG]: which step failed, and the last lines of its log.
fail() {
    printf '\nFAILED at "%s": %s\n' "$STEP" "$1" >&2
    if [ -n "${2:-}" ] && [ -f "$2" ]; then
        printf -- '--- last lines of %s\n' "$2" >&2
        tail -n 20 "$2" >&2
    fi
    exit $SAID
}

# A failure inside a subshell passes here twice: it is told once.
failed() { # STATUS PLACE
    if [ "$1" = $SAID ]; then exit $SAID; fi
    fail "command ended with status $1 at $2"
}
trap 'failed $? "${BASH_SOURCE[0]##*/}:$LINENO"' ERR

# A process's start time in clock ticks since boot; nothing if there is no such process.
start_time() { sed -E 's/^.*\) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20 || true; }

remember() { printf '%s %s\n' "$2" "$(start_time "$2")" > "$RUN/$1.pid"; }

# alive NAME: whether the process that was remembered under NAME is still the same one and no zombie.
alive() {
    local pid started
    [ -f "$RUN/$1.pid" ] || return 1
    read -r pid started < "$RUN/$1.pid" || return 1
    [ -n "$started" ] && [ "$(start_time "$pid")" = "$started" ] && ! grep -q '^State:.*Z' "/proc/$pid/status" 2>/dev/null
}

# adopt NAME PROGRAM ARGUMENT VARIABLE=VALUE: remembers a process of ours that detached, or that an interrupted start
# left behind. Daemons are known by how they were started and by what their environment names.
adopt() {
    local proc
    for proc in /proc/[0-9]*; do
        if [ "$(cat "$proc/comm" 2> /dev/null)" = "$2" ] && [ -r "$proc/environ" ] && [ "$proc/ns/mnt" -ef /proc/self/ns/mnt ] &&
            holds "$proc/cmdline" "$3" && holds "$proc/environ" "$4"; then
            remember "$1" "${proc#/proc/}"
            return
        fi
    done
}

# holds FILE ITEM: whether ITEM is in a NUL-separated list of the kernel's.
holds() { tr '\0' '\n' 2> /dev/null < "$1" | grep -xF -- "$2" > /dev/null; }

pid_of() { cut -d' ' -f1 "$RUN/$1.pid"; }

# end NAME: SIGTERM, then SIGKILL after 30 s.
end() {
    if alive "$1"; then
        kill "$(pid_of "$1")" 2>/dev/null || true
        for _ in $(seq 300); do alive "$1" || break; sleep 0.1; done
        if alive "$1"; then kill -9 "$(pid_of "$1")" 2>/dev/null || true; fi
    fi
    rm -f "$RUN/$1.pid"
}

# launch NAME COMMAND…: in the background, with its own log, remembered. Detached from the terminal.
launch() {
    local name=$1
    shift
    setsid "$@" > "$LOG/$name.log" 2>&1 < /dev/null &
    remember "$name" $!
}

# wait_until SECONDS WHAT LOG COMMAND…
wait_until() {
    local seconds=$1 what=$2 log=$3 deadline=$((SECONDS + $1))
    shift 3
    until "$@" > /dev/null 2>&1; do
        [ $SECONDS -lt $deadline ] || fail "$what: not within $seconds s" "$log"
        sleep 0.2
    done
}

# as_client CURL-ARGUMENT…: with the key of CAPI_API_KEY, which argv would show to everybody.
as_client() { curl -sS -H @<(printf 'Authorization: Bearer %s\n' "$CAPI_API_KEY") "$@"; }

port_is_free() { ! (exec 3<> "/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# port_of NAME FIRST: the port that NAME had before, else the first free one from FIRST up.
port_of() {
    if [ ! -s "$RUN/$1.port" ]; then choose_port "$1" "$2"; fi
    cat "$RUN/$1.port"
}

# free_port_for NAME FIRST: the same for a NAME that is about to start: a port that was taken meanwhile is stepped around.
free_port_for() {
    if [ ! -s "$RUN/$1.port" ] || ! port_is_free "$(cat "$RUN/$1.port")"; then choose_port "$1" "$2"; fi
    cat "$RUN/$1.port"
}

choose_port() {
    local port
    for port in $(seq "$2" $(($2 + 400))); do
        if port_is_free "$port"; then
            printf '%s\n' "$port" > "$RUN/$1.port"
            return
        fi
    done
    fail "no port from $2 to $(($2 + 400)) is free for $1"
}

# One set-up at a time in this tree.
lock() {
    exec 9> "$LOCAL/lock"
    flock -w 600 9 || fail "another set-up has been running here for 10 minutes"
}
