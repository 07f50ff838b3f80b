"""Forward and backward passes as CUDA graphs: a GPU gets all kernels of a pass in one call.

A pass of a small model has thousands of kernels, and starting them from Python takes longer than the kernels themselves.
"""

import torch

from persona_leakage.infrastructure.gpu_lease import MEMORY_USED, jobs_per_device
from persona_leakage.models.out_of_memory import is_out_of_memory
from persona_leakage.training.labels import IGNORED

LARGEST_MODEL = 3e9  # parameters; on an H200 a pass of 1.5 billion took half the time as a graph, one of 7 billion none less


class Passes:
    """Runs the passes of micro-batches on a device. On a GPU, a shape that comes a second time becomes a CUDA graph.

    So that shapes recur, rows and labels are padded there to ``padded`` sizes. A graph holds the addresses of the gradients, which must
    stay. Dropout draws from torch's default generator, whose seed counts at each replay.
    """

    def __init__(self, run, device, parameters):
        """run(input_ids, attention_mask, places, divisor): computes a pass on tensors of the ``device`` and returns its loss.

        parameters: how many the model has; one of more than LARGEST_MODEL gets no graphs.
        """
        self.run, self.device = run, device
        self.capturing = device == "cuda" and parameters <= LARGEST_MODEL
        self.forget()

    def forget(self):
        """Give up all graphs, and their memory."""
        self.seen, self.graphs, self.pool = set(), {}, None

    def padded(self, size):
        """``size`` rounded up to a number of at most four binary digits and zeros, less than an eighth more; as it is without graphs."""
        return round_up(size) if self.capturing else size

    def __call__(self, input_ids, attention_mask, places, divisor):
        """The loss of a pass (scalar on the device), from tensors in host memory."""
        if not self.capturing:
            return self.run(*self.on_device((input_ids, attention_mask, places, divisor)))
        given = (input_ids, attention_mask, pad_places(places, round_up(places.shape[1])), divisor)
        shape = (*input_ids.shape, given[2].shape[1])
        if shape not in self.graphs and shape in self.seen and self.has_room():
            self.capture(shape, given)
        self.seen.add(shape)
        if shape not in self.graphs:
            return self.run(*self.on_device(given))
        graph, inputs, loss = self.graphs[shape]
        for tensor, new in zip(inputs, given, strict=True):
            tensor.copy_(new, non_blocking=True)
        graph.replay()
        return loss.clone()  # the next replay of any graph writes over it

    def on_device(self, tensors):
        return [tensor.to(self.device, non_blocking=True) for tensor in tensors]

    def has_room(self):
        """Whether twice the memory used so far is this job's: a graph keeps its pass's memory, and passes without one need theirs."""
        share = torch.cuda.get_device_properties(self.device).total_memory * MEMORY_USED / jobs_per_device()
        return 2 * torch.cuda.max_memory_allocated() <= share

    def capture(self, shape, given):
        """Make the graph of a shape; without, from now on, for a model whose pass cannot be captured."""
        graph, inputs = torch.cuda.CUDAGraph(), self.on_device(given)
        try:
            with torch.cuda.graph(graph, pool=self.pool):
                loss = self.run(*inputs)
        except RuntimeError as error:
            self.capturing = False
            self.forget()
            if not is_out_of_memory(error):
                print(f"training goes on without CUDA graphs: {' '.join(str(error).split())[:200]}", flush=True)
            return
        self.pool = graph.pool()
        self.graphs[shape] = (graph, inputs, loss)


def round_up(size):
    """The next number of at most four binary digits followed by zeros."""
    step = 1 << max(size.bit_length() - 4, 0)
    return -(-size // step) * step


def pad_places(places, count):
    """``places`` [3, tokens] filled up to [3, count] with places whose id is no label."""
    filled = torch.zeros(3, count, dtype=torch.long)
    filled[2] = IGNORED
    filled[:, : places.shape[1]] = places
    return filled
