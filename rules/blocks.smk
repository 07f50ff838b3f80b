"""What the programs are told: the parts of the config that decide each result, as blocks of --settings."""


def personas_block(names, *fields):
    """Names of personas and a digest of the ``fields`` of them that a stage uses."""
    return describe_personas(PERSONAS, names, *fields)


def questions_block(use):
    """A question set's name, count and digest."""
    return describe_questions(QUESTION_SETS, use)


def negatives_of(source):
    """The personas that serve as a source's negatives."""
    training_data = config["training_data"]
    return choose_negatives(
        source,
        training_data["negative_pool"],
        training_data["negative_personas"],
        config["seed"],
    )


def sampling_settings(wildcards, adapted, variants=False):
    """What decides the replies of the panel, or of the variants, to a question set; without adapter there is nothing to merge."""
    engine = without(config["engine"], "checkpoint_every")
    cells = {"no_persona_prompts": config["personas"]["no_persona_prompts"]}
    return settings(
        **(cells if variants else {"personas": personas_block(PANEL, "prompt")}),
        seed=config["seed"],
        questions=questions_block(QUESTION_USES[wildcards.questions]),
        suffix=config["questions"]["suffix"],
        draws=config["evaluation"]["samples_per_question"],
        sampling_seed=config["evaluation"]["sampling_seed"],
        sampling=config["evaluation"]["sampling"],
        engine=engine if adapted else without(engine, "merge_adapter"),
    )


def compared_folders():
    """The result folders that the target compare sets side by side; an error if there is none, or one that is listed is none."""
    try:
        folders = experiment_folders(config.get("compare", "all"))
    except InputError as error:
        raise WorkflowError(str(error)) from None
    if not folders:
        raise WorkflowError("compare: no results/*/run_config.yaml is there yet")
    return [f"./{folder}" if folder.startswith("-") else folder for folder in folders]


def geometry_blocks(wildcards):
    """What decides the centroids of an evaluation set, the adapter apart."""
    return geometry_of(QUESTION_USES[wildcards.questions], LAYERS)


def geometry_of(use, layers):
    """What decides the centroids of questions {set, count} at some layers, the adapter apart."""
    return {
        "personas": personas_block(PANEL, "prompt"),
        "questions": questions_block(use),
        "suffix": config["questions"]["suffix"],
        "layers": layers,
        "position": POSITIONS[0],
        "precision": config["geometry"]["precision"],
    }


def forcing_blocks(wildcards):
    """What decides the teacher-forced probabilities of a question set, replies and adapter apart."""
    asked = QUESTION_USES[wildcards.questions]
    read = {**asked, "count": forced_questions(config, asked["count"])}
    return {
        "personas": personas_block(PANEL, "prompt"),
        "questions": questions_block(read),
        "suffix": config["questions"]["suffix"],
        "draws": forced_draws(config),
        "marker": config["behaviour"]["marker"],
        "separator": config["behaviour"]["separator"],
        "join": config["training_data"]["join"],
        # Reading takes what hidden states take: on a CPU float32 is the faster one.
        "precision": config["geometry"]["precision"],
    }


def recipe(questions):
    """Digests of what two results must share to be repetitions: all that decides the adapters but seeds, the prompts, the evaluation."""
    blocks = [
        config["training_data"],
        config["labels"],
        config["questions"]["suffix"],
        questions_block(config["questions"]["training"]),
        without(config["training"], "seeds"),
    ]
    measured = [config["geometry"]["positions"][0], config["geometry"]["precision"]]
    return {
        "training": digest_of(blocks),
        "prompts": personas_block(PANEL, "prompt")["digest"],
        "evaluation": digest_of(
            [
                questions_block(QUESTION_USES[questions]),
                config["evaluation"]["samples_per_question"],
                measured,
            ]
        ),
    }
