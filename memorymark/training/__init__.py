"""Training: the step, and what it runs with."""
