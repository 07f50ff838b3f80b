"""Collects, for each stage, the parts of the config that decide its results: the param `settings` of its rules."""


def settings(**blocks):
    """Parts of the config as one JSON text with sorted keys: the param ``settings`` of a rule.

    One text, because Snakemake compares params as a set of values without their names. Braces are written as
    JSON escapes, because Snakemake takes {source} in a param for a wildcard. A text that is too long
    for a command line goes into a file named by its content.
    """
    text = re.sub(
        r'"(?:[^"\\]|\\.)*"',
        lambda text: text[0].replace("{", r"\u007b").replace("}", r"\u007d"),
        json.dumps(blocks, sort_keys=True, ensure_ascii=False),
    )
    return text if len(text.encode()) < LONGEST_ARGUMENT else f"@{settings_file(text)}"


@cache
def settings_file(text):
    """The path of a file that holds a text; written if it is missing."""
    path = Path("results/.settings", f"{digest_of(text)}.json")
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return path


def more_each_attempt(**amounts):
    """Resources of a job that may need more on some data: the second attempt gets twice as much, the third three times."""
    return {name: lambda wildcards, attempt, amount=amount: amount * attempt for name, amount in amounts.items()}


def personas_block(names, *fields):
    """Names of personas and a digest of the ``fields`` of them that a stage uses."""
    return describe_personas(PERSONAS, names, *fields)


def questions_block(use):
    """A question set's name, count and digest."""
    return describe_questions(QUESTION_SETS, use)


def condition_of(name):
    """(choice, number or "all") of the negatives of what an adapter is trained on: villain, villain-clean, villain-nearest2."""
    _, variant = split_control(name)
    return read_variant(variant) if variant in NEGATIVE_VARIANTS else CONDITIONS[0]


def negatives_of(name):
    """The personas that serve as negatives; where closeness chooses them when the job runs, all candidates."""
    source, block = split_control(name)[0], config["training_data"]
    choice, number = condition_of(name)
    if choice == "list":
        return sorted(block["negative_lists"][source])
    whole = number == "all" or by_closeness(choice, number)
    count = len(block["negative_pool"]) if whole else number
    return choose_negatives(source, block["negative_pool"], count, config["seed"])


def chosen_by_closeness(name, key="negatives"):
    """{key: {"choice", "count"}} as a setting, empty unless closeness chooses the negatives."""
    choice, number = condition_of(name)
    found = {"choice": choice, "count": number}
    return {key: found} if by_closeness(choice, number) else {}


def personas_of_rows(wildcards):
    """Settings of the personas of training rows: the source and its negatives; for the control shuffled also the panel."""
    source, control = split_control(wildcards.source)
    names = [source, *negatives_of(wildcards.source)]
    shuffled = {"panel": personas_block(PANEL, "prompt")} if control == "shuffled" else {}
    return {"personas": personas_block(names, "prompt"), **chosen_by_closeness(wildcards.source), **shuffled}


def sampling_settings(wildcards, adapted, no_persona_prompts=False):
    """Decides the replies to a question set: of the panel, or of the prompts without a persona (no_persona_prompts)."""
    engine = without(config["engine"], "checkpoint_every")
    cells = {"no_persona_prompts": config["personas"]["no_persona_prompts"]}
    return settings(
        **(cells if no_persona_prompts else {"personas": personas_block(PANEL, "prompt")}),
        seed=config["seed"],
        questions=questions_block(QUESTION_USES[wildcards.questions]),
        suffix=config["questions"]["suffix"],
        draws=config["evaluation"]["samples_per_question"],
        sampling_seed=config["evaluation"]["sampling_seed"],
        sampling=config["evaluation"]["sampling"],
        engine=engine if adapted else without(engine, "merge_adapter"),
    )


def geometry_blocks(use, layers=LAYERS):
    """Decides the centroids of questions {set, count} at some layers, apart from the adapter."""
    return {
        "personas": personas_block(PANEL, "prompt"),
        "questions": questions_block(use),
        "suffix": config["questions"]["suffix"],
        "layers": layers,
        "position": POSITIONS[0],
        "precision": config["geometry"]["precision"],
    }


def forcing_blocks(wildcards):
    """Decides the teacher-forced probabilities of a question set, apart from replies and adapter."""
    asked = QUESTION_USES[wildcards.questions]
    read = {**asked, "count": forced_questions(config, asked["count"])}
    return {
        "personas": personas_block(PANEL, "prompt"),
        "questions": questions_block(read),
        "suffix": config["questions"]["suffix"],
        "draws": forced_draws(config),
        **{key: config["behaviour"][key] for key in trait(config["behaviour"], "text_keys")},
        "join": config["training_data"]["join"],
        # As for hidden states: on a CPU float32 is faster.
        "precision": config["geometry"]["precision"],
    }


