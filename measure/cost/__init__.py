"""The cost of an evaluation: operations, and energy by tables of costs."""
