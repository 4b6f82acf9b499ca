"""Motion of events: warping by a flow, contrast, the motion that sharpens, simulated events."""

from .contrast import Contrast, ContrastMeasures, contrast_loss, measures
from .images import average_times, event_counts, splat
from .search import global_motion
from .simulate import moving_image_events
from .warp import flow_at, inside, warped

__all__ = [
    "Contrast",
    "ContrastMeasures",
    "average_times",
    "contrast_loss",
    "event_counts",
    "flow_at",
    "global_motion",
    "inside",
    "measures",
    "moving_image_events",
    "splat",
    "warped",
]
