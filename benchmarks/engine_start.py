"""How long the workflow's vLLM engine takes to start, phase by phase, and how fast it then samples; several at once on a device.

Each engine is a process of its own, as a job of the workflow. A variant is a name of vllm_start.STARTS, or SHARED: the engine that
the workflow's jobs share, taken over by the adapter's job from one of the base model.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import threading
import time
from contextlib import nullcontext
from pathlib import Path

import psutil

from harness import ROOT, about
from persona_leakage.infrastructure.files import read_json, write_json
from persona_leakage.infrastructure.gpu_lease import SHARE, VISIBLE

# (phase, pattern of the line that ends it): vLLM's at INFO, and this program's own, which begin with "@". The last line counts.
PHASES = (
    ("imports", "@imported"),
    ("config", "@configured"),
    ("engine process", "Initializing a V1 LLM engine"),
    ("device", "Loading model from scratch|Starting to load model"),
    ("weights", "Model loading took"),
    ("compile", r"Directly load AOT compilation|torch\.compile (took|and initial profiling)|saved AOT compiled function"),
    ("profile", "GPU KV cache size"),
    ("graphs", "Graph capturing finished"),
    ("warmup", r"init engine \(profile"),
    ("ready", "@ready"),
    ("adapter check", "@checked"),
    ("first reply", "@first reply"),
    ("sampling", "@done"),
)
CHECKED, CHECK_TOKENS, HEAD_START = 64, 16, 4
MARKER = "[ZLT]"
SHARED = "shared"


def phases_of(lines, started):
    """{phase: seconds} from (time, text) of an engine's output, in order; a phase without its line is part of the next one."""
    found, before = {}, started
    for phase, pattern in PHASES:
        times = [at for at, text in lines if re.search(pattern, text) and at >= before]
        if times:
            found[phase] = round(times[-1] - before, 2)
            before = times[-1]
    return found


