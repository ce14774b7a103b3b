#!/bin/sh
# Stands for an entrypoint script: it starts workers, and saves something when it is asked to stop.
trap 'echo saved; exit 0' TERM
sleep 1000 &
sleep 1000 &
echo ready
wait
