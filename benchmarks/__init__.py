"""Speed and memory of asnn and of other libraries."""
