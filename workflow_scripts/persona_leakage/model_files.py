"""Which files of a model folder count: those that transformers would read, by name."""

from fnmatch import fnmatch

from persona_leakage.errors import InputError

SUFFIXES = {".json", ".safetensors", ".jinja", ".model", ".txt"}
ADAPTER_FILES = "adapter_*"
READ = (
    "*.safetensors", "*.index.json", "*.jinja", "*.model", ADAPTER_FILES, "config.json", "generation_config.json", "tokenizer*.json",
    "special_tokens_map.json", "added_tokens.json", "chat_template.json", "vocab.json", "merges.txt",
)  # fmt: skip


def model_files(folder):
    """Paths of the files of a model folder that describe the model, sorted; not its model.json, which is the workflow's."""
    return [path for path in sorted(folder.iterdir()) if path.suffix in SUFFIXES and path.name != "model.json"]


def refuse_more_templates(folder):
    """InputError if the folder has further chat templates, of which transformers takes one in the place of the model's own."""
    if (more := folder / "additional_chat_templates").is_dir():
        raise InputError(f"{more}: its templates would take the place of the model's own; move it out of the model's folder")


def check_nothing_new(folder, known, manifest_path):
    """InputError if the folder has a file that transformers would read and that is not among the names ``known``.

    An adapter, another form of the weights or a chat template that came later would be used without a word.
    """
    new = [path.name for path in model_files(folder) if path.name not in known and any(fnmatch(path.name, each) for each in READ)]
    if new:
        raise InputError(
            f"{folder / new[0]}: is new since {manifest_path} was written, and would change the model; move it out of the folder,"
            f" or delete {manifest_path} if it belongs to the model"
        )
