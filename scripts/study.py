"""One of the lecture's demonstrations: ``python scripts/study.py NAME [option=value …]``; ``--help`` lists them."""

from _start import start

if __name__ == "__main__":
    start("trainlab.command.studies.front", "study")
