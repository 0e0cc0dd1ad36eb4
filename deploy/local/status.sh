#!/bin/bash
# make status: what make up started, and how it is.
. "$(dirname "$0")/common.sh"
printf '%-20s %-9s %-8s %s\n' NAME STATE PID WHERE
for name in postgres rabbitmq epmd model gateway run-worker webhook-dispatcher; do
    state=stopped pid=- where=-
    if alive $name; then
        state=running pid=$(pid_of $name)
        if [ -f "$RUN/$name.ops" ]; then
            where="ops http://$(cat "$RUN/$name.ops")"
            if ! curl -fsS -m 3 "http://$(cat "$RUN/$name.ops")/readyz" > /dev/null 2>&1; then state=unready; fi
        elif [ -f "$RUN/$name.port" ]; then
            where="127.0.0.1:$(cat "$RUN/$name.port")"
        fi
        if [ -f "$RUN/$name.http" ]; then where="http://$(cat "$RUN/$name.http")  $where"; fi
    fi
    printf '%-20s %-9s %-8s %s\n' $name $state $pid "$where"
done
