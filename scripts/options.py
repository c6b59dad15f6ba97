"""docs/options.md from the files of conf/: ``python scripts/options.py``."""

from _start import start

if __name__ == "__main__":
    start("trainlab.command.help", "write_options_page")
