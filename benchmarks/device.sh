#!/usr/bin/env bash
# The one command for a machine with one NVIDIA GPU, in ten minutes: benchmarks/device.sh OUT
# It proves (tests, laws, counts of launches, compute-sanitizer, streaming) and measures (steps against torch and JAX)
# in parts, each with its own time limit. What they find is in OUT/summary.json after every part, and tables are printed
# last. A second call with the same OUT goes on with the parts that are not complete.
#   PYTHON            the interpreter, python3 by default
#   DEVICE_BUDGET     seconds for all, 600 by default; all limits are scaled with it
#   DEVICE_REHEARSAL  if set: tiny sizes, torch and JAX on the CPU, a few tests; for the emulated device:
#                     DEVICE_REHEARSAL=1 cuda_on_cpu/run.sh benchmarks/device.sh OUT
set -u
if [ $# -ne 1 ]; then
    echo "usage: benchmarks/device.sh OUT" >&2
    exit 2
fi
out=$(realpath -m "$1")
cd "$(dirname "$0")/.." || exit 2
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
export XLA_PYTHON_CLIENT_PREALLOCATE=false # JAX would take most of the memory, which others need in the same process
exec "${PYTHON:-python3}" -m benchmarks.device "$out"
