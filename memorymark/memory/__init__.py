"""Memory: who allocated what and when, and what was alive at the peak."""
