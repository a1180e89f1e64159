"""`python -m farshore` is the command line."""

from farshore.cli.main import run

if __name__ == "__main__":
    run()
