"""Show training rows token by token: trained tokens in colour (or in brackets), with their ids and text."""

import argparse
import sys

from persona_leakage.errors import InputError, run_program
from persona_leakage.files import read_jsonl_gz
from persona_leakage.model_loading import load_tokenizer, read_manifest
from persona_leakage.row_display import format_row


def main(argv=None):
    """Print the chosen rows of a train.jsonl.gz."""
    parser = argparse.ArgumentParser(prog="show_rows", description=__doc__)
    parser.add_argument("rows", metavar="PATH", help="a train.jsonl.gz")
    parser.add_argument("--model", required=True, metavar="PATH", help="the model.json of the model it was made for")
    parser.add_argument("--row", type=int, action="append", help="number of a row, from 0; repeat for more (default: first of each kind)")
    parser.add_argument("--ids", action="store_true", help="show token ids too")
    parser.add_argument("--plain", action="store_true", help="brackets instead of colour (the default when not on a terminal)")
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
        print(f"\nrow {number}: " + format_row(rows[number], tokenizer, colour=sys.stdout.isatty() and not args.plain, ids=args.ids))


if __name__ == "__main__":
    run_program(main)
