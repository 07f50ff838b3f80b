"""Every random choice gets its seed by hashing what it belongs to; there is no global random state."""

import hashlib

SEED_BITS = 31


def derive_seed(*parts):
    """Seed in [0, 2**31) from a tuple of strings and integers; ("ab", "c") and ("a", "bc") differ.

    Hashing spreads the seeds: an engine that uses seed, seed + 1, ... for one request does not meet those of its neighbours.
    """
    text = "".join(f"{len(str(part))}:{part}" for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> (64 - SEED_BITS)
