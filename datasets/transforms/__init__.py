"""Random changes of training samples: images, events and series."""
