"""Writes training code as text."""
