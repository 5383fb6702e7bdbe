"""Faster bodies of `mlpcore.ops`, one file per library; a backend imports its own and so registers it."""
