"""Records: frozen data, and how it is written and read."""
