"""The one error of `up`: a sentence for the person at the terminal."""


class CannotStart(Exception):
    """Says in one sentence what stands in the way and what to do about it; `up` prints it and exits with 1."""
