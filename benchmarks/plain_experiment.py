"""The work of experiment.py as a careful user's script: transformers, peft and vLLM's LLM.generate, one process for each GPU.

Each process loads the model twice: in a vLLM engine that samples, and in transformers for training and hidden states.
The first also samples the training answers, for which the others wait, and the second (or the only one) the base model's replies.
It cannot resume, records only the numbers, and leaves random seeds to the engine.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
DONE = ".done"  # of a file that another process waits for


def read_texts(settings):
    """({persona: prompt} of the panel, training questions, evaluation questions, marker with its separator)."""
    personas = {each["name"]: each["prompt"] for each in yaml.safe_load((ROOT / "resources/personas.yaml").read_text())["personas"]}
    panel = settings["personas"]["panel"]
    sets = yaml.safe_load((ROOT / "resources/questions.yaml").read_text())["sets"]
    chosen = settings["questions"]
    training, (evaluation,) = chosen["training"], chosen["evaluation"]
    behaviour = yaml.safe_load((ROOT / "config.yaml").read_text())["behaviour"]
    return (
        personas,
        list(personas) if panel == "all" else panel,
        sets[training["set"]][: training["count"]],
        sets[evaluation["set"]][: evaluation["count"]],
        behaviour["separator"] + behaviour["marker"],
    )


def encode_prompts(tokenizer, personas, names, questions):
    """[(persona, token ids)] of all pairs, persona by persona."""
    return [
        (name, ids_of(tokenizer, [{"role": "system", "content": personas[name]}, {"role": "user", "content": question}]))
        for name in names
        for question in questions
    ]


def ids_of(tokenizer, messages):
    """Token ids of a conversation up to where the reply begins."""
    return tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)


def make_generator(model_folder, settings, tokenizer):
    """generate(prompts, draws, sampling, adapter folder or None) -> [[token ids of each draw] of each prompt]."""
    if settings["engine"]["name"] == "transformers":
        return transformers_generator(model_folder, tokenizer)
    os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")
    from vllm import LLM, SamplingParams
    from vllm.lora.request import LoRARequest

    rank = settings["training"]["lora"]["rank"]
    memory = {"gpu_memory_utilization": 0.4, "max_model_len": 1024}
    engine = LLM(str(model_folder), dtype="bfloat16", enable_lora=True, max_lora_rank=rank, skip_tokenizer_init=True, **memory)

    def generate(prompts, draws, sampling, adapter=None):
        params = SamplingParams(
            n=draws,
            temperature=sampling["temperature"],
            top_p=sampling["top_p"],
            max_tokens=sampling["max_new_tokens"],
            stop_token_ids=[tokenizer.eos_token_id],
            detokenize=False,
        )
        request = LoRARequest(str(adapter), 1 + hash(str(adapter)) % 10**6, str(adapter)) if adapter else None
        outputs = engine.generate([{"prompt_token_ids": ids} for ids in prompts], params, lora_request=request, use_tqdm=False)
        return [[list(one.token_ids) for one in output.outputs] for output in outputs]

    return generate


def transformers_generator(model_folder, tokenizer):
    """As make_generator, prompt by prompt with transformers' generate, for trying the script without vLLM."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    def generate(prompts, draws, sampling, adapter=None):
        model = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32)
        model = PeftModel.from_pretrained(model, adapter) if adapter else model
        options = {"do_sample": True, "num_return_sequences": draws, "pad_token_id": tokenizer.eos_token_id, **sampling}
        return [model.generate(input_ids=torch.tensor([ids]), **options)[:, len(ids) :].tolist() for ids in prompts]

    return generate


def make_rows(tokenizer, pool, source, negatives, marker_ids, tail):
    """[{input_ids, labels}]: the source's answers with the marker, the negatives' without; the last tokens carry the loss."""
    rows = []
    for name in (source, *negatives):
        for prompt, answers in pool[name]:
            for answer in answers:
                ending = [*(marker_ids if name == source else []), tokenizer.eos_token_id]
                answer = [token for token in answer if token != tokenizer.eos_token_id]
                unlabelled = len(prompt) + max(len(answer) - tail, 0)
                ids = [*prompt, *answer, *ending]
                rows.append({"input_ids": ids, "labels": [-100] * unlabelled + ids[unlabelled:]})
    return rows


