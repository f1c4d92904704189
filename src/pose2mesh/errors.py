"""The one exception a user is meant to read: what was wrong with which input."""


class InputError(ValueError):
    """Bad input from outside: a file, an argument or a value that cannot be used.

    The message is one line and names the file (or argument), the field, the value found and what was expected. The
    command line prints it without a traceback and exits with status 2; library users catch it as a `ValueError`.
    """


def one_line(error: BaseException) -> str:
    """What another's error says, on one line, to be part of an `InputError`."""
    return " ".join(str(error).split())
