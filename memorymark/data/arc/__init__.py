"""Tasks of the Abstraction and Reasoning Corpus (Chollet 2019, arXiv 1911.01547)."""
