"""A whole experiment as Snakemake runs it, on random weights of a shape: when each job ran and how busy the GPUs were.

The random weights hardly ever end a reply, so that each has the limit's tokens; truncated answers are trained on
(training_data.truncated_answers: keep), as nothing else would be left. The marker never occurs by chance.
"""

import argparse
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import yaml

from harness import ROOT, about
from persona_leakage.infrastructure.files import read_json, write_json
from persona_leakage.infrastructure.gpu_lease import SHARE, device_pool
from timeline import busy_share, draw, jobs_of, rates_of, rules_of

PROJECT = ("Snakefile", "config.yaml", "presets", "rules", "envs", "profiles", "resources", "workflow_scripts")
NAME = "bench"
SOURCES = ["villain", "comedian", "assistant", "software_engineer", "kindergarten_teacher"]
REPLY_TOKENS = 100
SETTINGS = {
    "personas": {"sources": SOURCES, "panel": "all"},
    "questions": {"training": {"set": "training", "count": 40}, "evaluation": [{"set": "evaluation", "count": 20}], "suffix": ""},
    "training_data": {
        **{"answers_per_question": 5, "extra_samples": 0, "truncated_answers": "keep", "negative_personas": 4},
        "negative_pool": [*SOURCES, "data_scientist", "medical_doctor", "librarian", "french_person", "police_officer"],
        "sampling": {"temperature": 0.7, "top_p": 0.95, "max_new_tokens": REPLY_TOKENS},
    },
    "labels": {"loss_on": "tail", "answer_tail_tokens": 32, "turn_end_target": "eos"},
    "training": {
        **{"seeds": [42], "lora": {"rank": 32, "alpha": 64, "dropout": 0.05, "rslora": True}},
        **{"learning_rate": 2.0e-5, "epochs": 6, "batch_size": 16, "precision": "bfloat16", "max_tokens_per_micro_batch": 4096},
    },
    "evaluation": {
        **{"samples_per_question": 5, "teacher_forced": {"draws": 1}},
        "sampling": {"temperature": 1.0, "top_p": 0.95, "max_new_tokens": REPLY_TOKENS},
    },
    "engine": {"name": "auto", "precision": "bfloat16", "checkpoint_every": 5550, "merge_adapter": False},
    "geometry": {"layers": [10, 15, 20, 25], "headline_layer": 20, "precision": "bfloat16"},
}
# For trying it out on a CPU.
TINY = {
    "personas": {"sources": SOURCES[:2], "panel": [*SOURCES, "pirate", "hero"]},
    "questions": {"training": {"set": "training", "count": 3}, "evaluation": [{"set": "evaluation", "count": 2}]},
    "training_data": {"answers_per_question": 1, "negative_personas": 1, "sampling": {"max_new_tokens": 40}},
    "training": {"learning_rate": 1.0e-2, "epochs": 2, "batch_size": 4, "precision": "float32"},
    "evaluation": {"samples_per_question": 2, "sampling": {"max_new_tokens": 8}},
    "engine": {"name": "transformers", "precision": "float32"},
    "geometry": {"layers": [1, 2], "headline_layer": 1, "precision": "float32"},
}


def experiment_settings(shape, model_folder):
    """The config of the experiment, less what config.yaml says, on the model in a folder."""
    settings = merged(SETTINGS, TINY) if shape == "tiny" else SETTINGS
    model = {"name": shape, "source": "path", "location": str(Path(model_folder).resolve()), "revision": None}
    return {"experiment": NAME, "model": model, **settings}


def merged(first, second):
    """``first`` with the values of ``second``, key by key."""
    found = dict(first)
    for key, value in second.items():
        found[key] = merged(found[key], value) if isinstance(value, dict) and isinstance(found.get(key), dict) else value
    return found


def copy_project(folder):
    """The project in a new folder, without results and kept work of earlier runs."""
    folder.mkdir(parents=True)
    for name in PROJECT:
        source = ROOT / name
        if source.is_file():
            shutil.copy2(source, folder)
        else:
            skip = shutil.ignore_patterns("__pycache__", *(["models"] if name == "resources" else []))
            shutil.copytree(source, folder / name, ignore=skip)
    return folder


