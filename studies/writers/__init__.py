"""Networks of simulators as NIR files, with what the simulator computes of them."""
