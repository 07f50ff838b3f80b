"""Answers of a verdict, its levels, and numbers as its sentences have them."""

SUPPORTED, NOT_SUPPORTED, CANNOT_TELL, REVERSED = "supported", "not supported", "cannot tell", "reversed"
LEVEL = 0.05  # of Holm-adjusted p-values
MIN_SOURCES = 5  # for anything said about sources that were not measured
LEAST_SOURCES = 3  # for a claim about the sources at hand: which of them can be used at all depends on their leakage


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


def too_few(sources):
    """ "; 2 sources are too few to support it: 3 are the least", or None."""
    return f"; {sources} source(s) are too few to support it: {LEAST_SOURCES} are the least" if sources < LEAST_SOURCES else None


def number(value):
    """Two decimals, or "unknown"."""
    return "unknown" if value is None else f"{value:.2f}"


def span(interval):
    """ "0.63 to 0.84"."""
    return f"{interval[0]:.2f} to {interval[1]:.2f}"


def without(left_out):
    """ "; without villain (why)" for each of {source: why}."""
    return "".join(f"; without {name} ({reason})" for name, reason in left_out.items())
