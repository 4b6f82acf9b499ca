"""The experiments behind docs/results.md: run from a checkout, not installed."""
