"""Changes of recipes: what they leave out, and what stays."""

from asnn.learning import override


def test_a_change_of_the_task_leaves_the_loss_of_classes_out():
    train = {"loss": "tet", "tet_lambda": 0.1, "label_smoothing": 0.1, "lr": 0.1}
    document = {"task": {"name": "classification"}, "train": train}
    key = ["task", "name"]
    changed, notices = override(document, [(key, "regression")])
    assert changed["train"] == {"lr": 0.1} and document["train"] == train
    assert notices[0] == "train.loss is left out: the task regression has a loss of its own"
    assert len(notices) == 3
    asked = [(key, "regression"), (["train", "loss"], "tet")]
    assert override(document, asked)[0]["train"]["loss"] == "tet"  # which is then refused
    for changes in ([(key, "classification")], [(["train", "lr"], 0.2)], [(key, "nothing")]):
        assert override(document, changes)[0]["train"]["loss"] == "tet"
