"""The model: a *request error* is the user's to mend (a recipe, a reference, an input that is not there); its message
says what is wrong, where, and what to do. The command prints it as it is, without a traceback, and exits with 2.
"""


class RequestError(Exception):
    """Base of the errors that name something wrong in what was asked for."""
