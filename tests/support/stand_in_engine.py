"""The process of a shared engine with a stand-in for vLLM. A reply's text is the adapter's name, its finish reason the process's number.

A request's question is an order: wait, be slow, refuse, fail, or say where the adapter is. So is the setting dtype: refused, broken, slow.
"""

import os
import sys
import time
from types import SimpleNamespace

from persona_leakage.inference import engine_server
from persona_leakage.infrastructure.cli import InputError, run_program
from persona_leakage.models.loading import load_tokenizer


class VllmEngine:
    """What engine_server uses of the class of the same name."""

    def __init__(self, folder, tokenizer, stop_ids, dtype, device, longest, rank, sleeps):
        if dtype == "refused":
            raise InputError("engine.precision: is refused")
        if dtype == "broken":
            raise RuntimeError("no kernel image")
        if dtype == "slow":
            time.sleep(60)
        self.awake, self.tokenizer = True, load_tokenizer(folder)

    def use(self, adapter):
        self.adapter = adapter

    def check(self, requests):
        if requests[0].question == "refuse":
            raise InputError("the adapter has no effect")

    def sleep(self):
        self.awake = False
        print("sleeps", flush=True)

    def wake_up(self):
        self.awake = True

    def sample_ids(self, more, sampling):
        self.say("it samples")
        while requests := more(5, wait=True):
            for request in requests:
                yield self.reply(request)

    def reply(self, request):
        assert self.awake
        if request.question == "wait":
            time.sleep(0.2)
        if request.question == "slow":
            time.sleep(0.005)
        if request.question == "fail":
            raise RuntimeError("CUDA error")
        text = self.adapter.state if self.adapter else "base"
        text = self.adapter.folder if request.question == "where" else text
        return request, self.tokenizer.encode(text), str(os.getpid())


if __name__ == "__main__":
    sys.modules["persona_leakage.inference.vllm_engine"] = SimpleNamespace(VllmEngine=VllmEngine)
    run_program(engine_server.main)
