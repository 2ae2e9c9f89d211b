"""Service: what stands between many people and one device."""
