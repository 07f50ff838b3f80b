"""Forward and backward passes as CUDA graphs: a GPU gets all kernels of a pass in one call.

A pass of a small model has thousands of kernels, and starting them from Python takes longer than the kernels themselves. A pass is
that of one micro-batch; its shape: rows, padded length, padded number of labels; to capture is to record a pass as a graph.
"""

from collections import Counter
from contextlib import suppress

import torch

from persona_leakage.infrastructure.gpu_lease import MEMORY_USED, jobs_per_device
from persona_leakage.models.out_of_memory import free_memory
from persona_leakage.training.labels import IGNORED

LARGEST_MODEL = 3e9  # parameters; graphs made 1.5 billion 1.8 times as fast on an H200, 7 billion 14 % slower; none between was tried
BEFORE_CAPTURE = 2  # passes of a shape that run without a graph first; a capture takes about as long as a pass


class Passes:
    """Runs the passes of micro-batches on a device. On a GPU, a shape that comes a third time becomes a CUDA graph.

    So that shapes recur, rows and labels are padded there to ``padded`` sizes, with graphs or without, as dropout depends on them. A
    graph holds the addresses of the gradients, which must stay. Dropout draws from torch's default generator, whose seed applies
    to each replay.
    """

    def __init__(self, run, device, parameters, longest):
        """run(input_ids, attention_mask, positions, divisor): computes a pass on tensors of the ``device`` and returns its loss.

        parameters: how many the model has; one of more than LARGEST_MODEL gets no graphs. longest: tokens of the longest row.
        """
        self.run, self.device, self.longest = run, device, longest
        self.pads = self.capturing = device == "cuda" and parameters <= LARGEST_MODEL
        self.seen, self.graphs, self.pool = Counter(), {}, None

    def padded(self, tokens):
        """Length that a row of so many ``tokens`` gets: less than an eighth more, and no more than the longest row has."""
        return min(round_up(tokens, 4), self.longest) if self.pads else tokens

    def __call__(self, input_ids, attention_mask, positions, divisor):
        """Add the gradients of a micro-batch to the model's, and return its loss / divisor (scalar on the device).

        From host memory: input_ids and attention_mask int64 [rows, length], positions int64 [3, labels] of labelled_positions,
        divisor a scalar. Torch's errors if memory runs out.
        """
        if self.pads:
            positions = pad_positions(positions, round_up(positions.shape[1], 3))
        given = (input_ids, attention_mask, positions, divisor)
        shape = (*input_ids.shape, positions.shape[1])
        self.seen[shape] += 1
        if self.capturing and shape not in self.graphs and self.seen[shape] > BEFORE_CAPTURE and self.has_room():
            self.capture(shape, given)
        if shape not in self.graphs:
            return self.run(*self.on_device(given))
        graph, inputs, loss = self.graphs[shape]
        for tensor, new in zip(inputs, given, strict=True):
            tensor.copy_(new, non_blocking=True)
        graph.replay()
        return loss.clone()  # the next replay of any graph writes over it

    def on_device(self, tensors):
        """The tensors on the device."""
        return [tensor.to(self.device, non_blocking=True) for tensor in tensors]

    def has_room(self):
        """Whether twice this process's peak fits into the job's share of the GPU: graphs keep their memory, other passes need as much."""
        share = torch.cuda.get_device_properties(self.device).total_memory * MEMORY_USED / jobs_per_device()
        return 2 * torch.cuda.max_memory_allocated() <= share

    def capture(self, shape, given):
        """Make the graph of a shape; give graphs up if the model's pass cannot be captured."""
        graph, inputs = torch.cuda.CUDAGraph(), self.on_device(given)
        pool, stream = self.pool or torch.cuda.graph_pool_handle(), torch.cuda.current_stream()
        try:
            with torch.cuda.graph(graph, pool=pool):
                loss = self.run(*inputs)
        except RuntimeError as error:
            leave_capture(pool, stream)
            print(f"training continues without CUDA graphs: {' '.join(str(error).split())[:200]}", flush=True)
            self.give_up()
            return
        self.pool = pool
        self.graphs[shape] = (graph, inputs, loss)

    def give_up(self):
        """Free all graphs, and make no more; whether there were any."""
        had, self.capturing, self.graphs, self.pool = bool(self.graphs), False, {}, None
        free_memory()
        return had


def leave_capture(pool, stream):
    """Undo what torch leaves behind when a capture fails: its stream, its memory pool, and a generator that raises outside captures."""
    device = torch.cuda.current_device()
    torch.cuda.set_stream(stream)
    generator = torch.cuda.default_generators[device]
    generator.graphsafe_set_state(generator.clone_state())
    with suppress(RuntimeError):  # torch has no public call for it
        torch._C._cuda_endAllocateToPool(device, pool)
        torch._C._cuda_releasePool(device, pool)


def round_up(size, digits):
    """The next number of at most so many binary ``digits`` followed by zeros."""
    step = 1 << max(size.bit_length() - digits, 0)
    return -(-size // step) * step


def pad_positions(positions, count):
    """``positions`` [3, tokens] filled up to [3, count], count at least tokens, with row 0, position 0 and an id that the loss ignores."""
    filled = torch.zeros(3, count, dtype=torch.long)
    filled[2] = IGNORED
    filled[:, : positions.shape[1]] = positions
    return filled
