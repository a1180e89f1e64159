"""The entry point: parse, run one command, print its result, and end with its exit code. Never a traceback."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn, TextIO

from farshore.cli import Command, Invocation
from farshore.cli.output import Outlet, OutletFailed, Output, open_stderr
from farshore.cli.parsing import UsageMistake, build_parser, commands_for
from farshore.cli.process import Stopped, configure_logs, stop_on_signals
from farshore.clock import Clock, SystemClock
from farshore.errors import EXIT_BUG, EXIT_DONE, EXIT_USAGE, EXIT_WARNINGS, Bug, Failure, UserError
from farshore.host_resources import forbid_core_dumps, what_is_exhausted

EXIT_BROKEN_PIPE = 141  # a shell's code for a program ended by SIGPIPE


def run() -> NoReturn:
    """Run as the console script `farshore`: reads the process's arguments and environment, and ends the process."""
    if "FARSHORE_DEBUG" not in os.environ:
        warnings.simplefilter("ignore")  # deprecations inside SDKs are not the user's business
    forbid_core_dumps()
    # Before Arrow is loaded: its own allocations use this pool, whatever a caller names (decision 0006).
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    _prepare_streams()
    try:
        with stop_on_signals(sys.stderr):
            configure_logs(os.environ, sys.stderr)
            code = main(sys.argv[1:], os.environ, sys.stdout, sys.stderr, SystemClock())
            sys.stdout.flush()
            code = _own_up(code)
    except Failure as error:
        Output(stdout=sys.stdout, stderr=sys.stderr, json="--json" in sys.argv).error(error)
        code = error.exit_code
    except BrokenPipeError:
        _forget_stdout()
        code = EXIT_BROKEN_PIPE
    except OutletFailed as error:  # a full disk behind a redirection; the command's work is kept
        _forget_stdout()
        sys.stderr.write(f"error[output]: cannot write standard output: {error}\n")
        code = EXIT_BUG
    except Stopped as stopped:
        code = stopped.exit_code
        sys.stderr.write(f"{stopped}\n")
        with contextlib.suppress(BrokenPipeError):
            sys.stdout.flush()
    except (OSError, RuntimeError, MemoryError) as error:  # something that `main` needs could not be started
        exhausted = what_is_exhausted(error, unexpected=True)
        if exhausted is None:
            raise
        Output(stdout=sys.stdout, stderr=sys.stderr, json="--json" in sys.argv).error(exhausted)
        code = exhausted.exit_code
    if code >= 128:
        # Worker threads may sit in a network call for a minute; everything they hold may be lost at any instruction.
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def main(words: Sequence[str], environment: Mapping[str, str], stdout: TextIO, stderr: TextIO, clock: Clock) -> int:
    """Run one command line and return its exit code. Raises only `Stopped`, `BrokenPipeError`, `OutletFailed`."""
    parser = build_parser(commands_for(words))
    output = Output(stdout=stdout, stderr=stderr, json="--json" in words, quiet="--quiet" in words)
    try:
        arguments = parser.parse_args(words)
    except UsageMistake as mistake:
        return _print_usage(output, mistake)
    except SystemExit as done:  # --help printed its text
        return int(done.code or EXIT_DONE)
    if arguments.version:
        from farshore.cli.version import farshore_version

        output.line(f"farshore {farshore_version()}")
        return EXIT_DONE
    command: Command | None = arguments.command
    if command is None or command.execute is None:
        arguments.parser.print_help(stdout if not words else stderr)
        return EXIT_USAGE
    as_json = arguments.json or getattr(arguments, "format", "") == "json"
    sends_content = command.sends_content(arguments)
    output = Output(stdout=stderr if sends_content else stdout, stderr=stderr, json=as_json, quiet=arguments.quiet)
    if command.acts and not sends_content and isinstance(stdout, Outlet):
        stdout.go_on_unread()
    invocation = Invocation(
        arguments=arguments, output=output, environment=environment, clock=clock,
        content=stdout if sends_content else None,
    )  # fmt: skip
    if arguments.trace is None:
        return execute(command, invocation)
    from farshore.cli.trace import execute_traced

    return execute_traced(command, invocation, execute)


