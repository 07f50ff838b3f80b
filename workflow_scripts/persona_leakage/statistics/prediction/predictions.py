"""Predictions for each persona: rank, leakage with interval, neighbours, and what would change the answer."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from persona_leakage.config.finished_study import behaviour_differences, model_identity, recipe_differences
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.statistics.core.ranks import standard_ranks
from persona_leakage.statistics.leakage.held_out_prediction import LEAKS
from persona_leakage.statistics.prediction.calibration import FEWEST, calibrate_known, calibrate_new, judge_known, judge_new, rate_of

NEIGHBOURS = 3
SAME_PANEL = 0.02  # largest difference of two cosines of the same prompts, computed on other hardware
SEED = 0


@dataclass(frozen=True)
class Geometry:
    """Of n personas: own, raw [n, n] cosines between them (centred on the panel of the study, not centred); panel [n, P] to that panel.

    others: {name: own of another layer or half of the questions}; similarities: {column: [n, n]}; prompt_tokens [n];
    studied: {persona: name in the study of the one with the same prompt}.
    """

    personas: list
    own: np.ndarray
    raw: np.ndarray
    panel: np.ndarray
    others: dict
    similarities: dict
    prompt_tokens: list
    studied: dict


def cosines_between(first, second, centre):
    """Cosines of centroids [n, hidden] and [m, hidden] minus ``centre`` [hidden]: float64 [n, m]."""
    units = []
    for vectors in (first, second):
        vectors = np.asarray(vectors, dtype=np.float64) - centre
        units.append(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    return units[0] @ units[1].T


def why_ranking_only(study, recipe, model):
    """Why only a ranking can be given, or None: the study's own problem, another model, behaviour or recipe (blocks of the config)."""
    theirs, ours = (f"{each.get('name')}, {model_identity(each)}" for each in (study.model, model))
    if model_identity(study.model) != model_identity(model):
        return f"the study is of another model ({theirs}; here {ours})"
    if differences := behaviour_differences(study.config, recipe):
        return f"the study is of another behaviour: {'; '.join(differences)}"
    differences = recipe_differences(study.config, recipe)
    return f"the study has another recipe: {'; '.join(differences)}" if differences else study.problem


def check_panel(study, panel, layer, facts, model, path):
    """InputError unless a file of panel centroids (read_panel) is of the study's personas and of ``model``, with the cosines recorded."""
    theirs, ours = model_identity(facts["model"]), model_identity(model)
    if theirs != ours:
        raise InputError(f"{path}: belongs to model {theirs}, not {ours}; delete it and rerun")
    if layer not in panel:
        raise InputError(f"{path}: has no layer {layer}; it has {', '.join(map(str, sorted(panel)))}. Delete it and rerun")
    names = panel[layer]["personas"]
    if sorted(names) != study.personas:
        raise InputError(
            f"{path}: {study.folder} recorded {len(study.personas)} personas, and its personas file gives {len(names)}; restore that file"
        )
    if ours != model_identity(study.model):
        return
    vectors = np.asarray(panel[layer]["centroids"], dtype=np.float64)[[names.index(name) for name in study.personas]]
    difference = float(np.nanmax(np.abs(cosines_between(vectors, vectors, vectors.mean(axis=0)) - study.cosines)))
    if difference > SAME_PANEL:
        raise InputError(
            f"{path}: cosines of the panel differ by up to {difference:.2f} from those that {study.folder} recorded (at most {SAME_PANEL});"
            " its personas, its questions or the model's files have changed: restore them"
        )


def same_prompts(study, personas, studied):
    """{name: name in the study} of the personas that the study measured with the same prompt; studied: {name: Persona} of its file."""
    by_prompt = {persona.prompt: name for name, persona in studied.items() if name in study.personas}
    return {persona.name: by_prompt[persona.prompt] for persona in personas if persona.prompt in by_prompt}


def make_geometry(own, panel, headline, order, similarities, studied):
    """The Geometry of the personas at the headline layer. own, panel: {layer: content}; order: names of the study's personas.

    A half of the questions shifts all personas alike; their mean shift is taken out.
    """
    centres = {layer: np.asarray(content["centroids"], dtype=np.float64).mean(axis=0) for layer, content in panel.items()}
    centroids, centre = own[headline]["centroids"], centres[headline]
    names = panel[headline]["personas"]
    reference = panel[headline]["centroids"][[names.index(name) for name in order]]
    others = {
        f"block {layer}": cosines_between(content["centroids"], content["centroids"], centres[layer])
        for layer, content in own.items()
        if layer != headline and layer in centres
    }
    states = np.asarray(own[headline]["per_question"], dtype=np.float64)
    for half in (0, 1) if states.shape[1] > 1 else ():
        part = states[:, half::2].mean(axis=1)
        part = part - part.mean(axis=0) + np.asarray(centroids, dtype=np.float64).mean(axis=0)
        others[f"half {half + 1} of the questions"] = cosines_between(part, part, centre)
    return Geometry(
        personas=own[headline]["personas"],
        own=cosines_between(centroids, centroids, centre),
        raw=cosines_between(centroids, centroids, 0.0),
        panel=cosines_between(centroids, reference, centre),
        others=others,
        similarities=similarities,
        prompt_tokens=own[headline]["prompt_tokens"],
        studied=studied,
    )


