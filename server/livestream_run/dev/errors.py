"""What the development set-up says when it cannot go on."""


class DevError(Exception):
    """A sentence for the developer at the terminal: what is wrong and what to do about it."""
