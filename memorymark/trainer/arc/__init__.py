"""Test-time training on ARC tasks, within budgets over all of them."""
