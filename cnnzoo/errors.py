"""The one exception that means: the input, not the program, has to change."""


class InputError(ValueError):
    """A file, folder or option that cannot be used.

    The message names it and says what to do. The commands print it to stderr and exit with code 2.
    """
