"""Measures leakage along training: trains each adapter again and teacher-forces it after equally spaced steps (training.snapshots).

out: training/{source}/seed{seed}/snapshots/{snapshot}/, an adapter and its metrics.json;
     evaluation/{questions}/{source}/seed{seed}/snapshots/{snapshot}/teacher_forced.json;
     analysis/{questions}/seed{seed}/along_training.csv, along_training.json
"""


# Apart from train_adapter, so that it makes no finished adapter stale. The last snapshot is that adapter.
use rule train_adapter as train_snapshots with:
    output:
        weights=f"{TRAINED}/snapshots/{SNAPSHOTS}/adapter_model.safetensors",
        config=f"{TRAINED}/snapshots/{SNAPSHOTS}/adapter_config.json",
        metrics=f"{TRAINED}/snapshots/{SNAPSHOTS}/metrics.json",
        earlier=expand(
            f"{SNAPSHOT}/{{file}}",
            snapshot=range(1, SNAPSHOTS),
            file=("adapter_model.safetensors", "adapter_config.json", "metrics.json"),
            allow_missing=True,
        ),
    params:
        folder=f"{TRAINED}/snapshots",
        settings=settings(training=RECIPE, snapshots=SNAPSHOTS),


use rule teacher_force as teacher_force_snapshot with:
    input:
        code=code_of("teacher_force.py"),
        model=MODEL,
        weights=ancient(f"{SNAPSHOT}/adapter_model.safetensors"),
        config=f"{SNAPSHOT}/adapter_config.json",
        metrics=f"{SNAPSHOT}/metrics.json",
        rows=ancient(f"{TRAINING}/manifest.json"),
        completions=ancient(f"{BASE_EVALUATION}/completions.jsonl.gz"),
        completions_meta=f"{BASE_EVALUATION}/completions.json",
        base=ancient(f"{BASE_EVALUATION}/teacher_forced.jsonl.gz"),
        base_meta=f"{BASE_EVALUATION}/teacher_forced.json",
    output:
        records=f"{ADAPTED}/snapshots/{{snapshot}}/teacher_forced.jsonl.gz",
        result=f"{ADAPTED}/snapshots/{{snapshot}}/teacher_forced.json",
    params:
        state="{source}/seed{seed}",


rule follow_training:
    input:
        **tables("pairs", "tables"),
        code=code_of("follow_training.py"),
        metrics=each(f"{SNAPSHOT}/metrics.json", "source", "snapshot"),
        forced=each(f"{ADAPTED}/snapshots/{{snapshot}}/teacher_forced.json", *("source", "snapshot")),
    output:
        table=f"{ANALYSIS}/along_training.csv",
        result=f"{ANALYSIS}/along_training.json",
    conda:
        "../envs/analysis.yaml"
    resources:
        **more_each_attempt(mem_mb=4000, runtime=30),
    params:
        packages=pins("analysis", "numpy", "scipy"),
        settings=settings(sources=SOURCES, headline_layer=HEADLINE),
    shell:
        r"""
        python workflow_scripts/reuse_finished.py --store results/.kept --job {params.job:q} \
            python workflow_scripts/follow_training.py --settings {params.settings:q} --pairs {input.pairs:q} --tables {input.tables:q} \
            --metrics {input.metrics:q} --forced {input.forced:q} \
            --table {output.table:q} --output {output.result:q} 2>&1 | tee {log:q}
        """
