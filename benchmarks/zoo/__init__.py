"""Small models and losses as people write them, for benchmarks/workloads.py.

Each factory has the form that MemoryMark takes from its users, `package.module:factory`, and gives
a model, a function that makes a batch of n samples, a loss, and where it has them an optimizer and
a step of its own. They are written in the words of this repository after well-known architectures,
at sizes that train in a second on a CPU; batches hold real lengths, boxes and labels wherever the
code asks for them. `cases.py` lists all, `configurations.py` has the models of transformers.

Left out is what the CPU itself cannot show: code that names the device "cuda", activations copied
to the host, FlexAttention's backward pass and compiled models.
"""
