"""The command line: registers the commands, and turns errors into one line and an exit status.

Each command is a file here. It imports what it needs when it runs, and its options are a dataclass that imports nothing
heavy, so that `--help` stays fast. Bad input ends with one line on standard error and status 2; with several inputs the
good ones are still processed, status 1. Results go to standard output.
"""

from __future__ import annotations

from typing import Any

from cyclopts import App, CycloptsError, Parameter

from pose2mesh.cli.console import warn
from pose2mesh.cli.convert import convert
from pose2mesh.cli.crawl import crawl
from pose2mesh.cli.data import data
from pose2mesh.cli.evaluate import evaluate
from pose2mesh.cli.export import export
from pose2mesh.cli.info import info
from pose2mesh.cli.predict import predict
from pose2mesh.cli.robustness import robustness
from pose2mesh.cli.serve import serve
from pose2mesh.cli.train import train
from pose2mesh.errors import InputError, one_line
from pose2mesh.io.extras import not_installed


def _shown_default(value: Any) -> str | None:
    """A default as the help shows it; None hides it."""
    return None if value is None or value == () else str(value)


app = App(
    name="pose2mesh",
    help="From a 2D human pose to a 3D human mesh.",
    version_flags=["--version"],
    suppress_keyboard_interrupt=False,
    # No --no-FLAG by default; options that hold several values take all that follow.
    default_parameter=Parameter(negative="", consume_multiple=True, show_default=_shown_default),
)
for command in (predict, train, evaluate, robustness, export, info, convert, serve, crawl, data):
    app.command(command)


def main(arguments: list[str] | None = None) -> int:
    """Run a command; errors that the user can correct become one line on standard error and status 2.

    Args:
        arguments: The command line without the program's name; that of the process for None.

    Returns:
        The exit status.
    """
    try:
        status = app(
            arguments,
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
        )
        return status if isinstance(status, int) else 0
    except CycloptsError as error:
        warn(f"pose2mesh: {one_line(error)} See --help.")
    except InputError as error:
        warn(f"pose2mesh: {error}")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "pose2mesh":
            raise
        warn(f"pose2mesh: {not_installed(error.name, 'train')}")
    except KeyboardInterrupt:
        warn("pose2mesh: interrupted")
        return 130
    return 2
