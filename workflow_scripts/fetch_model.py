"""Make the model available: unpack a bundled one, download a pinned one, or check a local folder."""

from persona_leakage.behaviours.preflight import fetch_readable_model
from persona_leakage.config.blocks.fields import Block
from persona_leakage.config.blocks.model import Model
from persona_leakage.config.program_options import json_object, new_parser
from persona_leakage.infrastructure.cli import run_program


class Settings(Block):
    """The block model of the config."""

    model: Model


def main(argv=None):
    """Write the manifest (model.json), and the model's files next to it unless the source is a local folder."""
    parser = new_parser("fetch_model", __doc__, "manifest", settings=Settings)
    parser.add_argument("--texts", type=json_object, metavar="JSON", help="what the model will read, to try its tokenizer on")
    args = parser.parse_args(argv)
    fetch_readable_model(args.settings.model.model_dump(), args.manifest, args.texts)


if __name__ == "__main__":
    run_program(main)
