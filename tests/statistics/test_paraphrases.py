"""Role told from paraphrase: parts come back from known parts, and a mere likeness of paraphrase is not taken for closeness of roles."""

import numpy as np
import pandas as pd
import pytest
import yaml

from persona_leakage.config.personas import have_paraphrases, read_personas
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.models.tokenizer_checks import PlainTokenizer
from persona_leakage.statistics.comparisons.paraphrases import compare_paraphrases, draw_role_permutations
from persona_leakage.statistics.comparisons.variance_components import describe_parts, two_way_components
from persona_leakage.statistics.core.pair_matrices import matrices_of
from persona_leakage.statistics.core.permutation import draw_permutations, permutation_test, rank_products
from persona_leakage.tables.question_counts import tabulate_cosines
from tests.conftest import ROOT
from tests.support.synthetic import check_strict, spread_evenly

FILE = ROOT / "resources/personas_paraphrases.yaml"
OPTIONS = {"permutations": 199, "bootstraps": 200}


def test_parts_come_back_from_known_parts():
    """Role 1, paraphrase 0.5, the two together 0.7, noise 0.3 (variances), 80 roles in 4 of 6 paraphrases each: the mean of 200 draws."""
    generator = np.random.default_rng(0)
    roles, paraphrases = np.repeat(np.arange(80), 4), np.concatenate([generator.permutation(6)[:4] for _ in range(80)])
    drawn = (
        generator.normal(size=(200, 80))[:, roles]
        + 0.5**0.5 * generator.normal(size=(200, 6))[:, paraphrases]
        + generator.normal(size=(200, 320)) * (0.7 + 0.3) ** 0.5
    )
    parts = two_way_components(drawn, roles, paraphrases, np.full(200, 0.3)).mean(axis=0)
    assert parts == pytest.approx([1, 0.5, 0.7, 0.3], rel=0.1)


def test_two_paraphrases_by_hand():
    """Values role + paraphrase without rest: shares by the textbook's mean squares of a table without repetition."""
    roles, paraphrases = np.tile(np.arange(3), 2), np.repeat([0, 1], 3)
    values = np.array([0.0, 1, 2, 10, 11, 12])
    role, paraphrase, rest, noise = two_way_components(values[None], roles, paraphrases, np.zeros(1))[0]
    assert (role, paraphrase) == pytest.approx((1, 50)) and (rest, noise) == pytest.approx((0, 0), abs=1e-9)


def test_the_interval_of_a_share_holds_the_truth():
    """Role and rest alike, no paraphrase, 40 roles in two paraphrases: 100 experiments, as the series of one."""
    generator = np.random.default_rng(1)
    roles, paraphrases = np.tile(np.arange(40), 2), np.repeat([0, 1], 40)
    values = generator.normal(size=(100, 40))[:, roles] + generator.normal(size=(100, 80))
    blocks = describe_parts(values, range(100), roles, paraphrases)["per_series"].values()
    held = sum(low <= 0.5 <= high for low, high in (block["intervals"]["role"] for block in blocks))
    assert held >= 88


def test_parts_that_cannot_be_told_apart():
    one_each = np.arange(6), np.zeros(6, dtype=int)
    assert "cannot be told apart" in describe_parts(np.random.default_rng(0).normal(size=(1, 6)), ["villain"], *one_each)["undefined"]
    known = describe_parts(np.zeros((1, 6)), ["villain"], np.array([0, 1, 2] * 2), np.repeat([0, 1], 3))
    assert known["mean"]["shares"] is None and known["undefined"]


def test_a_value_of_one_role_alone_has_no_interval():
    """Without that role nothing is left: its share is not known to the last digit, but not known; and its neighbour keeps its own."""
    generator = np.random.default_rng(2)
    roles, paraphrases = np.tile(np.arange(20), 2), np.repeat([0, 1], 20)
    values = np.stack([(roles == 3).astype(float), generator.normal(size=20)[roles] + generator.normal(size=40)])
    lone, other = describe_parts(values, ["lone", "other"], roles, paraphrases)["per_series"].values()
    assert lone["shares"]["role"] > 0.9 and lone["intervals"]["role"] is None
    assert other["intervals"]["role"][0] < other["shares"]["role"] < other["intervals"]["role"][1]


