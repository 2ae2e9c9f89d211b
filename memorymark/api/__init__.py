"""The library's functions: each makes a Request and executes it."""
