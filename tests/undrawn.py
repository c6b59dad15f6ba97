"""train.py, but its runs draw no figures, which take longer than the few steps of a test."""

from trainlab.command.main import main
from trainlab.recording import run_figures


def draw_none(*shown: object, **how: object) -> dict[str, object]:
    return {}


if __name__ == "__main__":
    run_figures.draw_figures = draw_none
    main()
