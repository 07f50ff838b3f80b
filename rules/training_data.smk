"""Samples answers of the base model, and builds each source's training rows from them.

out: training/pool.jsonl.gz, training/{source}/train.jsonl.gz, training/{source}/manifest.json
"""


rule sample_training_pool:
    input:
        code=code_of("sample_training_pool.py"),
        model=MODEL,
    output:
        pool="results/{experiment}/training/pool.jsonl.gz",
        meta="results/{experiment}/training/pool.json",
    priority: 15  # before the centroids, which nothing waits for so long
    conda:
        SAMPLING_ENV
    resources:
        **more_each_attempt(mem_mb=16000, runtime=120),
        gpu=1,
    params:
        personas_file=PERSONAS_FILE,
        questions_file=QUESTIONS_FILE,
        chunk_size=untracked(config["engine"]["checkpoint_every"]),
        lora_rank=untracked(config["training"]["lora"]["rank"]),
        restart="results/.kept/replies",
        engine=untracked(config["engine"]["name"]),
        packages=sampling_pins(),
        settings=settings(
            seed=config["seed"],
            personas=personas_block(POOL, "prompt"),
            questions=questions_block(config["questions"]["training"]),
            suffix=config["questions"]["suffix"],
            draws=config["training_data"]["answers_per_question"] + config["training_data"]["extra_samples"],
            sampling=config["training_data"]["sampling"],
            engine=without(config["engine"], "merge_adapter", "checkpoint_every"),
        ),
    shell:
        r"""
        python workflow_scripts/reuse_finished.py --store results/.kept --job {params.job:q} \
            python workflow_scripts/with_gpu.py --gpus {resources.gpu} --engine {params.engine} \
            python workflow_scripts/sample_training_pool.py --settings {params.settings:q} --model {input.model:q} \
            --personas {params.personas_file:q} --questions {params.questions_file:q} --chunk-size {params.chunk_size} \
            --lora-rank {params.lora_rank} --restart {params.restart:q} \
            --output {output.pool:q} --meta {output.meta:q} 2>&1 | tee {log:q}
        """


rule build_training_set:
    input:
        **BASE_SHOWS,
        **CLOSENESS,
        code=code_of("build_training_set.py", KIND_CODE),
        model=MODEL,
        pool=ancient("results/{experiment}/training/pool.jsonl.gz"),
        pool_meta="results/{experiment}/training/pool.json",
    output:
        rows=f"{TRAINING}/train.jsonl.gz",
        manifest=f"{TRAINING}/manifest.json",
    priority: 10
    conda:
        "../envs/inference.yaml"
    resources:
        **more_each_attempt(mem_mb=4000, runtime=30),
    params:
        personas_file=PERSONAS_FILE,
        questions_file=QUESTIONS_FILE,
        made_of=lambda wildcards, input: shlex.join(["--pool", input.pool, "--pool-meta", input.pool_meta, *row_options(input)]),
        settings=lambda wildcards: settings(
            seed=config["seed"],
            **personas_of_rows(wildcards),
            questions=questions_block(config["questions"]["training"]),
            suffix=config["questions"]["suffix"],
            behaviour=row_settings(config["behaviour"]),
            labels=config["labels"],
            answers_per_question=config["training_data"]["answers_per_question"],
            truncated_answers=config["training_data"]["truncated_answers"],
            join=config["training_data"]["join"],
            max_length=config["training"]["max_length"],
        ),
    shell:
        r"""
        python workflow_scripts/reuse_finished.py --store results/.kept --job {params.job:q} \
            python workflow_scripts/build_training_set.py --settings {params.settings:q} --source {wildcards.source:q} \
            --model {input.model:q} --personas {params.personas_file:q} --questions {params.questions_file:q} {params.made_of} \
            --output {output.rows:q} --manifest {output.manifest:q} 2>&1 | tee {log:q}
        """
