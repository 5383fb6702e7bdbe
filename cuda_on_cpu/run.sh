#!/bin/sh
# Runs a command with the emulated device under CuPy, for example: run.sh pytest -m gpu. Tests fail where the device reports an error.
here=$(cd "$(dirname "$0")" && pwd)
exec env PYTHONPATH="$here/site${PYTHONPATH:+:$PYTHONPATH}" PYTEST_PLUGINS=cuda_on_cpu_pytest CUPY_ACCELERATORS= "$@"
