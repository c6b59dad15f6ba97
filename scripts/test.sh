#!/usr/bin/env bash
# Set up with the test extras, then run all tests: bash scripts/test.sh [pytest arguments]
# (`pytest -n 2` alone is the unit tests: under a minute on 2 cores, no process is started by them.)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/environment.sh
make_environment "[test]"
# Runs wait for each other, for signals and for disks: three processes for two cores.
workers=$(.venv/bin/python -c 'import os; print((3 * len(os.sched_getaffinity(0)) + 1) // 2)' 2>/dev/null || echo auto)
exec .venv/bin/python -m pytest -n "$workers" --dist worksteal -m "" "$@"
