"""The exceptions that are shown to a user as a single line."""


class UserError(ValueError):
    """Something the user can put right: a file, an option, a folder.

    The message is one line that names the file (and row) and says what to do. Commands print
    it without a traceback and exit with code 2.

    Attributes:
        field: name of the setting that it is about, such as "learning_rate", if it is about one.
    """

    def __init__(self, *message: object, field: str | None = None):
        super().__init__(*message)
        self.field = field


class MissingLabelsError(UserError):
    """Labels are needed and a table has none, or not for every row."""
