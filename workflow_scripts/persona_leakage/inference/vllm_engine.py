"""The vLLM sampling engine, which applies adapters without merging them."""

import json
import os
import subprocess
import sys
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")  # a forked engine cannot use a GPU that its parent has asked about
os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")  # GiB; without it vLLM takes half of the host's memory
# Triton's default. A process that compiles the model would keep the other kernels elsewhere, so that the next one compiles them again.
os.environ.setdefault("TRITON_CACHE_DIR", str(Path(os.environ.get("TRITON_HOME", "~")).expanduser() / ".triton/cache"))

import torch

from persona_leakage.inference import vllm_start

if torch.cuda.is_available():  # the engine in this process was tried on GPUs alone
    os.environ.update(vllm_start.variables(vllm_start.START))

import psutil
from safetensors.torch import load_file, save_file
from vllm import EngineArgs, LLMEngine
from vllm import SamplingParams as VllmSampling
from vllm.lora.request import LoRARequest
from vllm.sampling_params import RequestOutputKind
from vllm.usage.usage_lib import UsageContext

from persona_leakage.inference.adapter_check import fault_of, largest_difference
from persona_leakage.inference.requests import completion_of
from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import read_json
from persona_leakage.infrastructure.gpu_lease import MEMORY_USED, SHARE, jobs_per_device
from persona_leakage.models.saved_adapter import CONFIG, WEIGHTS, Adapter, rank_of

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # what vLLM accepts as max_lora_rank
GATE_PROMPTS, GATE_TOKENS = 8, 8
OFFLINE = UsageContext.LLM_CLASS  # vLLM's choice of max_num_seqs for offline work: 1024, not 128, on a large GPU
GIB = 2**30
WORKER = "persona_leakage.inference.vllm_worker.SharingWorker"
MORE = 32  # requests that vLLM gets at least before a step, which fills it up to AT_ONCE; to add 11,100 at once takes two seconds
WORKSPACE = 6 * GIB  # of an engine, for activations, CUDA graphs and adapters; a 1.5B model on an H200 used less


