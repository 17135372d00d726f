"""The one exception that means: the user's input is at fault, and here is what to do.

The command line prints it as a single line and exits with status 2, with no traceback.
"""


class InputError(ValueError):
    """Names what came, what was due, and what to do next, in one line."""
