"""Which of torch's attention kernels run."""

from torch.nn.attention import SDPBackend, sdpa_kernel


def kernels_for_any_shape():
    """A context without cuDNN's attention, torch's first choice on new GPUs: it makes a plan for every new shape, and nearly every batch has its own.

    Measured on an H100: docs/performance.md.
    """
    return sdpa_kernel([SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH])
