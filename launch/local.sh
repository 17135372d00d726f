#!/usr/bin/env bash
# Trains on this machine, on all of its devices, and goes on after a preemption (exit status 75).
#
#   bash launch/local.sh configs/headgan.py WORKDIR --config.data.path=DATA [more overrides]
#
# Several machines that reach each other, one process each, the same command on all of them:
#
#   COORDINATOR=host0:1234 NPROC=4 PROC_ID=0 bash launch/local.sh ...   # PROC_ID=0 on host0, 1, 2, 3
set -u
if [ $# -lt 2 ]; then
  sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
config=$1 workdir=$2
shift 2
while true; do
  facejax train --config "$config" --workdir "$workdir" "$@"
  status=$?
  [ $status -eq 75 ] || exit $status
done
