#!/bin/sh
# The campaign {{ name }} on a few machines of one network. On the first, then on each of the others:
#
#   sh THIS_FILE first
#   sh THIS_FILE ADDRESS            # as the first one prints it, such as 10.0.0.5:6379
#
# All of them need the same token, once: `ray get-auth-token --generate` on the first, and its ~/.ray/auth_token
# copied to the others. docs/clusters/machines.md
set -u
export RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0

case "${1-}" in
first)
    ray start --head --port="${PORT:-6379}" --include-dashboard=false
    {%- if gpus %} --num-gpus={{ gpus }}{% endif %}{% if cpus %} --num-cpus={{ cpus }}{% endif %} || exit 1
    autoreid {{ launch }}
    code=$?
    ray stop
    # 75: interrupted. The same command goes on from the checkpoints.
    exit "$code"
    ;;
*:*)
    exec ray start --address "$1" --block
    {%- if gpus %} --num-gpus={{ gpus }}{% endif %}{% if cpus %} --num-cpus={{ cpus }}{% endif %}
    ;;
*)
    echo "usage: sh $0 first | sh $0 HOST:PORT" >&2
    exit 2
    ;;
esac
