"""`farshore completion`: the script that completes commands and options in a shell."""

from __future__ import annotations

import argparse

from farshore.cli import Command, Invocation
from farshore.errors import EXIT_DONE

SHELLS = ("bash", "zsh", "fish")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("shell", choices=SHELLS, help="the shell to complete in")


def execute(invocation: Invocation) -> int:
    """Print the script."""
    import shtab

    script = shtab.complete(invocation.arguments.root, shell=invocation.arguments.shell)
    invocation.output.raw({"type": "completion", "shell": invocation.arguments.shell, "script": script})
    invocation.output.line(script)
    return EXIT_DONE


COMMAND = Command(
    name="completion",
    summary="print a completion script for a shell",
    description="Print the script that completes commands and options in bash, zsh or fish.",
    example=(
        "farshore completion bash > ~/.local/share/bash-completion/completions/farshore\n"
        "farshore completion zsh > ~/.zfunc/_farshore\n"
        "farshore completion fish > ~/.config/fish/completions/farshore.fish"
    ),
    add_arguments=add_arguments,
    execute=execute,
)
