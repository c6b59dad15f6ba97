"""``python -m trainlab model=alexnet``: train.py, where only the package is installed."""

from trainlab.command.main import main

if __name__ == "__main__":
    main()
