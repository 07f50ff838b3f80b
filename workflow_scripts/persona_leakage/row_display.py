"""A training row for the eye: every token with its text, trained ones marked."""

TRAINED, PLAIN = "\033[30;42m", "\033[0m"


def format_row(row, tokenizer, colour, ids):
    """A header line and the row's tokens; trained ones green, or in ⟦ ⟧ without colour; line ends shown as ⏎.

    A label that is neither -100 nor its token's own id would be a defect and raises ValueError.
    """
    opening, closing = (TRAINED, PLAIN) if colour else ("⟦", "⟧")
    parts = []
    for token, label in zip(row["token_ids"], row["labels"], strict=True):
        if label not in (-100, token):
            raise ValueError(f"label {label} at token {token}")
        text = tokenizer.decode([token]).replace("\n", "⏎\n" if label == -100 else "⏎")
        text += f"·{token} " if ids else ""
        parts.append(text if label == -100 else f"{opening}{text}{closing}")
    trained = sum(label != -100 for label in row["labels"])
    kind = "positive" if row["positive"] else "negative"
    header = f"{kind}, {row['persona']}, {row['question']!r}, {len(row['token_ids'])} tokens, {trained} trained"
    return f"{header}\n{''.join(parts)}"