def test_a_role_counts_once_in_the_tests():
    """What a role's paraphrases share makes pairs of personas alike, without closeness mattering: whole roles raise no false alarms."""
    generator = np.random.default_rng(5)
    roles, paraphrases = np.repeat(np.arange(30), 2), np.tile([0, 1], 30)
    alarms = {"roles": 0, "personas": 0}
    for _ in range(400):
        cosine = generator.normal(size=(1, 2, 30))[:, :, roles] + 0.3 * generator.normal(size=(1, 2, 60))
        rates = generator.normal(size=(2, 30))[:, roles] + 0.3 * generator.normal(size=(2, 60))
        products = rank_products(cosine, rates)
        drawn, groups = draw_role_permutations(generator, roles, paraphrases, 199)
        assert (paraphrases[drawn] == paraphrases).all() and (roles[drawn][:, ::2] == roles[drawn][:, 1::2]).all()
        alarms["roles"] += permutation_test(products, drawn, groups)[0]["p"] < 0.05
        alarms["personas"] += permutation_test(products, draw_permutations(generator, 60, 199))[0]["p"] < 0.05
    assert alarms["roles"] <= 33 < alarms["personas"]  # 20 expected of 400; as many more as 3 standard deviations


def make_panel(generator, role_effect, paraphrase_effect, size=40):
    """(pairs, cosines, roles, paraphrases, counts): ``size`` roles in two paraphrases, three sources in the first.

    Cosine = closeness of the roles + a bonus for the same paraphrase; log-odds of leakage follow the one, the other, or neither.
    """
    names = [f"role{role}_{style}" for style in "ab" for role in range(size)]
    roles, paraphrases = {name: name.split("_")[0] for name in names}, {name: name[-1] for name in names}
    closeness = generator.normal(size=(size, size))
    closeness = np.tile((closeness + closeness.T) / 2, (2, 2))
    same = np.equal.outer(list(paraphrases.values()), list(paraphrases.values())).astype(float)
    cosine = np.clip(0.15 * closeness + 0.3 * same + 0.03 * generator.normal(size=closeness.shape) - 0.15, -1, 1)
    cosine = (cosine + cosine.T) / 2
    rows, questions = [], 5
    counts = {key: np.full((3, 2 * size, questions), np.nan) for key in ("found", "total")}
    order = sorted(names)
    for row in range(3):
        for column, name in enumerate(names):
            if column == row:
                continue
            logit = -0.5 + role_effect * closeness[row, column] + paraphrase_effect * same[row, column] + 0.5 * generator.normal()
            found = generator.binomial(4, 1 / (1 + np.exp(-logit)), size=questions)
            counts["found"][row, order.index(name)], counts["total"][row, order.index(name)] = found, 4
            facts = {"layer": 1, "source": names[row], "persona": name, "category": "any", "related": False, "source_rate": 0.9}
            shown = int(found.sum())
            rows.append({**facts, "cosine": cosine[row, column], "rate": shown / 20, "found": shown, "total": 20, "prompt_tokens": 17})
    return pd.DataFrame(rows), tabulate_cosines(names, {1: cosine}), roles, paraphrases, counts


def test_likeness_of_paraphrase_alone_is_seen_through():
    """Leakage follows the paraphrase: closeness predicts it over all pairs, but not within or across paraphrases or over roles."""
    table, cosines, roles, paraphrases, counts = make_panel(np.random.default_rng(2), 0.0, 1.5)
    result = compare_paraphrases(table, cosines, roles, paraphrases, OPTIONS, counts)
    assert result["all_pairs"]["mean"]["mean_rho"] > 0.3 and result["all_pairs"]["association"]["p"] is None
    assert result["same_paraphrase_alone"]["mean_rho"] > 0.4
    for block in (result["same_paraphrase"], result["other_paraphrase"], result["role_means"], *result["within_each"].values()):
        assert abs(block["mean"]["mean_rho"]) < 0.25 and block["association"]["p"] > 0.01
    assert result["association_of_roles"]["p"] > 0.01 and abs(result["given_same_paraphrase"]["mean_rho"]) < 0.2
    shares = result["parts"]["leakage"]["mean"]["shares"]
    assert shares["paraphrase"] > 0.3 > shares["role"] and sum(shares.values()) == pytest.approx(1)
    assert 0.05 < shares["noise"] < 0.6
    check_strict({**result, "verdict": []})


