"""Jobs of the tiny experiment that a change makes stale, stage by stage: {rule: number of jobs}."""

END = {"build_report": 1, "all": 1}  # the report shows all there is
OF_CORRELATIONS = dict.fromkeys(
    ("plot_scatter", "plot_layers", "plot_category_rates", "plot_category_correlations", "plot_noise_ceiling"), 1
)
OF_PAIRS = dict.fromkeys(("plot_scatter", "plot_category_scatter", "plot_heat_map", "plot_cosines"), 1)
ROBUSTNESS = {"check_robustness": 1, "plot_robustness": 1}
FIGURES = {**OF_PAIRS, **OF_CORRELATIONS, "plot_robustness": 1, "plot_replies": 1, "plot_training": 1}
STATISTICS = {"correlate_leakage": 1, **OF_CORRELATIONS, **END}
ANALYSIS = {"tabulate_pairs": 1, **OF_PAIRS, **STATISTICS, **ROBUSTNESS}
SCORES = {**ANALYSIS, "plot_replies": 1}
ALL_STAGES = {"build_training_set": 2, "train_adapter": 2, "sample_completions": 2, "score_leakage": 2, **SCORES, "plot_training": 1}
RETRAINED = {key: count for key, count in ALL_STAGES.items() if key != "build_training_set"}
NEW_REPLIES = {"sample_completions": 2, "sample_base_completions": 1, "score_leakage": 2, "score_base_leakage": 1, **SCORES}
