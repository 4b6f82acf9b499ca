"""Names of commands in other tools lead to those of asnn."""

import re

import pytest

from asnn.cli.app import app
from asnn.cli.terminal.group import Root


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["help"], "Type asnn -h"),
        (["test"], "asnn eval"),
        (["infer"], "asnn predict"),
        (["plot"], "asnn report"),
        (["list"], "asnn runs"),
        (["version"], "asnn --version"),
        (["trian"], "Did you mean 'train'?"),
        (["data", "my pictures"], "asnn data info 'my pictures'"),
    ],
)
def test_other_names_lead_on(cli, arguments, said):
    result = cli(*arguments)
    assert result.code == 2
    assert said in " ".join(result.err.split())
    assert result.out == ""


def test_no_command_is_hidden_by_such_a_name():
    names = {command.name for command in app.registered_commands}
    names |= {group.name for group in app.registered_groups}
    assert "train" in names
    assert not names & Root.others.keys()
    for said in Root.others.values():  # what they lead to exists
        words = re.findall(r"[\w-]+", said)
        after = {words[i + 1] for i, word in enumerate(words[:-1]) if word == "asnn"}
        assert {each for each in after if each.islower() and each[0].isalpha()} <= names
