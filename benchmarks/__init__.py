"""Speed and memory of asnn beside its peers."""
