"""The demo: `python -m infra.demo`, or with `--keep-ui` to look around afterwards.

Real servers on this machine, a backup of three sources to four replicas by a Prefect flow, a disaster, and everything
back. Exit code 0 when every comparison held, 1 when not, 130 when interrupted. Everything is removed at the end.
"""

from __future__ import annotations

import argparse
import signal
import sys
from types import FrameType

from infra.demo.diary import DemoFailed, Diary
from infra.demo.story import pieces, show_story
from infra.demo.world import World
from infra.local.process import ServerFailed

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130


def run() -> int:
    """Run the demo and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m infra.demo", description="The whole of Farshore on this machine.")
    parser.add_argument("--keep-ui", action="store_true", help="keep servers and Prefect UI up until Ctrl-C")
    keep_ui = parser.parse_args().keep_ui
    signal.signal(signal.SIGTERM, _interrupt)
    diary = Diary()
    try:
        with World(diary) as world:
            print(f"Farshore demo. All of it happens in {world.root}, and is removed at the end.\n", flush=True)
            try:
                show_story(diary, world)
            except (DemoFailed, ServerFailed) as failure:
                print(f"\n{diary.table()}\n\n{failure}", flush=True)
                return EXIT_FAILED
            except Exception:  # a server or a tool behaved as nobody thought of
                print(f"\n{diary.table()}\n", flush=True)
                raise
            print(f"\n{diary.table()}\n\n{pieces(world)}\n", flush=True)
            if keep_ui:
                _keep(world)
    except KeyboardInterrupt:
        print("\nInterrupted; everything was removed.", flush=True)
        return EXIT_INTERRUPTED
    print("Everything held, and everything was removed. 'make demo-ui' keeps it up to look around.", flush=True)
    return 0


def _keep(world: World) -> None:
    names = [
        name
        for name in world.programs.environment
        if name.startswith(("FARSHORE_", "DEMO_", "SHOP_", "PREFECT_", "DO_NOT_TRACK"))
    ]
    print("To look around with 'farshore' and 'prefect' from another terminal:\n")
    print("\n".join(f"export {name}='{world.programs.environment[name]}'" for name in sorted(names)))
    print(f"\nPrefect UI: {world.prefect.address}\nCtrl-C ends and removes everything.", flush=True)
    try:
        signal.pause()
    except KeyboardInterrupt:
        print()


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(run())
