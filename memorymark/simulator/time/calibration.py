"""Every constant of the estimate of time: which share of a card's peaks kernels reach.

benchmarks/calibrate_time.py fits them to published step times (benchmarks/step_times.py names the
rows that it may see). The fit is held near what is known of such kernels, so that a constant moves
only as far as many rows ask for it, and no share goes above the peak. What no row says anything of
is marked as taken. Kinds of kernels and what they were held near to were chosen with fits on random
halves of all rows in view.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from memorymark.simulator.time.kernels import Kind


@dataclass(frozen=True)
class Calibration:
    """The constants.

    Attributes:
        product: Share of the arithmetic that large, aligned matrix products reach.
        single_product: What is left of it in fp32 and TF32.
        odd_product: The same where rows are not aligned to 16 bytes.
        convolution: The same of convolutions and the gradients of their images.
        convolution_weights: Of the gradients of their weights.
        grouped: Of convolutions in groups.
        grouped_weights: Of the gradients of their weights.
        grouped_direct_weights: Share of the fp32 rate that they reach in NHWC order, in groups
            without kernels for tensor cores, if groups are wide.
        direct_width: How wide a group is, in channels, whose products take as long there as all
            else.
        depthwise: Share of the fp32 rate that depthwise convolutions in NCHW order reach by cuDNN:
            they run outside of tensor cores.
        depthwise_weights: Of the gradients of their weights.
        depthwise_plain: Of PyTorch's own kernels for them.
        depthwise_plain_weights: Of the gradients of their weights.
        depthwise_last: Of those in NHWC order.
        depthwise_last_weights: Of the gradients of their weights.
        depthwise_large: Of all of them where the filter is larger than 7x7.
        flash: Share of the arithmetic that flash attention reaches.
        efficient: Of memory-efficient attention.
        elementwise: Share of the bandwidth that element-wise kernels reach, and what is not named
            here.
        product_bandwidth: Share of it that matrix products reach.
        transpose: Of copies into another order.
        layout: Of a convolution's copies from NCHW to NHWC order and back.
        layout_backward: Of those for its gradients.
        norm: Of batch and group normalization.
        norm_last: Of those in NHWC order.
        row_norm: Of normalization over rows.
        row_norm_backward: Of its backward pass, and of the sums over rows in it.
        row_clocks: Ticks that a multiprocessor takes for a row at least, however short.
        softmax: Of softmax.
        reduction: Of sums and the like.
        pool: Of pooling and resizing.
        gather: Of rows read by index.
        optimizer: Of kernels that update many tensors.
        prologue: Steps of a product's sum that a tile costs before and after it.
        l2_bytes_per_clock: Bytes that the second-level cache hands a multiprocessor each tick.
        l2_reuse: Share of the second-level cache that still holds what the kernel before wrote.
        l2_speed: How many times the memory's bandwidth it has; taken.
        multiprocessor_draw: How many times its part of the bandwidth a multiprocessor can draw
            where others are idle.
        trip_seconds: A trip to the memory and back, where a thread waits for one before the next.
        launch_seconds: The least that a kernel takes, one after the other; taken.
        last_wave: How much of a wave of tiles is lost at a product's end.
        narrow: Rows or columns up to which a product is one of vectors: it takes as long as its
            bytes.
        overlap: How well arithmetic and memory overlap: 1 not at all, more is better.
        forward_host_seconds: The host's pace for an operation of the forward pass, its module's
            Python and its views included; taken, for a server's processor.
        backward_host_seconds: The same in the backward pass; taken.
        optimizer_host_seconds: The same in the optimizer's step; taken.
        inference_host_seconds: The host's pace for an operation of a pass without gradients, each
            view an operation of its own.
        geforce_clock: How far GeForce cards clock above what their peaks are stated at; taken.
        volta_flops_per_joule: Operations that a joule pays for in fp16, for cards that their power
            holds back, by generation: here Volta's, in 12 nm.
        turing_flops_per_joule: Turing's, in 12 nm; taken.
        a100_flops_per_joule: Of Ampere in 7 nm.
        ampere_flops_per_joule: Of other Ampere, in 8 nm.
        ada_flops_per_joule: Ada's, in 4 nm; held where it was by the rows, which it does not bind.
        hopper_flops_per_joule: Hopper's; taken, from 700 of its 989 TFLOPS at 700 W.
        blackwell_flops_per_joule: Of the B200; taken, from 1,700 of its 2,250 TFLOPS at 1,000 W.
        geforce_blackwell_flops_per_joule: Of other Blackwell; taken as Ada's.
        geforce_blackwell_reach: What is left of all shares on other Blackwell, of arithmetic and of
            bandwidth: fitted by itself, after all others, to the RTX 5090's rows.
    """

    product: float = 0.955
    single_product: float = 0.783
    odd_product: float = 0.668
    convolution: float = 1.0
    convolution_weights: float = 0.65
    grouped: float = 0.722
    grouped_weights: float = 0.295
    grouped_direct_weights: float = 0.0605
    direct_width: float = 56.1
    depthwise: float = 0.243
    depthwise_weights: float = 0.0111
    depthwise_plain: float = 0.041
    depthwise_plain_weights: float = 0.0235
    depthwise_last: float = 0.145
    depthwise_last_weights: float = 0.0681
    depthwise_large: float = 0.0111
    flash: float = 0.71
    efficient: float = 0.478
    elementwise: float = 0.923
    product_bandwidth: float = 0.923
    transpose: float = 0.616
    layout: float = 0.93
    layout_backward: float = 0.651
    norm: float = 0.715
    norm_last: float = 0.858
    row_norm: float = 0.756
    row_norm_backward: float = 0.657
    row_clocks: float = 313.0
    softmax: float = 0.365
    reduction: float = 0.694
    pool: float = 0.624
    gather: float = 0.401
    optimizer: float = 0.787
    prologue: float = 100.0
    l2_bytes_per_clock: float = 30.3
    l2_reuse: float = 0.398
    l2_speed: float = 3.0
    multiprocessor_draw: float = 1.66
    trip_seconds: float = 0.253e-6
    launch_seconds: float = 3e-6
    last_wave: float = 0.0
    narrow: int = 0
    overlap: float = 2.71
    forward_host_seconds: float = 25e-6
    backward_host_seconds: float = 18e-6
    optimizer_host_seconds: float = 10e-6
    inference_host_seconds: float = 10.2e-6
    geforce_clock: float = 1.1
    volta_flops_per_joule: float = 0.419e12
    turing_flops_per_joule: float = 0.45e12
    a100_flops_per_joule: float = 0.664e12
    ampere_flops_per_joule: float = 0.434e12
    ada_flops_per_joule: float = 0.75e12
    hopper_flops_per_joule: float = 1.0e12
    blackwell_flops_per_joule: float = 1.7e12
    geforce_blackwell_flops_per_joule: float = 0.75e12
    geforce_blackwell_reach: float = 0.89

    def flops_per_joule(self, compute_capability: tuple[int, int]) -> float:
        """Return the operations in fp16 that a joule pays for on cards of a generation."""
        return getattr(self, f"{_generation(compute_capability)}_flops_per_joule")

    def reach(self, compute_capability: tuple[int, int]) -> float:
        """Return what is left of all shares on cards of a generation."""
        is_other = _generation(compute_capability) == "geforce_blackwell"
        return self.geforce_blackwell_reach if is_other else 1.0

    def arithmetic_share(self, kind: Kind) -> float:
        """Return the share of the arithmetic that kernels of a kind reach."""
        return getattr(self, kind.name.lower()) if kind in _ARITHMETIC else 1.0

    def bandwidth_share(self, kind: Kind) -> float:
        """Return the share of the bandwidth that kernels of a kind reach."""
        if kind in _PRODUCTS:
            return self.product_bandwidth
        return self.elementwise if kind in _ARITHMETIC else getattr(self, _STREAMS[kind])


_KINDS = tuple(Kind)
_ARITHMETIC = frozenset(_KINDS[: _KINDS.index(Kind.LAYOUT)])
_PRODUCTS = (Kind.PRODUCT, Kind.ODD_PRODUCT)
_STREAMS = {kind: kind.name.lower() for kind in Kind} | {
    Kind.RESIZE: "pool", Kind.ROW_SUM: "row_norm_backward"
}  # fmt: skip
_GENERATIONS = {
    (7, 0): "volta", (7, 5): "turing", (8, 0): "a100", (8, 6): "ampere", (8, 9): "ada",
    (9, 0): "hopper", (10, 0): "blackwell", (10, 3): "blackwell", (12, 0): "geforce_blackwell",
}  # fmt: skip


def _generation(compute_capability: tuple[int, int]) -> str:
    """Return a generation's name; of one that is not known, the newest before it."""
    older = [known for known in _GENERATIONS if known <= tuple(compute_capability)]
    return _GENERATIONS[max(older, default=(7, 0))]


CALIBRATION = Calibration()

# Passes of an inference are products with few rows, which read their weights once: of their bytes
# and their tiles they reach less than the large ones of a training, and wait for both. Chosen on
# the published figures of benchmarks/inference.py whose families are not kept apart.
INFERENCE = replace(CALIBRATION, product_bandwidth=0.68, last_wave=0.4, narrow=16, overlap=1.3)
