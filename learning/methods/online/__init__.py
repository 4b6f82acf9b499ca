"""Methods that take optimization steps within a sample, and keep nothing of former time steps."""
