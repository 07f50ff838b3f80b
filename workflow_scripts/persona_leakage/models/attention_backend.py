"""Which of torch's attention kernels run."""

from torch.nn.attention import SDPBackend, sdpa_kernel


def kernels_for_any_shape():
    """A context without cuDNN's attention, torch's first choice on new GPUs.

    It is slow where a batch has a shape that it has not met, and nearly every batch has its own (docs/performance.md).
    """
    return sdpa_kernel([SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH])
