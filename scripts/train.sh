#!/usr/bin/env bash
# Set up on a bare machine, then train: bash scripts/train.sh model=alexnet
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/environment.sh
make_environment "" # the package alone
exec .venv/bin/python train.py "$@"
