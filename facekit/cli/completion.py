"""The command that prints a shell completion script."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from facekit.cli.common import DONE
from facekit.cli.options import add_command, option
from facekit.utils.extras import import_extra


def add_command_to(commands: Any, parser: argparse.ArgumentParser) -> None:
    """Adds the command to the parser's, which it describes."""

    def run(options: argparse.Namespace) -> int:
        shtab = import_extra("shtab")
        for action in _actions(parser):
            if action.type is Path:
                action.complete = shtab.FILE  # type: ignore[attr-defined]
        for line in shtab.complete(parser, options.shell).splitlines():
            print(line)
        return DONE

    add_command(
        commands,
        "completion",
        run,
        "print a shell completion script",
        option("shell", ("bash", "zsh", "tcsh")),
    )


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from _actions(inner)
