"""`InputError`, the exception for invalid input, whose message is written for users."""


class InputError(ValueError):
    """Invalid input: a file, an argument or a value that cannot be used.

    The message is one line and names the file (or argument), the field, the value found and what was expected. The
    command line prints it without a traceback and exits with status 2; callers of the library can catch it as a
    `ValueError`.
    """


def one_line(error: BaseException) -> str:
    """The message of another exception on one line, for use in an `InputError`."""
    return " ".join(str(error).split())
