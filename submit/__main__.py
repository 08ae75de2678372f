"""`python -m submit` is `submit`."""

from .cli import cli

if __name__ == "__main__":
    cli(prog_name="submit")
