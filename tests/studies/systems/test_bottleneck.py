"""The curve of distortion over nats: its figures are those of an evaluation."""

import pytest

from asnn.learning import check_recipe, train
from asnn.records.layout import Run
from asnn.records.open_run import open_run
from studies.systems import bottleneck
from tests.support.trainings import KeepTraining


@pytest.mark.slow
def test_points_and_figure(tmp_path):
    points = []
    for decoder in bottleneck.DECODERS:
        run = Run(tmp_path / decoder)
        run.path.mkdir()
        recipe = check_recipe(
            {
                "data": {"limit": 80},
                "coding": {"name": "direct", "steps": 3},
                "model": {"name": "mlp", "features": [8]},
                "readout": {"name": "bottleneck", "neurons": 6, "decoder": decoder},
                "task": {"name": "reconstruction"},
                "method": {"name": "vdib", "beta": 0.01},
                "train": {"epochs": 1, "lr": 0.01, "seed": 3},
            }
        )
        train(recipe, run, KeepTraining())
        opened = open_run(run.path)
        found = opened.evaluate("test")
        point = bottleneck.point(opened)
        points.append(point)
        assert point[:3] == (decoder, "0.01", 3)
        assert (point.nats, point.loss, point.mse) == (
            found.divergence["readout.spikes"], found.loss, found.values["mse"],
        )  # fmt: skip
        layers = found.spike_rates
        other = sum(layers["spikes1"]) * 8
        assert point.spikes == pytest.approx(found.spikes_per_sample - other)
        assert (point.moved == point.mse) == (decoder == "rate")
    bottleneck.draw(tmp_path / "curve.png", points)
    assert (tmp_path / "curve.png").stat().st_size > 1000
    assert bottleneck.row(points[0]).startswith("| time | 0.01 | 3 |")
    blind = float(opened.data.test.inputs.div(16).var(0, correction=0).mean())
    error = bottleneck.autoencoder(opened)
    assert 0 < error < 0.25 and error == bottleneck.autoencoder(opened)
    assert error != pytest.approx(blind)
