"""The export graph: a trained network as primitive layers, its interpreter, and quantisation."""
