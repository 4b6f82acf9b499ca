"""Data sets of boxes: objects on a canvas, and images of published layouts."""
