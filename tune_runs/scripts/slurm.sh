#!/bin/bash
# The campaign {{ name }} on {{ nodes }} {{ "node" if nodes == 1 else "nodes" }} of a Slurm cluster. One command starts it:
#
#   sbatch THIS_FILE
#
# Five minutes before its time is over the launch is asked to stop: every job writes a checkpoint. The Slurm job is
# then put into the queue again and goes on from there, until nothing is left. docs/clusters/slurm.md
#
#SBATCH --job-name={{ name }}
#SBATCH --nodes={{ nodes }}
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
{%- if cpus %}
#SBATCH --cpus-per-task={{ cpus }}
{%- endif %}
{%- if gpus %}
#SBATCH --gpus-per-node={{ gpus }}
{%- endif %}
#SBATCH --time={{ time }}
#SBATCH --signal=B:TERM@300
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output={{ name }}-%j.log
set -u

# The environment is that of the shell which called sbatch. Another one:
# source /path/to/venv/bin/activate

# What runs on these nodes takes orders from this job alone.
RAY_AUTH_TOKEN=$(python3 -c 'import secrets; print(secrets.token_hex(32))')
export RAY_AUTH_TOKEN RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0

first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
port=$((20000 + SLURM_JOB_ID % 20000))
notes=$(mktemp -d)

# Ray starts on every node, the launch on the first, which is this one.
# (A step takes one CPU of each node, unless it is told.)
srun --cpus-per-task="${SLURM_CPUS_PER_TASK:-$SLURM_CPUS_ON_NODE}" ray symmetric-run --address "$first:$port" --min-nodes "$SLURM_NNODES" --include-dashboard=false
{%- if cpus %} --num-cpus={{ cpus }}{% endif %}{% if gpus %} --num-gpus={{ gpus }}{% endif %} -- \
    bash -c 'autoreid "$@" & echo $! > "$0/process"; wait $!; echo $? > "$0/code"' "$notes" \
    {{ launch }} &
step=$!

# A signal ends `wait`, and the launch soon after.
trap 'kill -TERM "$(cat "$notes/process")"' TERM
while kill -0 "$step" 2> /dev/null; do wait "$step"; done

code=$(cat "$notes/code" 2> /dev/null || echo 1)
rm -rf "$notes"
if [ "$code" = 75 ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