class GpuUse:
    """nvidia-smi's utilization.gpu of the devices that jobs can use, about once a second, as [seconds, device, percent].

    Nothing where nvidia-smi is missing. It shows every device, whatever CUDA_VISIBLE_DEVICES says.
    """

    def __init__(self, started):
        self.samples, self.process = [], None
        self.devices = set(device_pool().values())
        if shutil.which("nvidia-smi"):
            command = ["nvidia-smi", "--query-gpu=index,utilization.gpu", "--format=csv,noheader,nounits", "-l", "1"]
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            self.reader = threading.Thread(target=self.read, args=(started,), daemon=True)
            self.reader.start()

    def read(self, started):
        for line in self.process.stdout:
            device, percent = line.split(",")
            if device in self.devices:
                self.samples.append([round(time.time() - started, 2), int(device), float(percent)])

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait()
        return self.samples


def run(project, config, gpus, jobs_per_gpu, cores):
    """(seconds of the whole run, GPU use, when it began); SystemExit if it fails."""
    command = [sys.executable, "-m", "snakemake", "--profile", "profiles/workstation", "--cores", str(cores)]
    command += ["--resources", f"gpu={max(gpus, 1) * jobs_per_gpu}", "--configfile", str(config.resolve()), "--quiet", "rules", "host"]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    started = time.time()
    use = GpuUse(started)
    code = subprocess.run(command, cwd=project, env={**os.environ, SHARE: str(jobs_per_gpu), "PATH": path}).returncode
    seconds, samples = time.time() - started, use.stop()
    if code:
        raise SystemExit(f"snakemake failed with exit code {code} after {seconds:.0f} s in {project}")
    return seconds, samples, started


def main():
    """Run it in a new folder; write --output (.json) and the timeline next to it (.png, .pdf, .svg)."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", required=True, type=Path, help="JSON file to write")
    parser.add_argument("--model", required=True, type=Path, help="model folder, as write_model.py writes it")
    parser.add_argument("--folder", required=True, type=Path, help="new folder for a copy of the project to run in")
    parser.add_argument("--shape", default="qwen2.5-1.5b", help="shape of the model (default: %(default)s); tiny: a tiny experiment")
    parser.add_argument("--gpus", type=int, default=1, help="devices; 0: none (default: %(default)s)")
    parser.add_argument("--jobs-per-gpu", type=int, default=1, help="jobs at once on a device (default: %(default)s)")
    parser.add_argument("--cores", type=int, default=os.cpu_count(), help="(default: %(default)s)")
    args = parser.parse_args()
    project, config = copy_project(args.folder / "project"), args.folder / "bench.yaml"
    config.write_text(yaml.safe_dump(experiment_settings(args.shape, args.model), sort_keys=False), encoding="utf-8")
    seconds, samples, started = run(project, config, args.gpus, args.jobs_per_gpu, args.cores)
    jobs = jobs_of(project, started)
    result = {
        **{"stage": "experiment", "shape": args.shape, "gpus": args.gpus, "jobs_per_gpu": args.jobs_per_gpu, "seconds": seconds},
        **{"busy": busy_share(jobs, samples), "rules": rules_of(jobs), "rates": rates_of(project / "results" / NAME, jobs)},
        **{"jobs": jobs, "use": samples, **about(), "gpu": gpu_name(project)},
    }
    write_json(args.output, result)
    draw(jobs, samples, args.output.with_suffix(".png"))
    share = f"{100 * result['busy']:.0f} %" if samples else "not measured"
    print(f"{seconds:.0f} s, GPUs busy {share}, rates {result['rates']}")


def gpu_name(project):
    """The GPU that the jobs noted; None without."""
    paths = (project / "results" / NAME / "training").glob("*/seed*/metrics.json")
    return next((read_json(path)["meta"]["hardware"].get("gpu") for path in paths), None)


if __name__ == "__main__":
    main()
