"""Asks a judge model about the replies (behaviour.kind: judged). Only check_judge and judge_replies call a judge.

out: judge/gate.json, judge/answers.jsonl (paid answers; no rule deletes them);
     judge/second/answers.jsonl (of the second judge);
     evaluation/{questions}/{source}/seed{seed}/judgements.jsonl.gz, judgements.json; evaluation/{questions}/base/, the same
"""

JUDGE_CODE = [f"persona_leakage/behaviours/judges/{block['backend']}_judge.py" for block in JUDGES.values()]
JUDGED_HERE = any(block["backend"] == "local" for block in JUDGES.values())
GATE = "results/{experiment}/judge/gate.json"
ASKED = {"prompts": config["behaviour"]["prompts"] or []}
SCORE_FILES = [block["model"] for block in JUDGES.values() if block["backend"] == "file"]
# Names and sizes of the files of a local judge's own folder; its weights are too large to be read for every dry run.
JUDGE_FOLDERS = [
    [path.name, path.stat().st_size]
    for block in JUDGES.values()
    if block["backend"] == "local" and block["model"]
    for path in model_files(Path(block["model"]).expanduser())
]


ruleorder: score_judgements > score_leakage
ruleorder: score_base_judgements > score_base_leakage


rule judge_replies:
    input:
        **ASKED,
        code=code_of("judge_replies.py", *JUDGE_CODE),
        model=MODEL,
        files=SCORE_FILES,
        gate=GATE,
        completions=ancient(f"{ADAPTED}/completions.jsonl.gz"),
        meta=f"{ADAPTED}/completions.json",
    output:
        result=f"{ADAPTED}/judgements.jsonl.gz",
        meta=f"{ADAPTED}/judgements.json",
    priority: 20
    conda:
        "../envs/inference.yaml"
    resources:
        **more_each_attempt(mem_mb=16000, runtime=120),
        gpu=int(JUDGED_HERE),
    params:
        prompts=lambda wildcards, input: shlex.join(["--prompts", input.prompts]) if input.prompts else "",
        contents=contents_of(*filter(None, [config["behaviour"]["prompts"]]), *SCORE_FILES) + JUDGE_FOLDERS,
        what=lambda wildcards, input, output: shlex.join(
            ["--gate", input.gate, "--completions", input.completions] + ["--completions-meta", input.meta, "--meta", output.meta]
        ),
        limits=untracked(settings(**{name: {key: block[key] for key in JUDGE_LIMITS} for name, block in JUDGES.items()})),
        store=lambda wildcards, input: str(Path(input.gate).parent),
        restart="results/.kept/judge_probabilities",
        packages=pins("inference", *(["torch", "transformers"] if JUDGED_HERE else [])),
        settings=judge_settings(),
    shell:
        r"""
        python workflow_scripts/with_gpu.py --gpus {resources.gpu} \
            python workflow_scripts/judge_replies.py --settings {params.settings:q} --limits {params.limits:q} --model {input.model:q} \
            {params.prompts} --store {params.store:q} --restart {params.restart:q} {params.what} \
            --output {output.result:q} 2>&1 | tee {log:q}
        """


# First of all; with a missing key or a poor judge nothing is judged or trained.
use rule judge_replies as check_judge with:
    input:
        **ASKED,
        code=code_of("judge_replies.py", *JUDGE_CODE),
        model=MODEL,
        files=SCORE_FILES,
        gold=config["behaviour"]["gold"] or [],
    output:
        result=GATE,
    priority: 100
    params:
        contents=contents_of(*filter(None, [config["behaviour"][key] for key in ("prompts", "gold")]), *SCORE_FILES) + JUDGE_FOLDERS,
        what=lambda wildcards, input: shlex.join(["--check", *(["--gold", input.gold] if input.gold else [])]),
        store=lambda wildcards, output: str(Path(output.result).parent),
        settings=judge_settings(**{key: config["behaviour"][key] for key in ("score", "direction")}, min_auc=config["behaviour"]["min_auc"]),


use rule judge_replies as judge_base_replies with:
    input:
        **ASKED,
        code=code_of("judge_replies.py", *JUDGE_CODE),
        model=MODEL,
        files=SCORE_FILES,
        gate=GATE,
        completions=ancient(f"{BASE_EVALUATION}/completions.jsonl.gz"),
        meta=f"{BASE_EVALUATION}/completions.json",
    output:
        result=f"{BASE_EVALUATION}/judgements.jsonl.gz",
        meta=f"{BASE_EVALUATION}/judgements.json",


use rule score_leakage as score_judgements with:
    input:
        code=code_of("score_leakage.py", KIND_CODE),
        model=MODEL,
        completions=ancient(f"{ADAPTED}/completions.jsonl.gz"),
        meta=f"{ADAPTED}/completions.json",
        judgements=ancient(f"{ADAPTED}/judgements.jsonl.gz"),
        judgements_meta=f"{ADAPTED}/judgements.json",
    params:
        judgements=lambda wildcards, input: shlex.join(["--judgements-meta", input.judgements_meta]),


use rule score_base_leakage as score_base_judgements with:
    input:
        code=code_of("score_leakage.py", KIND_CODE),
        model=MODEL,
        completions=ancient(f"{BASE_EVALUATION}/completions.jsonl.gz"),
        meta=f"{BASE_EVALUATION}/completions.json",
        judgements=ancient(f"{BASE_EVALUATION}/judgements.jsonl.gz"),
        judgements_meta=f"{BASE_EVALUATION}/judgements.json",
    params:
        judgements=lambda wildcards, input: shlex.join(["--judgements-meta", input.judgements_meta]),
