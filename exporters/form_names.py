"""The names of the forms of each format, which the command line checks before a network is read."""

FORMS = {
    "onnx": ("sequence", "stream", "scan", "parts"),
    "nir": ("pure", "portable", "lif", "backbone", "given"),
}
