"""The one exception that is shown to a user as a single line."""


class UserError(Exception):
    """Something the user can put right: a file, an option, a folder.

    The message is one line that names the file (and row) and says what to do. Commands print
    it without a traceback and exit with code 2.
    """
