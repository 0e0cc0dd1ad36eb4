#!/bin/sh
exec /opt/python/bin/python3 -m pip "$@"
