# Makes .venv and installs this package into it; sourced by train.sh and test.sh from the repository's root.

OLDEST="3.10" # what pyproject.toml asks for; there is no newest

# $PYTHON if it is set, else the first that is found and new enough.
find_python() {
    local candidate found=""
    for candidate in ${PYTHON:+"$PYTHON"} python3 python3.15 python3.14 python3.13 python3.12 python3.11 python3.10 python; do
        command -v "$candidate" >/dev/null 2>&1 || continue
        if "$candidate" -c "import sys; sys.exit(sys.version_info[:2] < (${OLDEST/./, }))" 2>/dev/null; then
            echo "$candidate"
            return
        fi
        found=${found:-", only $("$candidate" --version 2>&1)"}
    done
    echo "error: no Python $OLDEST or newer was found$found; install one, or name it: PYTHON=/path/to/python3 bash scripts/train.sh" >&2
    exit 2
}

# $1: the extras to install, "" or "[test]". Does nothing when pyproject.toml is as it was the last time.
make_environment() {
    local stamp=".venv/installed$1" python version
    if [[ -x .venv/bin/python && -f "$stamp" && ! pyproject.toml -nt "$stamp" ]]; then
        return
    fi
    python=$(find_python)
    version=$("$python" --version)
    if ! [[ -x .venv/bin/python ]] || ! .venv/bin/python -c 'import torch' 2>/dev/null; then
        echo "setting up .venv with $version, once: PyTorch for GPUs is a download of about 3 GB and 6 GB on the disk" \
            "(200 MB without CUDA: README.md, "Start", says how)" >&2
    fi
    if command -v uv >/dev/null 2>&1; then
        [[ -x .venv/bin/python ]] || uv venv --quiet --python "$python" .venv || exit 1
        uv pip install --quiet --python .venv/bin/python --editable ".$1" || install_failed "$version"
    else
        .venv/bin/python -m pip --version >/dev/null 2>&1 || "$python" -m venv --clear .venv || {
            rm -rf .venv
            echo "error: $python cannot make a virtual environment; on Debian and Ubuntu: apt-get install python3-venv" >&2
            exit 1
        }
        .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".$1" || install_failed "$version"
    fi
    touch "$stamp"
}

install_failed() {
    echo "error: the installation with $1 failed (see above); run the same command again to go on, or, if a package has no" \
        "version for this Python yet, use another: PYTHON=/path/to/python3 bash scripts/train.sh" >&2
    exit 1
}
