"""`asnn find-lr`: a line to paste on stdout, a picture, JSON, and no run."""

import json
import re
from pathlib import Path

import pytest

from tests.support.command_line import TINY

SMALL = [*TINY, "--set", "data.limit=120"]


@pytest.mark.slow
def test_the_suggestion_is_a_key_for_train(cli):
    found = cli("find-lr", *SMALL, "--steps", "40", "--plot", "rates.svg")
    assert found.code == 0, found.err
    rate = re.fullmatch(r"train\.lr=([\d.e-]+)\n", found.out)[1]
    assert f"suggested, a tenth of the rate of the least smoothed loss: {rate}" in found.err
    assert "learning rate range test" in Path("rates.svg").read_text()
    assert [path.name for path in Path().iterdir()] == ["rates.svg"]  # no run
    assert cli("train", *SMALL, "--set", found.out.strip(), "--dry-run").code == 0
    again = cli("find-lr", *SMALL, "--steps", "40", "--json")
    document = json.loads(again.out)
    assert document["suggested"] == float(rate) and document["reason"] == ""
    assert len(document["rates"]) == len(document["losses"]) == len(document["smoothed"])
    least = min(range(len(document["rates"])), key=document["smoothed"].__getitem__)
    assert document["suggested"] == pytest.approx(document["rates"][least] / 10, rel=0.05)


@pytest.mark.slow
def test_rates_that_are_all_too_great_suggest_nothing(cli):
    found = cli("find-lr", *SMALL, "--from", "1e3", "--to", "1e6", "--json")
    assert found.code == 1 and json.loads(found.out)["suggested"] is None
    assert "the test suggests no learning rate" in found.err and "lower --from" in found.err


def test_a_picture_of_another_kind_is_refused_before_the_work(cli):
    found = cli("find-lr", "--plot", "rates.gif")
    assert found.code == 2 and "its name must end in .png, .svg or .pdf" in found.err
