# Makes .venv and installs this package into it; sourced by train.sh and test.sh from the repository's root.

# Python 3.10 to 3.13: $PYTHON if it is set, else the first that is found.
find_python() {
    local candidate
    for candidate in ${PYTHON:+"$PYTHON"} python3 python3.13 python3.12 python3.11 python3.10 python; do
        if command -v "$candidate" >/dev/null 2>&1 &&
            "$candidate" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "error: no Python 3.10 to 3.13 was found; install one, or name it: PYTHON=/path/to/python3 bash scripts/train.sh" >&2
    exit 2
}

# $1: the extras to install, "" or "[test]". Does nothing when pyproject.toml is as it was the last time.
make_environment() {
    local stamp=".venv/installed$1" python
    if [[ -x .venv/bin/python && -f "$stamp" && ! pyproject.toml -nt "$stamp" ]]; then
        return
    fi
    python=$(find_python)
    echo "setting up .venv with $("$python" --version) (once; the download of PyTorch takes some minutes)" >&2
    .venv/bin/python -m pip --version >/dev/null 2>&1 || "$python" -m venv --clear .venv || {
        rm -rf .venv
        echo "error: $python cannot make a virtual environment; on Debian and Ubuntu: apt-get install python3-venv" >&2
        exit 1
    }
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".$1" || {
        echo "error: the installation failed (see above); run the same command again to go on" >&2
        exit 1
    }
    touch "$stamp"
}
