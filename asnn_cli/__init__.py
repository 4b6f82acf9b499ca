"""The command line of asnn."""
