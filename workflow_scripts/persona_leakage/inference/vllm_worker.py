"""vLLM's GPU worker for an engine that shares the device with other processes, as vllm_engine.WORKER."""

from contextlib import suppress

from vllm.v1.worker.gpu_worker import Worker


class SharingWorker(Worker):
    """Falls asleep even if other processes take more of the device's memory meanwhile than this one frees."""

    def sleep(self, level=1):
        """As Worker.sleep, which frees memory and then asserts that the used memory of the whole device has not grown."""
        with suppress(AssertionError):
            super().sleep(level)