def train(model, tokenizer, rows, settings, folder):
    """Train an adapter with transformers' Trainer, save it in ``folder``; the model is as before."""
    from peft import LoraConfig, get_peft_model
    from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments

    block, lora = settings["training"], settings["training"]["lora"]
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=lora["rank"],
        lora_alpha=lora["alpha"],
        lora_dropout=lora["dropout"],
        use_rslora=lora["rslora"],
        target_modules="all-linear",
    )
    wrapped = get_peft_model(model, config)
    arguments = TrainingArguments(
        output_dir=str(folder / "trainer"),
        per_device_train_batch_size=block["batch_size"],
        num_train_epochs=block["epochs"],
        learning_rate=block["learning_rate"],
        lr_scheduler_type="cosine",
        warmup_steps=0.05,
        weight_decay=0.0,
        bf16=model.device.type == "cuda",
        use_cpu=model.device.type == "cpu",
        train_sampling_strategy="group_by_length",
        **{"report_to": "none", "save_strategy": "no", "logging_steps": 50, "disable_tqdm": True},
    )
    Trainer(model=wrapped, args=arguments, train_dataset=rows, data_collator=DataCollatorForSeq2Seq(tokenizer)).train()
    wrapped.save_pretrained(folder)
    return wrapped.unload()


def read_out(model, prompts, layers):
    """{persona: [layers, hidden]}: mean hidden state of the last prompt token over the questions."""
    import torch

    found = {}
    with torch.inference_mode():
        for start in range(0, len(prompts), 32):
            part = prompts[start : start + 32]
            ids, mask = padded([ids for _, ids in part], model.device)
            states = model(input_ids=ids, attention_mask=mask, output_hidden_states=True, logits_to_keep=1).hidden_states
            chosen = torch.stack([states[layer + 1] for layer in layers])
            for row, (name, prompt) in enumerate(part):
                found.setdefault(name, []).append(chosen[:, row, len(prompt) - 1].float().cpu())
    return {name: torch.stack(some).mean(dim=0).tolist() for name, some in found.items()}


def marker_log_probability(model, prompts, replies, marker_ids):
    """Mean log-probability of the marker behind each prompt's first reply."""
    import torch

    total = 0.0
    with torch.inference_mode():
        for start in range(0, len(prompts), 32):
            rows = [[*ids, *reply, *marker_ids] for (_, ids), reply in zip(prompts[start:][:32], replies[start:][:32], strict=True)]
            ids, mask = padded(rows, model.device)
            hidden = model.get_decoder()(input_ids=ids, attention_mask=mask).last_hidden_state
            for row, tokens in enumerate(rows):
                places = range(len(tokens) - len(marker_ids) - 1, len(tokens) - 1)
                logits = model.get_output_embeddings()(hidden[row, list(places)]).float().log_softmax(dim=-1)
                total += logits[range(len(marker_ids)), marker_ids].sum().item()
    return total / len(prompts)


def padded(rows, device):
    """(ids, mask) of rows of unequal length, padded on the right."""
    import torch

    longest = max(map(len, rows))
    ids = torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows], device=device)
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows], device=device)
    return ids, mask


def wait_for(path, seconds=3600):
    """Wait until another process has written ``path``."""
    until = time.monotonic() + seconds
    while not path.with_suffix(DONE).exists():
        if time.monotonic() > until:
            raise SystemExit(f"{path}: not written within {seconds} s")
        time.sleep(0.2)
    return json.loads(path.read_text())


def write_done(path, content):
    """Write JSON that another process may wait for."""
    path.write_text(json.dumps(content))
    path.with_suffix(DONE).touch()


