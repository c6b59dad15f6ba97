"""One run: ``python train.py model=alexnet``. ``--help`` lists the choices; conf/ holds them."""

import sys

try:
    from trainlab.command.main import main
except ModuleNotFoundError as missing:
    print(
        f"error: {missing.name} is not installed for {sys.executable}; run `bash scripts/train.sh` once, "
        "then use .venv/bin/python (or `source .venv/bin/activate`).",
        file=sys.stderr,
    )
    sys.exit(2)

if __name__ == "__main__":
    main()
