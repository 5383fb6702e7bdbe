"""From plain Array API code to compiled loops: a function is traced once, scheduled, and printed as C."""
