"""Exit codes, and output that is safe for every terminal."""

import sys

USER_ERROR, INTERRUPTED = 2, 130


def one_line(text: str, most: int = 2000) -> str:
    """The text on one line with unprintable characters escaped, as names from files may contain control codes.

    Of a long text the first and the last characters, ``most`` in all.
    """
    if len(text) > most:
        text = f"{text[: most // 2]} ... {text[-(most // 2) :]}"
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in " ".join(text.split()))


def escape_unknown() -> None:
    r"""Make the standard streams write escapes such as ``\xe9`` for characters that their encoding lacks."""
    for stream in (sys.stdout, sys.stderr):
        if getattr(stream, "errors", None) in ("strict", "surrogateescape") and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
