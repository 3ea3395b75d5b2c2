"""Cells of tables in CSV that spreadsheets open."""

FORMULA_BEGINS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""Characters with which a spreadsheet takes a text for a formula, and runs it (CSV injection, OWASP)."""


def cell(value: object) -> object:
    """Returns a value as a cell: texts that would be formulas begin with an apostrophe, truth values are 0 and 1."""
    if isinstance(value, str) and value.startswith(FORMULA_BEGINS):
        return f"'{value}"
    return int(value) if isinstance(value, bool) else value
