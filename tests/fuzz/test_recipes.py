"""Any recipe trains, or is refused with the invalid keys."""

import json

import pytest
from hypothesis import given, settings

from asnn.cli.app import run
from asnn.core.errors import ConfigError
from asnn.core.text import printable
from asnn.learning import check_recipe
from asnn.learning.recipe.schema import SECTIONS
from tests.fuzz.conftest import EXAMPLES
from tests.support import fuzzed_recipes as recipes

FUZZ = settings.get_profile("fuzz")


@pytest.mark.slow
@settings(FUZZ, max_examples=4 * EXAMPLES)
@given(recipes.documents())
def test_a_recipe_is_valid_or_refused_with_its_keys(document):
    try:
        recipe = check_recipe(document)
    except ConfigError as error:
        assert error.why
        assert error.why.replace("\n", "").isprintable()
        keys = (*SECTIONS, "name", "format", *(printable(key) for key in document if key))
        assert all(line.startswith((*keys, ":")) for line in error.why.splitlines()), error.why
        return
    again = check_recipe(recipe.document())
    assert again.document() == recipe.document()


@pytest.mark.slow
@settings(FUZZ, max_examples=max(10, EXAMPLES // 5))
@given(recipes.trainable())
def test_a_recipe_trains_and_its_run_is_evaluated(tmp_path_factory, document):
    folder = tmp_path_factory.mktemp("fuzz")
    try:
        recipe = check_recipe(document)
    except ConfigError as error:
        assert error.why
        return
    (folder / "recipe.toml").write_text(recipe.toml())
    code = run(["train", str(folder / "recipe.toml"), "--out", str(folder / "run")])
    assert code in (0, 1, 2, 4)
    if code == 0:
        summary = json.loads((folder / "run/summary.json").read_text())
        assert summary["finished"] is True
        assert run(["eval", str(folder / "run"), "--json"]) == 0
