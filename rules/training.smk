"""Trains one LoRA adapter for each source and training seed.

out: training/{source}/seed{seed}/adapter/, training/{source}/seed{seed}/metrics.json
"""


rule train_adapter:
    input:
        code=code_of("train_adapter.py"),
        model=MODEL,
        rows=ancient(f"{TRAINING}/train.jsonl.gz"),
        rows_manifest=f"{TRAINING}/manifest.json",
    output:
        weights=f"{TRAINED}/adapter/adapter_model.safetensors",
        config=f"{TRAINED}/adapter/adapter_config.json",
        metrics=f"{TRAINED}/metrics.json",
    priority: 5
    conda:
        "../envs/inference.yaml"
    resources:
        **more_each_attempt(mem_mb=32000, runtime=120),
        gpu=1,
    params:
        folder=subpath(output.weights, parent=True),
        restart="results/.kept/checkpoints",
        packages=pins("inference", "torch", "transformers", "peft"),
        settings=settings(training=RECIPE),
    shell:
        r"""
        python workflow_scripts/reuse_finished.py --store results/.kept --job {params.job:q} \
            python workflow_scripts/with_gpu.py --gpus {resources.gpu} \
            python workflow_scripts/train_adapter.py --settings {params.settings:q} --source {wildcards.source:q} \
            --seed {wildcards.seed:q} --model {input.model:q} --rows {input.rows:q} --rows-manifest {input.rows_manifest:q} \
            --restart {params.restart:q} --output-folder {params.folder:q} \
            --metrics {output.metrics:q} 2>&1 | tee {log:q}
        """