class VllmEngine:
    """Samples replies with vLLM; one instance per loaded model, for adapters of one rank in turn.

    Each reply is a request with its own seed; prefix caching shares its prompt. Replies with the adapter and of the base model are
    never in one batch: they come back wrong in some versions (vllm#48421). On a GPU replies are the same only up to rounding.
    """

    def __init__(self, folder, tokenizer, stop_ids, dtype, device, longest, adapter=None, rank=None, sleeps=False):
        """folder: model folder; tokenizer: None for sample_ids alone; longest: tokens of the longest prompt and reply together.

        adapter: None samples the base model; rank: of the adapters that can be used (default: of ``adapter``);
        sleeps: whether it is to free the GPU's memory between uses.
        """
        if rank is None and adapter:
            rank = rank_of(adapter)
        if rank and device == "cuda" and dtype == "float32":
            raise InputError(
                "engine.precision: float32 is not possible with engine.name: vllm on a GPU, whose adapter kernels take bfloat16"
            )
        self.tokenizer, self.stop_ids = tokenizer, sorted(stop_ids)
        self.sleeps, self.asleep = sleeps and device == "cuda", False
        self.say = partial(print, flush=True)
        arguments = {
            "model": str(Path(folder).resolve()),
            "skip_tokenizer_init": True,  # token ids in, token ids out
            "generation_config": "vllm",  # nothing from the model's own sampling defaults
            "dtype": dtype,
            "max_model_len": vllm_start.model_length(folder, longest),
            "enable_prefix_caching": True,
            "enable_sleep_mode": self.sleeps,
            "enforce_eager": device == "cpu",  # compiling takes minutes there; on a GPU graphs are what makes it fast
            # A prompt split over two steps makes vLLM rewind its request's random generator, which a CPU's cannot.
            "enable_chunked_prefill": device != "cpu",
            "disable_log_stats": True,
            **lora_arguments(rank),
        }
        if device == "cuda":
            if (runner := vllm_start.model_runner(folder)) is not None:
                os.environ[vllm_start.RUNNER] = runner  # for every engine of this process: a workflow's job starts one
            arguments |= {"enable_flashinfer_autotune": False, "worker_cls": WORKER}
            arguments |= vllm_start.compilation_arguments(vllm_start.START, replies_at_once(arguments))
            arguments |= memory_arguments(*torch.cuda.mem_get_info(), weight_bytes(folder), jobs_per_device())
        self.engine = LLMEngine.from_engine_args(EngineArgs(**arguments), usage_context=OFFLINE)
        end_with_this_process([process.pid for process in psutil.Process().children(recursive=True)])
        self.sent = self.used = 0
        self.use(adapter)

    def use(self, adapter):
        """Sample with ``adapter`` from now on, None: with the base model."""
        self.adapter, self.checked = adapter, adapter is None
        self.used += 1
        self.engine.reset_prefix_cache()

    def sleep(self):
        """Free the GPU's memory but for what a process needs at least; the weights go to the host's."""
        if self.sleeps:
            self.engine.sleep()
            self.asleep = True

    def wake_up(self):
        """Undo sleep, if it sleeps."""
        if self.asleep:
            self.engine.wake_up()
            self.asleep = False

    def sample(self, requests, sampling):
        """Yield a :class:`Completion` for each of ``requests``, in the order in which they finish, after check_adapter."""
        requests = list(requests)
        self.check(requests)
        for reply in self.sample_ids(taken_from(requests), sampling):
            yield completion_of(*reply, self.tokenizer)

    def check(self, requests):
        """check_adapter with prompts of ``requests``, once for each use of an adapter."""
        if not self.checked:
            self.check_adapter(requests)
            self.checked = True

    def sample_ids(self, more, sampling):
        """Yield (request, token ids, finish reason) for each request of ``more``, in the order in which they finish.

        more(count, wait): an iterable of at most ``count`` further requests; with ``wait`` it is empty only after the last one.
        """
        lora = lora_request(self.adapter, 2 * self.used) if self.adapter else None
        for request, output in self._run(more, lora, **vars(sampling)):
            ids = list(output.token_ids)
            if output.finish_reason == "stop" and ids[-1] in self.stop_ids:
                ids.pop()
            yield request, ids, output.finish_reason

    def check_adapter(self, requests):
        """InputError unless a copy of the adapter with B = 0 gives the base model's log-probabilities and the adapter others.

        Guards against an engine that drops an adapter silently: eight prompts, greedily, in three calls, each from an empty prefix cache.
        """
        adapter = self.adapter
        distinct = list({request.prompt_ids: request for request in requests}.values())[:GATE_PROMPTS]
        base = self._greedy_logprobs(distinct, None)
        with TemporaryDirectory() as folder:
            idle = write_idle_copy(adapter, folder)
            idle_difference = largest_difference(base, self._greedy_logprobs(distinct, lora_request(idle, 2 * self.used + 1)))
        difference = largest_difference(base, self._greedy_logprobs(distinct, lora_request(adapter, 2 * self.used)))
        self.say(f"{adapter.state}: log-probabilities move by {difference:.3g} with the adapter, {idle_difference:.3g} with B = 0")
        if fault := fault_of(difference, idle_difference):
            raise InputError(f"{adapter.folder}, engine vllm: {fault}")

    def _greedy_logprobs(self, requests, lora):
        """{prompt ids: [(token id, log-probability)]} of short greedy replies."""
        self.engine.reset_prefix_cache()
        done = self._run(taken_from(requests), lora, temperature=0, top_p=1.0, max_new_tokens=GATE_TOKENS, logprobs=0)
        return {
            request.prompt_ids: [(token, step[token].logprob) for token, step in zip(output.token_ids, output.logprobs, strict=True)]
            for request, output in done
        }

    def _run(self, more, lora, **sampling):
        """Yield (request, vLLM's finished output) for all requests of ``more`` (see sample_ids)."""
        sent = {}
        while True:
            sent |= self.send(more(max(MORE, vllm_start.AT_ONCE - len(sent)), wait=not sent), lora, **sampling)
            if not sent:
                return
            for output in self.engine.step():
                if output.finished:
                    yield sent.pop(output.request_id), output.outputs[0]

    def send(self, requests, lora, temperature, top_p, max_new_tokens, logprobs=None):
        """Give ``requests`` to vLLM; {its id: request}. lora: from lora_request, or None."""
        sent = {}
        for request in requests:
            self.sent += 1
            sent[str(self.sent)] = request
            params = VllmSampling(
                temperature=temperature,
                top_p=top_p,
                max_tokens=max_new_tokens,
                seed=request.seed,
                stop_token_ids=self.stop_ids,
                logprobs=logprobs,
                detokenize=False,
                output_kind=RequestOutputKind.FINAL_ONLY,
            )
            self.engine.add_request(str(self.sent), {"prompt_token_ids": list(request.prompt_ids)}, params, lora_request=lora)
        return sent