def execute(command: Command, invocation: Invocation) -> int:
    """Run one command and print its error, if it fails. Raises only `Stopped`, `BrokenPipeError`, `OutletFailed`."""
    output = invocation.output
    try:
        assert command.execute is not None  # noqa: S101 - `main` shows help for commands that only group others
        code = command.execute(invocation)
    except UsageMistake as mistake:
        return _print_usage(output, mistake)
    except Failure as error:
        output.error(error)
        return error.exit_code
    except Stopped as stopped:
        stopped.meaning = command.interrupted
        output.raw({"type": "error", "code": "interrupted", "message": str(stopped), "exit_code": stopped.exit_code})
        raise
    except (BrokenPipeError, OutletFailed):
        raise
    except Exception as error:  # noqa: BLE001 - the last line of defense between a bug and a traceback
        exhausted = what_is_exhausted(error, unexpected=True)
        if exhausted is not None:
            output.error(exhausted)
            return exhausted.exit_code
        return _print_bug(invocation, error)
    return code


def _print_usage(output: Output, mistake: UsageMistake) -> int:
    output.raw(
        {"type": "error", "code": "usage", "message": mistake.message, "hint": mistake.hint, "exit_code": EXIT_USAGE}
    )
    output.stderr.write(f"error[usage]: {mistake.message}\nhint: {mistake.hint}\n")
    return EXIT_USAGE


def _print_bug(invocation: Invocation, error: Exception) -> int:
    """Print an unexpected exception in a line, and keep its traceback in a file for a report."""
    import traceback

    trace = "".join(traceback.format_exception(error))
    if invocation.environment.get("FARSHORE_DEBUG"):
        invocation.output.stderr.write(trace)
    kept = _keep_trace(invocation, trace)
    where = f"the traceback is in {kept}" if kept else "set FARSHORE_DEBUG=1 to see the traceback"
    bug = error if isinstance(error, Bug) else Bug(f"unexpected {type(error).__name__}: {error}")
    invocation.output.error(Bug(bug.message, f"{Bug.default_hint} Nothing that was committed is lost; {where}."))
    return Bug.exit_code


def _keep_trace(invocation: Invocation, trace: str) -> Path | None:
    """Write a traceback to a private file and return its path, or None where nothing can be written."""
    from farshore.cli.version import farshore_version

    stamp = invocation.clock.now_utc().strftime("%Y%m%dT%H%M%S")
    name = f"bug-{stamp}-{os.getpid()}.log"
    for folder in _log_folders(invocation):
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = folder / name
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
                stream.write(f"farshore {farshore_version()} {' '.join(sys.argv[1:2])}\n{trace}")
        except OSError:
            continue
        return file
    return None


def _log_folders(invocation: Invocation) -> list[Path]:
    from tempfile import gettempdir

    folders = [Path(gettempdir()) / f"farshore-logs-{os.getuid()}"]
    try:
        from farshore.config import load_config

        folders.insert(0, load_config(invocation.config_path, invocation.environment).state_dir / "logs")
    except (UserError, OSError):
        pass  # a broken configuration has no state directory; the temporary folder will do
    return folders


def _prepare_streams() -> None:
    """Have two streams that can be written to, whatever the parent left us."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number: no file of a replica may become "stderr"
    out = sys.stdout.buffer if sys.stdout else os.fdopen(1, "wb", closefd=False)
    # A name that the locale cannot show is no failure; a failing stream must differ from a failing engine.
    encoding = sys.stdout.encoding if sys.stdout else "utf-8"
    sys.stdout = Outlet(out, encoding=encoding, errors="backslashreplace", line_buffering=out.isatty())
    sys.stderr = open_stderr(sys.stderr.encoding if sys.stderr else "utf-8")


def _own_up(code: int) -> int:
    """Return the exit code of a command that went on although its report could not be written."""
    failure = getattr(sys.stdout, "failure", "")
    if not failure:
        return code
    _forget_stdout()
    sys.stderr.write(f"warning: cannot write standard output: {failure}; what was done is done\n")
    return code or EXIT_WARNINGS


def _forget_stdout() -> None:
    """Point standard output at nothing, so that the interpreter's last flush cannot fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
