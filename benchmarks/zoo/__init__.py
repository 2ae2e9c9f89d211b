"""Small models and losses as people write them, for benchmarks/workloads.py.

Each factory has the form that MemoryMark takes from its users, `package.module:factory`, and gives
a model, a function that makes a batch of n samples, and a loss. They are written in the words of
this repository after well-known architectures, at sizes that train in a second on a CPU.
"""
