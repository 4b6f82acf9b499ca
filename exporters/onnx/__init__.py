"""ONNX: writing the export graph as a model, and running it in onnxruntime."""