def start(args, number, folder):
    """(process, its lines so far, thread that reads them, start time) of one engine."""
    command = [sys.executable, __file__, "--only", str(number), "--variant", args.variant, "--model", str(args.model)]
    command += ["--output", str(folder / f"engine{number}.json"), "--replies", str(args.replies)]
    command += ["--tokens", str(args.tokens)]
    command += ["--adapter", str(args.adapter)] if args.adapter else []
    variables = {"VLLM_LOGGING_LEVEL": "INFO", "PYTHONUNBUFFERED": "1", VISIBLE: args.device, SHARE: str(args.share or args.engines)}
    started, lines = time.time(), []
    process = subprocess.Popen(command, env={**os.environ, **variables}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def read():
        for line in process.stdout:
            lines.append((time.time(), line.rstrip("\n")))

    reader = threading.Thread(target=read)
    reader.start()
    return process, lines, reader, started


def run_engine(args):
    """One engine in this process: start, check the adapter, sample; writes tokens, seconds and greedy log-probabilities to --output."""
    from persona_leakage.infrastructure.files import sha256_of_file
    from persona_leakage.models.loading import load_tokenizer, pick_device
    from persona_leakage.models.saved_adapter import WEIGHTS, Adapter

    tokenizer = load_tokenizer(args.model)
    requests = make_work(tokenizer, args.replies, int(args.only))
    adapter = Adapter("bench/seed0", str(args.adapter), sha256_of_file(args.adapter / WEIGHTS)) if args.adapter else None
    longest = max(len(request.prompt_ids) for request in requests) + args.tokens
    settings = {"folder": str(args.model), "stop_ids": [tokenizer.eos_token_id], "dtype": "bfloat16", "device": pick_device()}
    settings["longest"] = longest
    if args.variant == SHARED:
        outcome = sample(take_shared(settings, adapter, requests), requests, args.tokens)
    else:
        outcome = sample_own(args, settings, tokenizer, adapter, requests)
    write_json(args.output, outcome | {"about": about()})


def take_shared(settings, adapter, requests):
    """The engine that an adapter's job takes over from the base model's; the parent process acts as the Snakemake that owns engines."""
    from persona_leakage.inference.requests import SamplingParams
    from persona_leakage.inference.shared_engine import take_engine
    from persona_leakage.models.saved_adapter import rank_of

    owner, settings = psutil.Process(os.getppid()), settings | {"rank": rank_of(adapter) if adapter else None}
    base = take_engine(owner, settings, [], None, nullcontext())
    list(base.sample(requests[:CHECKED], SamplingParams(1.0, 0.95, CHECK_TOKENS)))
    engine = take_engine(owner, settings, [], adapter, nullcontext())
    print("@ready", flush=True)
    return engine


def sample_own(args, settings, tokenizer, adapter, requests):
    """The outcome of an engine of this process."""
    from persona_leakage.inference import vllm_start

    vllm_start.START = vllm_start.STARTS[args.variant]
    from persona_leakage.inference import vllm_engine

    print("@imported", flush=True)
    announce_configs(vllm_engine.EngineArgs)
    engine = vllm_engine.VllmEngine(tokenizer=tokenizer, adapter=adapter, sleeps=True, **settings)
    print("@ready", flush=True)
    if adapter:
        engine.check_adapter(requests)
        engine.checked = True
        print("@checked", flush=True)
    lora = vllm_engine.lora_request(adapter) if adapter else None
    return sample(engine, requests, args.tokens) | {"greedy": greedy(engine, requests, lora)}


def announce_configs(engine_args):
    """Have vLLM's making of a config say when it is done."""
    make = engine_args.create_engine_config

    def announced(*given, **named):
        config = make(*given, **named)
        print("@configured", flush=True)
        return config

    engine_args.create_engine_config = announced


def make_work(tokenizer, replies, engine_number):
    """Requests for ``replies`` of all personas to all evaluation questions, in the workflow's order."""
    from persona_leakage.config.personas import read_personas, read_question_sets
    from persona_leakage.inference.requests import make_requests
    from persona_leakage.models.chat_template import prompt_ids

    personas = read_personas(ROOT / "resources/personas.yaml").values()
    questions = read_question_sets(ROOT / "resources/questions.yaml")["evaluation"]
    prompts = [(each.name, question, prompt_ids(tokenizer, each.prompt, question)) for each in personas for question in questions]
    draws = -(-replies // len(prompts))
    return make_requests(prompts, draws, (engine_number,))[:replies]


def sample(engine, requests, limit):
    """{replies, tokens, begin, end, shown} of sampling all ``requests`` as the presets do, with a limit of tokens.

    shown: {persona: [replies, those with the marker]}; all 0 with random weights.
    """
    from persona_leakage.inference.requests import SamplingParams

    begin, completions = time.time(), []
    for completion in engine.sample(requests, SamplingParams(temperature=1.0, top_p=0.95, max_new_tokens=limit)):
        if not completions:
            print("@first reply", flush=True)
        completions.append(completion)
    print("@done", flush=True)
    times, shown = {"begin": begin, "end": time.time()}, {}
    for completion in completions:
        counts = shown.setdefault(completion.request.persona, [0, 0])
        counts[0] += 1
        counts[1] += MARKER in completion.text
    return {"replies": len(completions), "tokens": sum(len(each.token_ids) for each in completions), "shown": shown, **times}


def greedy(engine, requests, lora):
    """[[token, log-probability] of each step] of short greedy replies: half begin while others are at work, so that batches are mixed."""
    distinct = list({request.prompt_ids: request for request in requests}.values())[:CHECKED]
    engine.engine.reset_prefix_cache()
    sent, done = {}, {}
    for part in (distinct[::2], distinct[1::2]):
        sent |= engine.send(part, lora, temperature=0, top_p=1.0, max_new_tokens=CHECK_TOKENS, logprobs=0)
        steps = HEAD_START if part[:1] == distinct[:1] else None
        while engine.engine.has_unfinished_requests() and steps != 0:
            for output in engine.engine.step():
                if output.finished:
                    done[sent[output.request_id].prompt_ids] = output.outputs[0]
            steps = steps and steps - 1
    outputs = [done[request.prompt_ids] for request in distinct]
    return [[[token, step[token].logprob] for token, step in zip(output.token_ids, output.logprobs, strict=True)] for output in outputs]


def main():
    """Write --output: seconds of each phase in each engine, tokens a second of the device."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--output", required=True, type=Path, help="JSON file to write; logs of the engines go to a folder of the same name"
    )
    parser.add_argument("--model", required=True, type=Path, help="model folder, such as write_model.py writes")
    parser.add_argument("--adapter", type=Path, help="adapter folder (default: the base model)")
    parser.add_argument("--shape", default="qwen2.5-1.5b", help="name of the model's shape, for the page (default: %(default)s)")
    parser.add_argument("--variant", default="vllm", help="a name of vllm_start.STARTS, or shared (default: %(default)s)")
    parser.add_argument("--engines", type=int, default=1, help="engines at once on the device (default: %(default)s)")
    parser.add_argument("--share", type=int, help="engines among which the device's memory is divided (default: --engines)")
    parser.add_argument("--replies", type=int, default=2220, help="of each engine (default: %(default)s)")
    parser.add_argument("--tokens", type=int, default=100, help="at most, of each reply (default: %(default)s)")
    parser.add_argument("--device", default="0", help="number of the GPU (default: %(default)s)")
    parser.add_argument("--against", type=Path, help="--output of another variant, to compare greedy replies and rates")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only is not None:
        run_engine(args)
        return
    folder = args.output.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    running = [start(args, number, folder) for number in range(args.engines)]
    for number, (process, lines, reader, _) in enumerate(running):
        code = process.wait()
        reader.join()
        (folder / f"engine{number}.log").write_text("\n".join(f"{at:.2f} {text}" for at, text in lines), encoding="utf-8")
        if code:
            print(f"engine {number} ended with exit code {code}; see {folder}/engine{number}.log", file=sys.stderr)
    finished = [number for number, (process, *_) in enumerate(running) if process.returncode == 0]
    outcomes = [read_json(folder / f"engine{number}.json") for number in finished]
    for number, outcome in zip(finished, outcomes, strict=True):
        _, lines, _, started = running[number]
        outcome |= {"phases": phases_of(lines, started)}
        outcome.pop("greedy", None)  # stays in the engine's own file
    result = {
        "stage": "engine_start",
        "shape": args.shape,
        "variant": args.variant,
        "engines": args.engines,
        "failed": len(running) - len(finished),
        **summarise(outcomes),
        "outcomes": outcomes,
    }
    facts = [outcome.pop("about") for outcome in outcomes] or [about()]
    result |= facts[0]
    write_json(args.output, result)
    if args.against and outcomes:
        from engine_agreement import compare_outputs  # imports SciPy, which an engine's process need not

        result["against"] = compare_outputs(args.output, args.against)
        write_json(args.output, result)
    for key in ("variant", "engines", "failed", "phases", "seconds_to_first_reply", "tokens_per_second", "against"):
        print(f"{key}: {result.get(key)}")
    if result["failed"]:
        raise SystemExit(1)


def summarise(outcomes):
    """{phases, seconds to the first reply: medians over the engines; tokens a second of the device, first begin to last end}."""
    if not outcomes:
        return {}
    names = [phase for phase, _ in PHASES if any(phase in outcome["phases"] for outcome in outcomes)]
    phases = {name: statistics.median(outcome["phases"].get(name, 0) for outcome in outcomes) for name in names}
    seconds = max(outcome["end"] for outcome in outcomes) - min(outcome["begin"] for outcome in outcomes)
    return {
        "phases": phases,
        "seconds_to_first_reply": statistics.median(
            sum(outcome["phases"].values()) - outcome["phases"]["sampling"] for outcome in outcomes
        ),
        "tokens_per_second": sum(outcome["tokens"] for outcome in outcomes) / seconds,
    }


if __name__ == "__main__":
    main()
