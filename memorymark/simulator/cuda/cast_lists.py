"""What autocast runs in which format, on CUDA and on the CPU.

PyTorch 2.15, aten/src/ATen/autocast_mode.h (CUDA) and the CPU's part of autocast_mode.cpp,
without what the CPU only joins (`cat`, `stack`) and what trains in no common loop.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CastLists:
    """Names of operations, by the format in which they run.

    Attributes:
        lower: In autocast's lower format.
        fp32: In fp32.
        fp32_output: In the format of their input, with a result in fp32.
        widest: In the widest format of their inputs.
    """

    lower: frozenset[str]
    fp32: frozenset[str]
    fp32_output: frozenset[str]
    widest: frozenset[str]

    @property
    def names(self) -> frozenset[str]:
        """All of them."""
        return self.lower | self.fp32 | self.fp32_output | self.widest


CUDA = CastLists(
    lower=frozenset((
        "_convolution", "conv1d", "conv1d.padding", "conv2d", "conv2d.padding", "conv3d",
        "conv3d.padding", "conv_tbc", "conv_transpose1d", "conv_transpose2d.input",
        "conv_transpose3d.input", "convolution", "prelu", "addmm", "addmv", "addr", "matmul",
        "einsum", "mm", "mv", "linalg_vecdot", "linear", "addbmm", "baddbmm", "bmm",
        "chain_matmul", "linalg_multi_dot", "gru_cell", "lstm_cell", "rnn_tanh_cell",
        "rnn_relu_cell", "scaled_dot_product_attention",
    )),
    fp32=frozenset((
        "acos", "asin", "cosh", "erfinv", "exp", "expm1", "log", "log10", "log2", "log1p",
        "reciprocal", "rsqrt", "sinh", "tan", "pow.Tensor_Scalar", "pow.Tensor_Tensor",
        "pow.Scalar", "softplus", "layer_norm", "native_layer_norm", "group_norm", "rms_norm",
        "frobenius_norm.dim", "nuclear_norm", "cosine_similarity", "poisson_nll_loss",
        "cosine_embedding_loss", "nll_loss", "nll_loss2d", "hinge_embedding_loss", "kl_div",
        "l1_loss", "smooth_l1_loss", "huber_loss", "mse_loss", "margin_ranking_loss",
        "multilabel_margin_loss", "soft_margin_loss", "triplet_margin_loss", "multi_margin_loss",
        "binary_cross_entropy_with_logits", "dist", "pdist", "cdist", "renorm", "logsumexp",
        "upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d", "upsample_linear1d",
        "upsample_bilinear2d", "_upsample_bilinear2d_aa", "upsample_trilinear3d",
        "upsample_bicubic2d",
    )),
    fp32_output=frozenset((
        "prod", "prod.dim_int", "softmax.int", "log_softmax.int", "cumprod", "cumsum",
        "linalg_vector_norm", "sum", "sum.dim_IntList",
    )),
    widest=frozenset((
        "addcdiv", "addcmul", "atan2", "bilinear", "cross", "dot", "vdot", "grid_sampler",
        "index_put", "tensordot", "scatter_add",
    )),
)  # fmt: skip

CPU = CastLists(
    lower=frozenset((
        "conv1d", "conv1d.padding", "conv2d", "conv2d.padding", "conv3d", "conv3d.padding",
        "conv_tbc", "conv_transpose1d", "conv_transpose2d.input", "conv_transpose3d.input", "mm",
        "bmm", "addmm", "addbmm", "baddbmm", "linear", "matmul", "linalg_vecdot", "prelu",
        "scaled_dot_product_attention",
    )),
    fp32=frozenset((
        "avg_pool3d", "binary_cross_entropy", "grid_sampler", "polar", "prod", "prod.dim_int",
        "quantile", "cdist", "mse_loss", "cosine_embedding_loss", "nll_loss", "nll_loss2d",
        "hinge_embedding_loss", "poisson_nll_loss", "smooth_l1_loss", "cross_entropy_loss",
        "l1_loss", "huber_loss", "margin_ranking_loss", "soft_margin_loss", "triplet_margin_loss",
        "multi_margin_loss", "kl_div", "multilabel_margin_loss",
        "binary_cross_entropy_with_logits",
    )),
    fp32_output=frozenset(),
    widest=frozenset(),
)  # fmt: skip
