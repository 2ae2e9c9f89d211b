"""A training that lives in the user's process: its model, batch and optimizer, re-expressed."""
