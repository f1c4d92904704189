"""Optional packages: importing them, and the message that says what to install when one is missing."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from pose2mesh.errors import InputError, one_line

# What to do about a file of the package that is missing or damaged.
REINSTALL = "`pip install --force-reinstall --no-deps pose2mesh` restores it"


def require(module: str, extra: str, title: str | None = None) -> ModuleType:
    """Import a module of an optional package.

    Call it just before the ordinary `import` statement, which keeps the module's types.

    Args:
        module: Dotted name.
        extra: The extra of this package that installs it, as in `pyproject.toml`.
        title: Name of the package in the message; by default that of the missing module.

    Raises:
        InputError: the package is not installed, with the command that installs it; or it does not load.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise InputError(not_installed(title or error.name or module, extra)) from error
    except (ImportError, OSError) as error:
        raise InputError(f"{title or module} does not load ({one_line(error)})") from error


def not_installed(title: str, extra: str) -> str:
    """The message about a missing package: its name, and the command that installs it."""
    return f"{title} is not installed; {install_command(extra)} brings it"


def install_command(extra: str) -> str:
    """The shell command, in backticks, that installs an extra.

    It needs no release on PyPI: pip reads the extras of an installed package from its metadata. In zsh the quotes are
    necessary.
    """
    return f'`pip install "pose2mesh[{extra}]"`'
