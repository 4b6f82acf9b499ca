"""Networks of exact spike times as ONNX files, in float64."""