def recipe(questions):
    """Digests that two results must share to be repetitions: all that decides the adapters but seeds; prompts; evaluation."""
    blocks = [
        without(config["training_data"], "controls", "negative_variants"),
        config["labels"],
        config["questions"]["suffix"],
        questions_block(config["questions"]["training"]),
        RECIPE,
        *recipe_parts(config["behaviour"]),
    ]
    evaluation = [
        questions_block(QUESTION_USES[questions]),
        config["evaluation"]["samples_per_question"],
        [POSITIONS[0], config["geometry"]["precision"]],
    ]
    return {"training": digest_of(blocks), "prompts": personas_block(PANEL, "prompt")["digest"], "evaluation": digest_of(evaluation)}


def no_study():
    """WorkflowError: predictions need a study."""
    raise WorkflowError(
        "predict_from: missing; name the folder of a finished study, as in make predict CONFIG=my.yaml FROM=docs/results/smollm2_study"
    )


def choice_settings(**more):
    """Decides the scores of the items, apart from the items themselves and the adapter."""
    return settings(
        behaviour=config["behaviour"],
        personas=personas_block(PANEL, "prompt", "category", "related_to"),
        precision=config["geometry"]["precision"],
        **more,
    )


def contents_of(*paths):
    """Digests of files, as a param: Snakemake compares the contents of newer inputs only."""
    return [sha256_of_file(path) for path in paths]


def judge_settings(**more):
    """Decides the judgements, apart from the replies and the prompts."""
    return settings(
        **{name: without(block, *JUDGE_LIMITS) for name, block in JUDGES.items()},
        second_share=config["behaviour"]["second_share"],
        scores=[config["behaviour"]["score"], *config["behaviour"]["require"]],
        precision=config["geometry"]["precision"],
        **more,
    )


def publishing_settings(service, **facts):
    """Settings of a job that publishes. What the service lacks in the config is an error only when such a job is asked for."""

    def of(wildcards):
        try:
            block = publishing_block(config, service)
        except InputError as error:
            raise WorkflowError(str(error)) from None
        return settings(experiment=EXPERIMENT, **{service: block}, **facts)

    return of


def compared_folders():
    """The result folders that the target compare compares."""
    try:
        folders = experiment_folders(config.get("compare", "all"))
    except InputError as error:
        raise WorkflowError(str(error)) from None
    if not folders:
        raise WorkflowError("compare: no results/*/run_config.yaml is there yet")
    return [f"./{folder}" if folder.startswith("-") else folder for folder in folders]


def measured_digest():
    """Digest of the settings that decide what is measured after training: behaviour, questions and sampling."""
    first = config["questions"]["evaluation"][0]["set"]
    blocks = [config["behaviour"], recipe(first)["evaluation"]]
    return digest_of([*blocks, config["evaluation"]["sampling"]])


def frozen_digest(path):
    """SHA-256 of frozen predictions; WorkflowError if there are none."""
    if not Path(path).is_file():
        raise WorkflowError(f"{path}: no such file; freeze predictions with make predict before training")
    return sha256_of_file(path)


def studied_configs(folder):
    """(config of the study in a folder, config with the layers and questions of predictions, the study's file of its panel).

    The second is this config, and the third is empty, if the model differs; the third also if the study keeps no such file.
    """
    try:
        studied = study_config(folder)
        study_files(folder)
    except InputError as error:
        raise WorkflowError(str(error)) from None
    keys = ("location", "revision")
    same = all(studied["model"].get(key) == config["model"][key] for key in keys)
    kept = panel_file(folder, studied)
    return studied, studied if same else config, str(kept) if same and kept.is_file() else []


def prediction_centroids(studied, asked):
    """Decides the centroids of the panel, and of the study's panel, with layers and questions of the config ``asked``."""
    try:
        theirs = read_personas(source_of_personas(studied))
        questions = read_question_sets(asked["questions"]["file"])
        chosen = asked["questions"]["evaluation"][0]
        blocks = {
            "questions": describe_questions(questions, chosen),
            "suffix": asked["questions"]["suffix"],
            "layers": declared_layers(asked["geometry"]),
            "position": asked["geometry"]["positions"][0],
            "precision": asked["geometry"]["precision"],
        }
        panel = describe_personas(theirs, panel_names(studied, theirs), "prompt")
    except InputError as error:
        raise WorkflowError(str(error)) from None
    own = settings(personas=personas_block(PANEL, "prompt"), **blocks)
    return own, settings(personas=panel, **blocks)


def trained_sources():
    """Names of the sources that have an adapter already."""
    paths = Path(f"results/{EXPERIMENT}/training").glob("*/seed*/metrics.json")
    return sorted({path.parents[1].name for path in paths} & {*SOURCES})


def refuse_to_unfreeze(path):
    """A param: WorkflowError if predictions that training has begun to test would be replaced."""

    def check(wildcards):
        if Path(path).is_file() and trained_sources():
            raise WorkflowError(
                f"{path}: frozen, because training has begun; score it with make scores, or move its folder away to predict again"
            )
        return ""

    return check
