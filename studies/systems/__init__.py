"""All codes, neurons and methods beside each other: one network, one budget, several seeds."""
