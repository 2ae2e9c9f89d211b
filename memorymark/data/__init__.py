"""What models are trained on: read, checked and cut into samples, without torch."""
