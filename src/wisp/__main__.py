"""``python -m wisp``: the command, without its script."""

from wisp.cli import run

if __name__ == "__main__":
    run()
