"""Statistics of sweeps against published examples, scipy, and pairs counted by hand."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from asnn.sweeps.comparison import ALL_EQUAL, TOO_FEW, compare, holm, paired
from asnn.sweeps.definition import Definition
from asnn.sweeps.grid import expand, parse_axis
from asnn.sweeps.plan import Member, Plan

# Hours of sleep gained with the second soporific over the first, ten patients: Student, "The
# probable error of a mean" (1908); as R's `sleep`, whose manual gives the figures below.
FIRST = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
SECOND = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]


def test_students_own_example():
    found = paired([b - a for a, b in zip(FIRST, SECOND, strict=True)])
    assert found["n"] == 10
    assert found["difference"] == pytest.approx(1.58)
    assert found["t"] == pytest.approx(4.0621, abs=5e-5)
    assert found["p"] == pytest.approx(0.002833, abs=5e-7)
    assert found["low"] == pytest.approx(0.7001142, abs=5e-8)
    assert found["high"] == pytest.approx(2.4598858, abs=5e-8)
    assert found["why"] is None


def test_negative_control_unpaired_values():
    """The same values in other pairs are not significant."""
    pairs = paired([b - a for a, b in zip(FIRST, SECOND, strict=True)])
    shuffled = paired([b - a for a, b in zip(FIRST, sorted(SECOND, reverse=True), strict=True)])
    assert shuffled["difference"] == pytest.approx(pairs["difference"])
    assert shuffled["p"] > 0.1 > pairs["p"]


@pytest.mark.slow
@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=12).filter(
        lambda pairs: statistics.stdev([b - a for a, b in pairs]) > 1e-6
    )
)
def test_equals_scipy(pairs):
    first, second = zip(*pairs, strict=True)
    theirs = stats.ttest_rel(second, first)
    interval = theirs.confidence_interval(0.95)
    found = paired([b - a for a, b in pairs])
    assert found["t"] == pytest.approx(theirs.statistic, rel=1e-6, abs=1e-9)
    assert found["p"] == pytest.approx(theirs.pvalue, rel=1e-6)
    assert (found["low"], found["high"]) == pytest.approx(tuple(interval), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(
    ("differences", "why"),
    [([], TOO_FEW), ([0.1], TOO_FEW), ([0.0, 0.0], ALL_EQUAL), ([0.3 - 0.1, 0.2, 0.2], ALL_EQUAL)],
)
def test_too_few_pairs_and_no_spread(differences, why):
    found = paired(differences)
    assert found["why"] == why
    assert [found[key] for key in ("t", "p", "low", "high")] == [None] * 4
    assert (found["difference"] is None) == (not differences)


def test_holm_as_in_r():
    # p.adjust(c(0.01, 0.02, 0.03, 0.04, 0.05), "holm") of R; and Holm's 1979 steps by hand.
    assert holm([0.01, 0.02, 0.03, 0.04, 0.05]) == pytest.approx([0.05, 0.08, 0.09, 0.09, 0.09])
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, None, 0.6]) == [1.0, None, 1.0]
    assert holm([]) == [] and holm([None]) == [None]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_lies_between_uncorrected_and_bonferroni(values):
    for plain, corrected in zip(values, holm(values), strict=True):
        assert plain <= corrected <= min(1.0, len(values) * plain)


def sweep_of(grid, seeds, accuracy, left_out=()):
    """A plan and records; `accuracy(settings, seed)` is the accuracy of a member."""
    axes = tuple(parse_axis(text) for text in grid)
    definition = Definition("test", {}, axes=axes, seeds=tuple(seeds))
    plan, records = Plan(), {}
    for index, point in enumerate(expand(axes)):
        if index in left_out:
            continue
        for seed in seeds:
            name = f"{index}-{seed}"
            plan.members.append(Member(name, index, point, _Seeded(seed)))
            records[name] = {"accuracy": accuracy(dict(point), seed)}
    return definition, plan, records


class _Seeded:
    """The part of a recipe that is compared."""

    def __init__(self, seed):
        self.train = type("Train", (), {"seed": seed})


def accuracy(settings, seed):
    noise = np.random.default_rng(seed + 10 * settings["coding.steps"]).normal(0, 0.01)
    return 0.5 + 0.1 * (settings["coding.name"] == "hybrid") + 0.01 * seed + noise


GRID = ["coding.name=direct,hybrid", "coding.steps=2,3,4"]


def test_values_are_compared_with_the_first_one_with_all_else_equal():
    definition, plan, records = sweep_of(GRID, [0, 1, 5], accuracy)
    found = compare(definition, plan, records)
    settings = [(each["from"], each["to"], each["others"]) for each in found["single"]]
    name = ({"coding.name": "direct"}, {"coding.name": "hybrid"})
    assert settings == [
        *((*name, {"coding.steps": steps}) for steps in (2, 3, 4)),
        ({"coding.steps": 2}, {"coding.steps": 3}, {"coding.name": "direct"}),
        ({"coding.steps": 2}, {"coding.steps": 3}, {"coding.name": "hybrid"}),
        ({"coding.steps": 2}, {"coding.steps": 4}, {"coding.name": "direct"}),
        ({"coding.steps": 2}, {"coding.steps": 4}, {"coding.name": "hybrid"}),
    ]
    # The noise does not depend on the code, so each difference is the effect itself.
    for each in found["single"][:3]:
        assert each["difference"] == pytest.approx(0.1) and each["why"] == ALL_EQUAL
    by_hand = [
        accuracy({"coding.name": "direct", "coding.steps": 4}, seed)
        - accuracy({"coding.name": "direct", "coding.steps": 2}, seed)
        for seed in (0, 1, 5)
    ]
    theirs = stats.ttest_1samp(by_hand, 0)
    assert found["single"][5]["seeds"] == [0, 1, 5]
    assert found["single"][5]["p"] == pytest.approx(theirs.pvalue)


def test_pooled_takes_all_pairs():
    definition, plan, records = sweep_of(GRID, [0, 1], accuracy)
    name, three, four = compare(definition, plan, records)["pooled"]
    assert (name["settings"], name["n"]) == (3, 6)
    assert (three["settings"], three["n"]) == (2, 4)
    by_hand = [
        accuracy({"coding.name": code, "coding.steps": 4}, seed)
        - accuracy({"coding.name": code, "coding.steps": 2}, seed)
        for code in ("direct", "hybrid")
        for seed in (0, 1)
    ]
    assert four["difference"] == pytest.approx(sum(by_hand) / 4)
    assert four["t"] == pytest.approx(statistics.mean(by_hand) / (statistics.stdev(by_hand) / 2))
    # Holm over the two with a p value.
    smaller, greater = sorted([three["p"], four["p"]])
    corrected = sorted([three["p_holm"], four["p_holm"]])
    assert corrected == pytest.approx([min(1, 2 * smaller), max(greater, min(1, 2 * smaller))])


def test_missing_members_make_no_pairs():
    definition, plan, records = sweep_of(GRID, [0, 1, 2], accuracy, left_out=[3])  # hybrid, 2 steps
    del records["1-1"]  # direct, 3 steps, seed 1 has failed
    found = compare(definition, plan, records)
    names = [each for each in found["single"] if "coding.name" in each["to"]]
    assert [(each["others"]["coding.steps"], each["seeds"]) for each in names] == [
        (3, [0, 2]),
        (4, [0, 1, 2]),
    ]
    assert [each["n"] for each in found["pooled"]] == [5, 2, 3]


def test_a_single_seed_has_no_p():
    definition, plan, records = sweep_of(GRID, [0], accuracy)
    found = compare(definition, plan, records)
    assert {each["why"] for each in found["single"]} == {TOO_FEW}
    assert {each["p_holm"] for each in found["single"]} == {None}
    assert all(math.isfinite(each["difference"]) for each in found["single"])


def test_keys_that_change_together_are_one_change():
    def flat(settings, seed):
        return 0.5 + seed * 0.01 * settings["c.d"]

    definition, plan, records = sweep_of(["a.b=x,y;c.d=1,2"], [0, 1, 2], flat)
    found = compare(definition, plan, records)
    assert len(found["single"]) == 1
    assert found["single"][0]["to"] == {"a.b": "y", "c.d": 2}
    assert found["single"][0]["difference"] == pytest.approx(0.01)  # of 0, 0.01 and 0.02
