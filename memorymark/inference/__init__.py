"""THE inference step: prefill and decode with transformers' caches, and sessions of it."""
