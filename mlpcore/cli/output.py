"""What the commands share in what they say: exit codes, and texts that every terminal takes and none is steered by."""

import sys

USER_ERROR, INTERRUPTED = 2, 130


def one_line(text: str) -> str:
    """The text on one line, unprintable characters escaped: names in it may come from a file."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in " ".join(text.split()))


def escape_unknown() -> None:
    r"""Have the standard streams write ``\xe9`` and the like for characters that their encoding does not have."""
    for stream in (sys.stdout, sys.stderr):
        if getattr(stream, "errors", None) in ("strict", "surrogateescape") and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
