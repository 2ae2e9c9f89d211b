"""Analysis: search, marks and what follows from trials."""
