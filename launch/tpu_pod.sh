#!/usr/bin/env bash
# Trains on all hosts of a Cloud TPU slice: copies the checkout, installs it once, starts every host.
#
#   NAME=my-tpu ZONE=us-central2-b bash launch/tpu_pod.sh configs/headgan.py /mnt/shared/run \
#       --config.data.path=/mnt/data --config.train.bfloat16
#
# The hosts find each other. Workdir and data lie on a file store that every host mounts at the same path.
set -eu
: "${NAME:?name of the TPU}" "${ZONE:?its zone}"
config=$1 workdir=$2
shift 2
on_all() {
  gcloud compute tpus tpu-vm ssh "$NAME" --zone="$ZONE" --worker=all --command="$1"
}
archive=$(mktemp --suffix=.tar.gz)
trap 'rm -f "$archive"' EXIT
git archive --format=tar.gz --output="$archive" HEAD
gcloud compute tpus tpu-vm scp "$archive" "$NAME":facejax.tar.gz --zone="$ZONE" --worker=all
on_all "mkdir -p facejax && tar -xzf facejax.tar.gz -C facejax && cd facejax &&
  { [ -d .venv ] || python3 -m venv .venv; } && .venv/bin/pip install --quiet --editable '.[tpu]'"
command="cd facejax && .venv/bin/facejax train --config $config --workdir $workdir"
on_all "$command $(printf '%q ' "$@")"