def taken_from(requests):
    """A list of requests as sample_ids takes them."""
    left = iter(requests)
    return lambda count, wait: islice(left, count)


def end_with_this_process(pids):
    """Have ``pids`` killed when this process ends, even when it is killed: vLLM's engine would live on with the GPU's memory."""
    watcher = "import os, sys; sys.stdin.read()\nfor pid in sys.argv[1:]:\n  try: os.kill(int(pid), 9)\n  except ProcessLookupError: pass"
    if pids:
        subprocess.Popen([sys.executable, "-c", watcher, *map(str, pids)], stdin=subprocess.PIPE, start_new_session=True)


def replies_at_once(arguments):
    """How many replies vLLM will have in progress with ``arguments``."""
    return EngineArgs(**arguments).create_engine_config(OFFLINE).scheduler_config.max_num_seqs


def weight_bytes(folder):
    """Size of the weight files in a model folder."""
    return sum(path.stat().st_size for path in Path(folder).glob("*.safetensors"))


def memory_arguments(free, total, weights, jobs):
    """Engine arguments for one of ``jobs`` engines on a device of ``total`` bytes; {} for one alone, which measures what is free.

    free: bytes, less than total where engines of other runs sleep; weights: bytes of the model's. Several engines would measure each
    other's memory, so each gets a fixed cache for keys and values. InputError if less than 1 GiB is left for it.
    """
    if jobs == 1:
        # vLLM starts only where its share, 0.92, is free.
        return {} if free > 0.93 * total else {"gpu_memory_utilization": int(100 * free / total) / 100 - 0.01}
    cache = int(total * MEMORY_USED / jobs - weights - WORKSPACE)
    if cache < GIB:
        most = max(int(total * MEMORY_USED // (weights + WORKSPACE + GIB)), 1)
        raise InputError(f"{SHARE}: {jobs} engines of this model do not fit on a device of {total / GIB:.0f} GiB; at most {most} do")
    return {"gpu_memory_utilization": MEMORY_USED / jobs, "kv_cache_memory_bytes": cache}


def lora_arguments(rank):
    """Engine arguments for adapters of a ``rank``; {} for the base model alone (None)."""
    if rank is None:
        return {}
    if rank > RANKS[-1]:
        raise InputError(f"training.lora.rank: {rank} is more than vLLM's largest, {RANKS[-1]}")
    # Two stay in host memory: the adapter and its idle copy.
    return {"enable_lora": True, "max_loras": 1, "max_cpu_loras": 2, "max_lora_rank": min(r for r in RANKS if r >= rank)}


def lora_request(adapter, number=1):
    """vLLM's handle of an adapter. It keys its caches by name and number alone, so each use of an adapter has a ``number`` of its own."""
    name = f"{adapter.state.replace('/', '-')}-{adapter.sha256[:12]}-{number}"
    return LoRARequest(name, number, str(Path(adapter.folder).resolve()))


def write_idle_copy(adapter, folder):
    """A copy of ``adapter`` in ``folder`` with B = 0, so that it changes nothing."""
    weights = load_file(Path(adapter.folder) / WEIGHTS)
    save_file({name: tensor * 0 if "lora_B" in name else tensor for name, tensor in weights.items()}, Path(folder) / WEIGHTS)
    (Path(folder) / CONFIG).write_text(json.dumps(read_json(Path(adapter.folder) / CONFIG)), encoding="utf-8")
    return Adapter(f"{adapter.state}-idle", folder, adapter.sha256[::-1])
