"""What an evaluation costs: operations, and energy by tables of costs."""
