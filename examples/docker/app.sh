#!/bin/sh
# Stands in for an entrypoint script. It starts workers, and saves something when it is asked to stop.
trap 'echo saved; exit 0' TERM
sleep 1000 &
sleep 1000 &
echo ready
wait
