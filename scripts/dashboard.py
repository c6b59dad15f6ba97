"""A W&B project's workspace and reports: ``python scripts/dashboard.py project=NAME``."""

from _start import start

if __name__ == "__main__":
    start("trainlab.pages.dashboards.front", "dashboard")
