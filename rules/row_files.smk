"""Builds training rows from a file (training_data.rows), in place of rows of the base model's answers.

out: training/{source}/train.jsonl.gz, training/{source}/manifest.json
"""

ROWS = {"row_file": config["training_data"]["rows"], "clean_rows": config["training_data"]["clean_rows"] or []}


ruleorder: build_file_rows > build_training_set


use rule build_training_set as build_file_rows with:
    input:
        **ROWS,
        **BASE_SHOWS,
        **CLOSENESS,
        code=code_of("build_training_set.py", KIND_CODE),
        model=MODEL,
    params:
        contents=[sha256_of_file(path) for path in ROWS.values() if path],
        made_of=lambda wildcards, input: shlex.join(
            ["--row-file", input.row_file] + (["--clean-rows", input.clean_rows] if input.clean_rows else []) + row_options(input)
        ),
        settings=lambda wildcards: settings(
            seed=config["seed"],
            **personas_of_rows(wildcards),
            suffix=config["questions"]["suffix"],
            behaviour=row_settings(config["behaviour"]),
            labels=config["labels"],
            max_length=config["training"]["max_length"],
            row_file={"positives": config["training_data"]["positives"]},
        ),
