"""What would make room: every change of a training, tried, ranked, and put together."""
