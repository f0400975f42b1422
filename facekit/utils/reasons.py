"""The reason of an error, for the message of another one."""

from __future__ import annotations


def why(error: BaseException) -> str:
    """Returns what the system says of an error, else its message, else its class; never nothing."""
    return str(getattr(error, "strerror", None) or error) or type(error).__name__
