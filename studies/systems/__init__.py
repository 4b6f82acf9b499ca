"""Published systems: each by itself, and all of their parts beside each other."""
