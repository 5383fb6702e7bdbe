#!/usr/bin/env bash
# The one command for a machine with one NVIDIA GPU: benchmarks/gpu.sh PART FOLDER; PART is one of tests, laws, step,
# peers, or all of them.
# Each part but `all` ends within nine minutes, writes FOLDER/gpu-PART.json and prints a short table last.
# PYTHON names the interpreter; MLPCORE_GPU_BACKEND=numpy tries the script without a GPU (see benchmarks/gpu.py).
set -u
parts="tests laws step peers"
part=${1:-} folder=${2:-}
case " $parts all " in *" ${part:-?} "*) ;; *) folder="" ;; esac
if [ -z "$folder" ]; then
    echo "usage: benchmarks/gpu.sh PART FOLDER, PART one of: $parts all" >&2
    exit 2
fi
folder=$(realpath -m "$folder")
cd "$(dirname "$0")/.." || exit 2
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
export XLA_PYTHON_CLIENT_PREALLOCATE=false # JAX would take most of the memory, which others need in the same run

failed=0
[ "$part" = all ] || parts=$part
for one in $parts; do
    timeout --kill-after=10 530 "${PYTHON:-python3}" -m benchmarks.gpu "$one" "$folder" || failed=$?
done
exit "$failed"
