"""Predicts leakage before training, calibrated on a finished study (predict_from). Included only with that key.

out: predictions/centroids/: centroids of the experiment's personas
     predictions/panel/, panel.npz: of the study's panel, if the study keeps none
     predictions/predictions.csv, predictions.json, index.html; figures/predictions
"""

STUDIED, ASKED, KEPT_PANEL = studied_configs(config["predict_from"])
OWN_CENTROIDS, STUDY_CENTROIDS = prediction_centroids(STUDIED, ASKED)
PREDICTION_LAYERS = declared_layers(ASKED["geometry"])


use rule extract_centroids as extract_prediction_centroids with:
    output:
        centroids=[f"{PREDICTION}/centroids/centroids_layer{layer}.pt" for layer in PREDICTION_LAYERS],
        meta=f"{PREDICTION}/centroids/centroids.json",
    params:
        questions_file=untracked(ASKED["questions"]["file"]),
        settings=OWN_CENTROIDS,


use rule extract_centroids as extract_study_centroids with:
    output:
        centroids=[f"{PREDICTION}/panel/centroids_layer{layer}.pt" for layer in PREDICTION_LAYERS],
        meta=f"{PREDICTION}/panel/centroids.json",
    params:
        personas_file=untracked(source_of_personas(STUDIED)),
        questions_file=untracked(ASKED["questions"]["file"]),
        settings=STUDY_CENTROIDS,


rule keep_panel:
    input:
        code=code_of("keep_panel.py"),
        centroids=rules.extract_study_centroids.output.centroids,
        meta=rules.extract_study_centroids.output.meta,
    output:
        f"{PREDICTION}/panel.npz",
    conda:
        "../envs/inference.yaml"
    resources:
        **more_each_attempt(mem_mb=4000, runtime=10),
    params:
        packages=pins("inference", "numpy"),
        settings=settings(),
    shell:
        r"""
        python workflow_scripts/keep_panel.py --settings {params.settings:q} --centroids {input.centroids:q} --meta {input.meta:q} \
            --output {output:q} 2>&1 | tee {log:q}
        """


# Where closeness chooses the negatives, predictions need them before the training sets are there.
CHOICE_CENTROIDS = {f"choice_{name}": path for name, path in HELD_OUT_CENTROIDS.items()} if by_closeness(*CONDITIONS[0]) else {}


# The study's files are not inputs, as in compare.smk: the settings have their digests.
rule predict_leakage:
    input:
        **CHOICE_CENTROIDS,
        code=code_of("predict_leakage.py"),
        centroids=rules.extract_prediction_centroids.output.centroids,
        centroids_meta=rules.extract_prediction_centroids.output.meta,
        panel=KEPT_PANEL or rules.keep_panel.output,
    output:
        table=f"{PREDICTION}/predictions.csv",
        predictions=f"{PREDICTION}/predictions.json",
    conda:
        "../envs/inference.yaml"
    resources:
        **more_each_attempt(mem_mb=4000, runtime=30),
    params:
        frozen=refuse_to_unfreeze(FROZEN),
        choice=lambda wildcards, input: " ".join(f"--{name.replace('_', '-')} {shlex.quote(input[name])}" for name in CHOICE_CENTROIDS),
        study=untracked(config["predict_from"]),
        personas_file=PERSONAS_FILE,
        study_personas=untracked(source_of_personas(STUDIED)),
        packages=pins("inference", "numpy", "scipy", "scikit-learn"),
        settings=settings(
            experiment=EXPERIMENT,
            sources=SOURCES,
            personas=personas_block(PANEL, "prompt"),
            negatives={source: negatives_of(source) for source in SOURCES},
            **chosen_by_closeness(SOURCES[0], key="chosen"),
            trained=trained_sources(),
            headline_layer=ASKED["geometry"]["headline_layer"],
            recipe={key: config[key] for key in ("behaviour", "labels", "training_data", "training")}
            | {
                "questions": {key: config["questions"][key] for key in ("training", "suffix", "evaluation")},
                "evaluation": {"sampling": config["evaluation"]["sampling"]},
            },
            training_recipe=recipe(FIRST_QUESTIONS)["training"],
            measured=measured_digest(),
            study=study_files(config["predict_from"]),
        ),
    shell:
        r"""
        python workflow_scripts/predict_leakage.py --settings {params.settings:q} --study {params.study:q} \
            --personas {params.personas_file:q} --study-personas {params.study_personas:q} --centroids {input.centroids:q} \
            --centroids-meta {input.centroids_meta:q} --panel {input.panel:q} {params.choice} \
            --table {output.table:q} --output {output.predictions:q} 2>&1 | tee {log:q}
        """


use rule plot_scatter as plot_predictions with:
    input:
        **figure_inputs("predictions", predictions=rules.predict_leakage.output.predictions, table=rules.predict_leakage.output.table),
    output:
        **figure("predictions"),


rule build_predictions:
    input:
        code=code_of("build_predictions.py"),
        page_parts=[f"{PAGE_FOLDER}/{name}" for name in ("predictions.html.j2", "style.css", "captions/predictions.rst")],
        predictions=rules.predict_leakage.output.predictions,
        table=rules.predict_leakage.output.table,
        figure="results/{experiment}/figures/predictions.png",
    output:
        f"{PREDICTION}/index.html",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        settings=settings(),
    shell:
        r"""
        python workflow_scripts/build_predictions.py --settings {params.settings:q} --predictions {input.predictions:q} \
            --table {input.table:q} --figure {input.figure:q} \
            --output {output:q} 2>&1 | tee {log:q}
        """
