"""Draw docs/pictures/models.png from docs/results/models.json: rho by a model's own cosines against rho by the other model's.

PYTHONPATH=workflow_scripts python docs/pictures/draw_models.py
"""

import json
from pathlib import Path

from persona_leakage.figures.style import BLUE, ORANGE, plt

HERE = Path(__file__).parent
PREDICTED = json.loads((HERE.parent / "results/models.json").read_text(encoding="utf-8"))["predicted"]
MODELS = {"smollm2": ("SmolLM2, 135M", BLUE), "qwen_coder": ("Qwen2.5-Coder, 1.5B", ORANGE)}
OUTCOMES = {"rate": ("rate", "o"), "logprob_gain": ("gain", "^")}
LIMITS = (-0.2, 0.95)

figure, axes = plt.subplots(figsize=(4.6, 4.2), layout="constrained")
axes.plot(LIMITS, LIMITS, color="#999999", linewidth=0.8, linestyle="--")
for model, (title, colour) in MODELS.items():
    (other,) = MODELS.keys() - {model}
    for outcome, (name, marker) in OUTCOMES.items():
        by = PREDICTED[f"{model}, {outcome}"]
        x, y = ([by[one][source] for source in by[one]] for one in (other, model))
        axes.scatter(x, y, s=26, color=colour, marker=marker, label=f"{title}: {name}")
axes.set(xlim=LIMITS, ylim=LIMITS, aspect="equal")
axes.set_xlabel("rho by the other model's cosines")
axes.set_ylabel("rho by the model's own cosines")
axes.legend(title="leakage of", loc="lower right", fontsize=8, title_fontsize=8)
figure.savefig(HERE / "models.png")