def calibrate(study, source, problem):
    """(the model or None, facts) for a source: its name in the study, or None for a new one; problem: why there can be none."""
    source = source if source in study.sources else None
    if problem:
        return None, {"kind": "known" if source else "new", "used": False, "because": problem}
    if source:
        index = study.sources.index(source)
        facts = judge_known(study.closeness[index], study.odds[:, index], SEED)
        model = calibrate_known(study.closeness[index], study.odds[:, index], facts["used"])
        few = f"the study has too few bystanders of {source}; at least {FEWEST} needed"
    else:
        facts = judge_new(study.closeness, study.odds, SEED)
        model = calibrate_new(study.closeness, study.odds, facts["used"])
        few = f"the study has {len(study.sources)} source(s); at least 2 needed"
    facts |= {"kind": "known" if source else "new"}
    if model is None:
        return None, facts | {"used": False, "because": few}
    if not facts["used"]:
        unsure = facts["kind"] == "new" and facts["p"] is not None and facts["p"] < 0.05
        said = "the study cannot tell whether a new source follows closeness" if unsure else "closeness predicts nothing here"
        facts["because"] = f"{said}: {facts['because']}; every persona gets the same prediction"
    return model, facts


def answer_of(low, high):
    """leaks, below or cannot tell, from an interval of the rate; NaN where there is none."""
    return "leaks" if low > LEAKS else "below" if high < LEAKS else "cannot tell"


def predict_source(study, model, geometry, source, negatives):
    """A row for each other persona of a Geometry, closest first: a DataFrame. model: of calibrate."""
    names, origin = geometry.personas, geometry.personas.index(source)
    chosen = [index for index in range(len(names)) if index != origin]
    cosine = geometry.own[origin, chosen]
    ranks = np.array([ranks_of(values[origin, chosen]) for values in (geometry.own, *geometry.others.values())])
    ends = [np.full(len(chosen), np.nan)] * 3 if model is None else [rate_of(values, study.replies) for values in model.predict(cosine)]
    predicted, low, high = (np.round(values, 6) for values in ends)
    studied = studied_rates(study, geometry.studied.get(source))
    known_as = [geometry.studied.get(names[index]) for index in chosen]
    closest = [neighbours(study.personas, geometry.panel[index], studied, name) for index, name in zip(chosen, known_as, strict=True)]
    table = pd.DataFrame(
        {
            "source": source,
            "kind": "known" if geometry.studied.get(source) in study.sources else "new",
            "persona": [names[index] for index in chosen],
            "rank": ranks[0],
            "rank_low": ranks.min(axis=0),
            "rank_high": ranks.max(axis=0),
            "cosine": cosine,
            "cosine_raw": geometry.raw[origin, chosen],
            "predicted": predicted,
            "low": low,
            "high": high,
            "answer": [answer_of(*ends) for ends in zip(low, high, strict=True)],
            "negative": [names[index] in negatives for index in chosen],
            "studied_rate": [studied.get(name) for name in known_as],
            "neighbours": closest,
            **{column: values[origin, chosen] for column, values in geometry.similarities.items()},
            "prompt_tokens": [geometry.prompt_tokens[index] for index in chosen],
        }
    )
    return table.sort_values("rank", ignore_index=True)


def ranks_of(cosines):
    """Ranks, 1 for the closest; ties keep the given order."""
    ranks = np.empty(len(cosines), dtype=int)
    ranks[np.argsort(-cosines, kind="stable")] = np.arange(1, len(cosines) + 1)
    return ranks


def studied_rates(study, source):
    """{persona: mean measured rate over the seeds} of a source of the study; {} for a new one."""
    if source not in study.sources:
        return {}
    rates = study.rates[:, study.sources.index(source)].mean(axis=0)
    return {name: float(rate) for name, rate in zip(study.personas, rates, strict=True) if not math.isnan(rate)}


def neighbours(personas, cosines, studied, itself):
    """ "pirate 0.62 (31 %), ...": the closest personas of the study's panel, their cosine, and their measured rate where there is one."""
    order = [index for index in np.argsort(-cosines, kind="stable") if personas[index] != itself][:NEIGHBOURS]
    shown = []
    for index in order:
        rate = f" ({100 * studied[personas[index]]:.0f} %)" if personas[index] in studied else ""
        shown.append(f"{personas[index]} {cosines[index]:.2f}{rate}")
    return ", ".join(shown)


def stability(geometry, source):
    """{layer or half of the questions: rank correlation of its cosines to the source with those of the headline}."""
    origin = geometry.personas.index(source)
    chosen = np.delete(np.arange(len(geometry.personas)), origin)
    headline = standard_ranks(geometry.own[origin, chosen])
    return {name: float(headline @ standard_ranks(values[origin, chosen])) for name, values in geometry.others.items()}


def what_would_change(study, table, facts, steady):
    """Sentences for one source: what the answer rests on, and what would change it. facts: of calibrate; steady: of stability."""
    said = []
    if facts["kind"] == "new" and len(study.sources) >= 2:
        said.append(f"Train this source once: its own bystanders replace the spread over {len(study.sources)} studied sources.")
    if facts["kind"] == "new" and not facts["used"]:
        said.append("More studied sources narrow the mean of the sources; the spread between them stays (make power).")
    low, name = min((value, name) for name, value in steady.items()) if steady else (None, None)
    if name:
        said.append(f"The order changes most with {name}: rank correlation {low:.2f} with the order shown.")
    open_ = int((table["answer"] == "cannot tell").sum())
    if table["predicted"].notna().any():
        said.append(f"{open_} of {len(table)} intervals hold {100 * LEAKS:.0f} %; only sampled replies of those personas decide.")
    if not study.problem and facts["kind"] == "known":
        said.append(f"The intervals hold for {study.replies} replies per persona and for the recipe of the study.")
        if len(study.odds) == 1:
            said.append(
                "The study has one training seed: how much trainings differ is unknown, and the intervals are too narrow for another."
            )
    return said
