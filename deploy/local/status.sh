#!/bin/bash
# make status: lists the processes that `make up` started, and whether each is ready.
. "$(dirname "$0")/common.sh"
. "$HERE/samples.sh"
printf '%-20s %-9s %-8s %s\n' NAME STATE PID ADDRESS
for name in postgres rabbitmq epmd model pages gateway run-worker webhook-dispatcher; do
    state=stopped pid=- address=-
    if alive $name; then
        state=running pid=$(pid_of $name)
        if [ -f "$RUN/$name.ops" ]; then
            ops=http://$(cat "$RUN/$name.ops") address="ops $ops"
            if ! curl -fsS -m 3 "$ops/readyz" > /dev/null 2>&1; then state=unready; fi
        elif [ -f "$RUN/$name.port" ]; then
            host=127.0.0.1
            if [ $name = pages ]; then host=$PAGES_ADDRESS; fi
            address="$host:$(cat "$RUN/$name.port")"
        fi
        if [ -f "$RUN/$name.http" ]; then address="http://$(cat "$RUN/$name.http")  $address"; fi
    fi
    printf '%-20s %-9s %-8s %s\n' $name $state $pid "$address"
done
