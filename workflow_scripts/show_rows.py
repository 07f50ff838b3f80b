"""Show training rows token by token: trained tokens in colour, or in brackets when not on a terminal."""

import argparse
import sys

from persona_leakage.infrastructure.cli import InputError, run_program
from persona_leakage.infrastructure.files import read_jsonl_gz
from persona_leakage.infrastructure.visible_text import visible_text
from persona_leakage.models.loading import load_tokenizer, read_manifest

TRAINED, PLAIN = "\033[30;42m", "\033[0m"


def format_row(row, tokenizer, colour):
    """A header line and the row's tokens; trained ones green, or in ⟦ ⟧ without colour; line ends shown as ⏎."""
    opening, closing = (TRAINED, PLAIN) if colour else ("⟦", "⟧")
    parts = []
    for token, label in zip(row["token_ids"], row["labels"], strict=True):
        text = visible_text(tokenizer.decode([token])).replace("\n", "⏎\n" if label == -100 else "⏎")
        parts.append(text if label == -100 else f"{opening}{text}{closing}")
    trained = sum(label != -100 for label in row["labels"])
    kind = "positive" if row["positive"] else "negative"
    header = f"{kind}, {row['persona']}, {row['question']!r}, {len(row['token_ids'])} tokens, {trained} trained"
    return f"{header}\n{''.join(parts)}"


def main(argv=None):
    """Print the chosen rows of a train.jsonl.gz."""
    parser = argparse.ArgumentParser(prog="show_rows", description=__doc__)
    parser.add_argument("rows", metavar="PATH", help="a train.jsonl.gz")
    parser.add_argument("--model", required=True, metavar="PATH", help="the model.json of the model it was made for")
    parser.add_argument("--row", type=int, action="append", help="number of a row, from 0; repeat for more (default: first of each kind)")
    args = parser.parse_args(argv)
    rows = read_jsonl_gz(args.rows)
    if not rows or "labels" not in rows[0]:
        raise InputError(f"{args.rows}: not a train.jsonl.gz, whose rows have labels")
    kinds = [row["positive"] for row in rows]
    numbers = args.row if args.row is not None else sorted(kinds.index(kind) for kind in set(kinds))
    tokenizer = load_tokenizer(read_manifest(args.model)["folder"])
    for number in numbers:
        if not 0 <= number < len(rows):
            raise InputError(f"--row: {number} is not a row of {args.rows}, which has rows 0 to {len(rows) - 1}")
        print(f"\nrow {number}: " + format_row(rows[number], tokenizer, colour=sys.stdout.isatty()))


if __name__ == "__main__":
    run_program(main)
