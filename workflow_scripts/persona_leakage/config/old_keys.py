"""Keys that configs of earlier versions had, and their names today."""

OLD_KEYS = {
    "personas.variants": "personas.no_persona_prompts",
    "personas.add.wording": "personas.add.paraphrase",
    "personas.wording": "personas.paraphrase",  # in a personas file
    "behaviour.detector": "behaviour.match_mode",
    "training_data.spare_answers": "training_data.extra_samples",
    "training_data.cut_answers": "training_data.truncated_answers",
    "training_data.negative_candidates": "training_data.negative_pool",
    "labels.loss_scope": "labels.loss_on",
    "labels.tail_tokens": "labels.answer_tail_tokens",
    "labels.end_target": "labels.turn_end_target",
    "training.warmup_share": "training.warmup_ratio",
    "training.gradient_clipping": "training.max_grad_norm",
    "training.micro_batch_tokens": "training.max_tokens_per_micro_batch",
    "engine.chunk_size": "engine.checkpoint_every",
    "analysis.league": "analysis.predictors",
}
REMOVED_KEYS = {"evaluation.adapters_per_job"}


def with_new_keys(config):
    """The config that an earlier version recorded (run_config.yaml), with today's keys; for reading finished results only."""
    renamed = {}
    for name, block in config.items():
        if isinstance(block, dict):
            block = {
                OLD_KEYS.get(f"{name}.{key}", f"{name}.{key}").rpartition(".")[2]: value
                for key, value in block.items()
                if f"{name}.{key}" not in REMOVED_KEYS
            }
        renamed[name] = block
    return renamed