def test_closeness_of_roles_survives_the_control_of_paraphrase():
    table, cosines, roles, paraphrases, counts = make_panel(np.random.default_rng(3), 1.2, 0.0)
    result = compare_paraphrases(table, cosines, roles, paraphrases, OPTIONS, counts)
    for block in (result["same_paraphrase"], result["other_paraphrase"], result["role_means"], *result["within_each"].values()):
        assert block["mean"]["mean_rho"] > 0.4 and block["mean"]["interval"][0] > 0 and block["association"]["p"] < 0.02
    assert result["association_of_roles"]["p"] < 0.02 and result["given_same_paraphrase"]["mean_rho"] > 0.4
    assert abs(result["same_paraphrase_alone"]["mean_rho"]) < 0.2
    shares = result["parts"]["leakage"]["mean"]["shares"]
    assert shares["role"] > 0.5 and shares["paraphrase"] < 0.1
    other = result["other_paraphrases_of_the_source"]["role0_a"][0]
    assert other["persona"] == "role0_b" and other["out_of"] == 79
    assert result["role_means"]["per_source"]["role0_a"]["n"] == 39, "its own role is no bystander"


def test_role_means_are_averages():
    table, cosines, roles, paraphrases, _ = make_panel(np.random.default_rng(4), 1.0, 1.0)
    rows = table[table["source"] == "role1_a"].assign(role=table["persona"].map(roles))
    means = rows[rows["role"] != "role1"].groupby("role")[["cosine", "found"]].mean()
    result = compare_paraphrases(table, cosines, roles, paraphrases, OPTIONS)
    assert result["role_means"]["per_source"]["role1_a"]["rho"] == pytest.approx(means.corr("spearman").loc["cosine", "found"])
    assert result["parts"]["leakage"]["mean"]["shares"]["noise"] is None, "no counts per question"


def test_even_sources_have_no_correlation():
    """They keep only the ranks of their other paraphrases; role means are of the change against the base model."""
    table, cosines, roles, paraphrases, counts = make_panel(np.random.default_rng(3), 1.2, 0.0)
    table, counts = spread_evenly(table, counts, "role1_a")
    base = dict(zip(sorted(roles), np.linspace(0.1, 0.5, len(roles)), strict=True))
    table["base_rate"] = table["persona"].map(base)
    result = compare_paraphrases(table, cosines, roles, paraphrases, OPTIONS, counts)
    check_strict({**result, "verdict": []})
    for block in (result["all_pairs"], result["role_means"], *result["within_each"].values()):
        assert "role1_a" not in block["per_source"] and "spreads evenly" in block["sources_left_out"]["role1_a"]
    assert len(result["other_paraphrases_of_the_source"]) == 3
    rows = table[table["source"] == "role0_a"].assign(role=table["persona"].map(roles), leakage=table["rate"] - table["base_rate"])
    means = rows[rows["role"] != "role0"].groupby("role")[["cosine", "leakage"]].mean().round(9)
    assert result["role_means"]["per_source"]["role0_a"]["rho"] == pytest.approx(means.corr("spearman").loc["cosine", "leakage"])
    for source in ("role0_a", "role2_a"):
        table, counts = spread_evenly(table, counts, source)
    assert "role2_a: the behaviour spreads evenly" in compare_paraphrases(table, cosines, roles, paraphrases, OPTIONS, counts)["undefined"]


def test_geometry_by_hand():
    """Two roles in two paraphrases: the same role at 0.9, the same paraphrase at 0.5, neither at 0.1."""
    grid = np.array([[1, 0.5, 0.9, 0.1], [0.5, 1, 0.1, 0.9], [0.9, 0.1, 1, 0.5], [0.1, 0.9, 0.5, 1]])
    names = ["x_a", "y_a", "x_b", "y_b"]
    from persona_leakage.statistics.comparisons.paraphrases import describe_geometry

    found = describe_geometry(tabulate_cosines(names, {0: grid}), {n: n[0] for n in names}, {n: n[-1] for n in names})
    assert [found[kind]["mean"] for kind in ("same_role", "same_paraphrase", "neither")] == pytest.approx([0.9, 0.5, 0.1])
    assert found["nearest_is_same_role"] == 1 and found["same_role_by_chance"] == pytest.approx(1 / 3)


