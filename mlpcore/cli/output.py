"""What the commands share in what they say: exit codes, and texts that cannot steer a terminal."""

USER_ERROR, INTERRUPTED = 2, 130


def one_line(text: str) -> str:
    """The text on one line, unprintable characters escaped: names in it may come from a file."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in " ".join(text.split()))
