#!/usr/bin/env bash
# Set up with the test extras, then run the tests: bash scripts/test.sh [pytest arguments]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/environment.sh
make_environment "[test]"
exec .venv/bin/python -m pytest -n auto --dist worksteal "$@"