def test_personas_without_a_role_take_no_part():
    table, cosines, roles, paraphrases, counts = make_panel(np.random.default_rng(5), 1.0, 0.0)
    for known in (roles, paraphrases):
        known.pop("role2_a")  # a source
        known.pop("role9_b")
    result = compare_paraphrases(table, cosines, roles, paraphrases, OPTIONS, counts)
    assert result["without_role"] == ["role2_a", "role9_b"] and list(result["all_pairs"]["per_source"]) == ["role0_a", "role1_a"]
    assert matrices_of(table).sources == ["role0_a", "role1_a", "role2_a"]
    assert compare_paraphrases(table, cosines, {}, {}, OPTIONS)["undefined"] == "no source has a role"


def test_the_shipped_panel():
    """200 personas and more, 8 categories and more, each role in two paraphrases, the five sources among them."""
    personas = read_personas(str(FILE))
    assert len(personas) >= 200 and len({persona.category for persona in personas.values()}) >= 8
    by_role = {}
    for persona in personas.values():
        by_role.setdefault(persona.role, []).append(persona.paraphrase)
    assert len(by_role) >= 100 and all(sorted(found) == ["scene", "statement"] for found in by_role.values())
    assert {"villain", "comedian", "assistant", "software_engineer", "kindergarten_teacher"} <= set(personas)
    assert not have_paraphrases(read_personas(str(ROOT / "resources/personas.yaml")).values()) and have_paraphrases(personas.values())


def test_paraphrases_differ_on_the_surface():
    """The two paraphrases of a role share hardly a word but its name; no ending or opening of the second style is that of many."""
    texts = {}
    for persona in read_personas(str(FILE)).values():
        texts.setdefault(persona.paraphrase, {})[persona.role] = [word.strip(".,:;!?") for word in persona.prompt.lower().split()]
    common = {*"you are a an the who and of to that in as it is for on from has with all every".split()}  # noqa: SIM905
    for role, words in texts["statement"].items():
        shared = set(words) & set(texts["scene"][role]) - common - set(role.split("_")) - {part + "s" for part in role.split("_")}
        assert len(shared) <= 2, (role, shared)
    for index in (0, -1):
        ends = [words[index] for words in texts["scene"].values()]
        assert max(map(ends.count, ends)) <= len(ends) / 8, (
            "an opening or ending that many share is a likeness of paraphrase within the style"
        )


def test_lengths_are_controlled(smollm2):
    """16 to 18 tokens each, and the styles as long as each other to within a token: length tells neither role nor paraphrase."""
    tokenizer = PlainTokenizer(smollm2.parent)
    lengths = {}
    for persona in read_personas(str(FILE)).values():
        lengths.setdefault(persona.paraphrase, []).append(len(tokenizer(persona.prompt, add_special_tokens=False).input_ids))
    assert all(16 <= length <= 18 for found in lengths.values() for length in found)
    assert abs(np.mean(lengths["statement"]) - np.mean(lengths["scene"])) < 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([{"role": "miller"}, {}], "personas.0.paraphrase: missing; a persona with role needs both keys"),
        ([{"role": "miller", "wording": "plain"}, {}], "personas.0: key 'wording' has a new name: write paraphrase"),
        (
            [{"role": "miller", "paraphrase": "plain"}, {"role": "miller", "paraphrase": "plain"}],
            "'a' and 'b' both are role 'miller' in paraphrase 'plain'",
        ),
    ],
)
def test_bad_roles_are_refused(tmp_path, changes, message):
    personas = [
        {"name": name, "category": "any", "related_to": [], "prompt": f"You are persona {name} of this town.", **change}
        for name, change in zip("abcd", [*changes, {}, {}], strict=True)
    ]
    (tmp_path / "personas.yaml").write_text(yaml.safe_dump({"personas": personas}))
    with pytest.raises(InputError, match=message):
        read_personas(str(tmp_path / "personas.yaml"))
