"""What models are trained on: text as tokens in a file, and samples of them. Never torch."""
