"""Every claim with its figures, checked anew by one command: ``python scripts/claims.py [--check NAME …]``."""

from _start import start

if __name__ == "__main__":
    start("trainlab.command.claims.front", "claims")
