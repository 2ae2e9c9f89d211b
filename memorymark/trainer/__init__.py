"""Trains within budgets of memory and time, with what an analysis found."""
