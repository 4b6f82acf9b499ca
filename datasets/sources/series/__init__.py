"""Data sets of series: audio, sensors, arrays."""
