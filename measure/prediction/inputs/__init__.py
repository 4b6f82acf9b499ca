"""Files, folders and arrays as samples of a network, read one at a time."""
