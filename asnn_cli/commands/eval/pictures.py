"""Pictures that `asnn eval` draws into the folder of a run."""

from __future__ import annotations

from typing import Any

from ....core.errors import AsnnError
from ....core.metric import Metric
from ....core.packages import missing_package
from ....measure.figures.files import save_figure
from ....measure.figures.robustness import draw_robustness
from ....measure.figures.schedules import draw_schedules, kinds_of
from ....records.layout import Run
from ....reports.cost_figures import tradeoff_figure
from ....reports.figures import reliability
from ....tasks.outcomes import Calibration
from ...terminal import console


def draw_pictures(
    run: Run,
    learned: dict[str, dict[str, list[float]]],
    calibration: Calibration | None,
    content: dict[str, Any],
    *,
    metric: Metric,
    quiet: bool,
) -> None:
    """Draw the learned schedules, and the optional parts of an evaluation that have a picture.

    Args:
        run: the folder.
        learned: schedules by layer and name.
        calibration: confidence and accuracy; None if the task has none.
        content: the optional parts, as in the JSON object.
        metric: the primary metric of the task.
        quiet: do not name the files.
    """
    drawings = {}
    if kinds_of(learned):
        drawings[run.schedules] = lambda path: draw_schedules(path, learned, run.path.name)
    if content.get("exits") and content["exits"][0]["picojoules"] is not None:
        drawings[run.tradeoff] = lambda path: save_figure(
            path, tradeoff_figure(content["exits"], decision=content.get("decision")).figure
        )
    if "calibration" in content and calibration is not None:
        drawings[run.reliability] = lambda path: save_figure(path, reliability(calibration).figure)
    if "corruption" in content:
        rows = {run.path.name: content["corruption"]}
        drawings[run.robustness] = lambda path: draw_robustness(path, rows, metric)
    for path, draw in drawings.items():
        try:
            draw(path)
        except (AsnnError, ImportError) as error:  # the disk may be read-only
            failed = missing_package(error) if isinstance(error, ImportError) else error
            console.note(f"warning: {path.name} is not drawn: {failed}")
            return
        if not quiet:
            console.note(f"drawn: {path}")
