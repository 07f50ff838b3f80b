"""Answers of a verdict, its levels, and numbers as its sentences have them."""

SUPPORTED, NOT_SUPPORTED, CANNOT_TELL, REVERSED = "supported", "not supported", "cannot tell", "reversed"
LEVEL = 0.05  # of Holm-adjusted p-values
MIN_SOURCES = 5  # for anything said about sources that were not measured


def unless(block):
    """(cannot tell, why) if a block is undefined, else None."""
    return (CANNOT_TELL, block["undefined"]) if block["undefined"] else None


def p_of(result, family):
    """Holm-adjusted p of a family of tests at the headline layer, or None."""
    return result["holm"][family]["p_holm"]


def join(words):
    """ "a", "a and b", "a, b and c"."""
    *most, last = words or [""]
    return f"{', '.join(most)} and {last}" if most else last


def number(value):
    """Two decimals, or "unknown"."""
    return "unknown" if value is None else f"{value:.2f}"


def span(interval):
    """ "0.63 to 0.84"."""
    return f"{interval[0]:.2f} to {interval[1]:.2f}"


def without(left_out):
    """ "; without villain (why)" for each of {source: why}."""
    return "".join(f"; without {name} ({reason})" for name, reason in left_out.items())