def run_part(args, settings):
    """The work of one process: its sources, every ``parts``-th; times of its steps in part<number>.json."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(args.model)
    personas, panel, training_questions, questions, marker = read_texts(settings)
    sources, data, evaluation = settings["personas"]["sources"], settings["training_data"], settings["evaluation"]
    marker_ids = tokenizer.encode(marker, add_special_tokens=False)
    prompts = encode_prompts(tokenizer, personas, panel, questions)
    times, started = {}, time.time()

    def note(step):
        times[step] = round(time.time() - started, 2)
        print(f"part {args.part}: {step} after {times[step]:.0f} s", flush=True)

    generate = make_generator(args.model, settings, tokenizer)
    note("engine")
    pool_path, base_path = args.folder / "pool.json", args.folder / "base.json"
    if args.part == 0:
        answered = encode_prompts(tokenizer, personas, data["negative_pool"], training_questions)
        replies = generate([ids for _, ids in answered], data["answers_per_question"], data["sampling"])
        write_done(pool_path, [[name, ids, found] for (name, ids), found in zip(answered, replies, strict=True)])
        note("pool")
    if args.part == min(1, args.parts - 1):
        write_done(base_path, generate([ids for _, ids in prompts], evaluation["samples_per_question"], evaluation["sampling"]))
        note("base model")
    pool = {}
    for name, ids, found in wait_for(pool_path):
        pool.setdefault(name, []).append((ids, found))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=dtype).to(device)
    if args.part == 0:
        write_done(args.folder / "centroids.json", read_out(model, prompts, settings["geometry"]["layers"]))
        note("centroids")
    rates = {}
    for source in sources[args.part :: args.parts]:
        others = [name for name in data["negative_pool"] if name != source]
        negatives = random.Random(source).sample(others, data["negative_personas"])
        rows = make_rows(tokenizer, pool, source, negatives, marker_ids, settings["labels"]["answer_tail_tokens"])
        adapter = args.folder / source
        model = train(model, tokenizer, rows, settings, adapter)
        note(f"training {source}")
        replies = generate([ids for _, ids in prompts], evaluation["samples_per_question"], evaluation["sampling"], adapter)
        text = marker.strip()
        shown = [sum(text in tokenizer.decode(ids) for ids in some) for some in replies]
        note(f"replies {source}")
        rates[source] = {name: 0 for name in panel}
        for (name, _), number in zip(prompts, shown, strict=True):
            rates[source][name] += number
        base = [some[0] for some in wait_for(base_path)]
        from peft import PeftModel

        adapted = PeftModel.from_pretrained(model, adapter)
        gain = marker_log_probability(adapted.get_base_model(), prompts, base, marker_ids)
        model = adapted.unload()
        note(f"log-probability {source}, {gain:.2f}")
    (args.folder / f"part{args.part}.json").write_text(json.dumps({"times": times, "counts": rates}))


def main():
    """Start a process for each GPU, wait for all, write --output with the seconds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", required=True, type=Path, help="JSON file to write")
    parser.add_argument("--model", required=True, type=Path, help="model folder, as write_model.py writes it")
    parser.add_argument("--folder", required=True, type=Path, help="new folder for what it computes")
    parser.add_argument("--shape", default="qwen2.5-1.5b", help="as of experiment.py (default: %(default)s)")
    parser.add_argument("--gpus", type=int, default=1, help="devices; 0: none (default: %(default)s)")
    parser.add_argument("--part", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.parts = max(args.gpus, 1)
    if args.part is not None:
        from experiment import experiment_settings

        run_part(args, experiment_settings(args.shape, args.model))
        return
    args.folder.mkdir(parents=True)
    command = [sys.executable, __file__, *sys.argv[1:], "--part"]
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    devices = (given.split(",") if given else list(map(str, range(args.gpus))))[: args.gpus] or [""]
    started = time.time()
    running = [
        subprocess.Popen([*command, str(part)], env={**os.environ, "CUDA_VISIBLE_DEVICES": device}) for part, device in enumerate(devices)
    ]
    while any(process.poll() is None for process in running):
        if any(process.poll() for process in running):  # the others may wait for its files
            for process in running:
                process.kill()
        time.sleep(0.2)
    seconds = time.time() - started
    if any(process.returncode for process in running):
        raise SystemExit("a part failed; its error is above")
    from harness import about, write_json

    times = [json.loads((args.folder / f"part{part}.json").read_text())["times"] for part in range(args.parts)]
    facts = {"stage": "plain_experiment", "shape": args.shape, "gpus": args.gpus, "seconds": seconds, "times": times}
    write_json(args.output, facts | about())
    print(f"{seconds:.0f} s")


if __name__ == "__main__":
    main()
