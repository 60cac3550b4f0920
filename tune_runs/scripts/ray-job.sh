#!/bin/sh
# The campaign {{ name }} as a job of a Ray cluster that stands. One command starts it, and shows its log:
#
#   RAY_API_SERVER_ADDRESS=http://HEAD:8265 sh THIS_FILE
#
# Where the cluster wants a token: RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH beside it. Every launch is a new job
# of Ray and goes on where the last one ended. Exit code 0: done; else see `autoreid campaign status`.
# docs/clusters/ray-jobs.md
set -u
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/campaign.yaml" << 'END_{{ digest }}'
{{ campaign -}}
END_{{ digest }}
ray job submit --submission-id "{{ name }}-$(date +%Y%m%d-%H%M%S)" --working-dir "$folder" -- \
    autoreid {{ launch }}
