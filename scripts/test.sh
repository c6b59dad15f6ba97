#!/usr/bin/env bash
# Set up with the test extras, then run all tests: bash scripts/test.sh [pytest arguments]
# (`pytest` alone is the unit tests: under a minute, no process is started.)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/environment.sh
make_environment "[test]"
exec .venv/bin/python -m pytest -n auto --dist worksteal -m "" "$@"
