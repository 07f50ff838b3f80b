"""A run and its artifact on Weights & Biases, written once: online, or as a run folder here that `wandb sync` uploads."""

import os
import shutil
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from persona_leakage.infrastructure.cli import InputError
from persona_leakage.infrastructure.files import digest_of
from persona_leakage.publishing.common import in_a_line

ARTIFACT_TYPE = "eval-results"
# wandb's own limits let a job hang for hours when the server fails; a variable that is set wins.
PATIENCE = {
    "WANDB__GRAPHQL_RETRY_MAX": "5",
    "WANDB__FILE_STREAM_RETRY_MAX": "5",
    "WANDB__FILE_TRANSFER_RETRY_MAX": "5",
    "WANDB_FINISH_TIMEOUT": "1800",
    "WANDB_ERROR_REPORTING": "false",
}


@dataclass(frozen=True)
class Publication:
    """What goes to W&B.

    project, entity: where to (entity None: the key's own); experiment: the group of its runs;
    contents: wandb_contents.RunContents; home: results folder; digests: {file's path under home: SHA-256}.
    """

    project: str
    entity: str | None
    experiment: str
    contents: object
    home: Path
    digests: dict

    @property
    def run_id(self):
        """The same for the same files in the same project, so that a second run of the job finds the first."""
        return digest_of([self.project, self.experiment, self.contents.name, self.digests])[:16]

    @property
    def artifact_name(self):
        """Of the artifact that holds the files."""
        return f"{self.experiment}-{self.contents.name}"


def publish_offline(publication, folder):
    """Write a run folder into ``folder`` unless it holds one of the same id.

    Returns {"run_folder", "artifact_digest", "written": whether it was made now}. A run folder is moved to its place
    when it is finished, so one that is there is whole. The copies of the files that `wandb sync` uploads are under files/.
    """
    kept = Path(folder) / "files" / publication.run_id
    with workspace(folder, publication.run_id) as work:
        found = finished_folder(folder, publication.run_id)
        if found is None:
            shutil.rmtree(kept, ignore_errors=True)
        os.environ["WANDB_DATA_DIR"] = str((work if found else kept).resolve())
        artifact = build_artifact(publication, copy=found is None)
        if found is None:
            run = start_run(publication, "offline", work)
            log_run(run, publication)
            run.log_artifact(artifact, aliases=["latest", publication.run_id])
            run.summary["artifact_digest"] = artifact.digest
            run.finish()
            (made,) = (work / "wandb").glob(f"offline-run-*-{publication.run_id}")
            found, written = Path(folder) / made.name, True
            made.replace(found)
        else:
            written = False
        return {"run_folder": str(found), "artifact_digest": artifact.digest, "written": written}


def publish_online(publication, folder, patience):
    """Upload a run and its artifact unless the server has them; wandb's working files lie under ``folder`` meanwhile.

    patience: seconds for the server to show the whole run after the upload.
    Returns {"entity", "url", "artifact_digest", "written"}. InputError if the server cannot be reached, refuses, or
    does not show the whole run in time; the next call goes on with the same run.
    """
    import wandb
    from wandb.sdk.lib.service.service_connection import WandbApiFailedError

    with workspace(folder, publication.run_id) as work:
        os.environ["WANDB_DATA_DIR"] = str(work.resolve())
        try:
            api = wandb.Api(timeout=180)
            entity = publication.entity or api.default_entity
            found = find_published(api, entity, publication)
            written = found is None
            if written:
                upload(publication, work)
                found = wait_until_published(api, entity, publication, patience)
        except (wandb.Error, WandbApiFailedError, ValueError, OSError) as error:
            raise InputError(f"publishing to W&B failed; nothing here is lost, running again goes on ({in_a_line(error)})") from None
        return {"entity": entity, "written": written, **found}


def upload(publication, work):
    """Send history, artifact and summary; the summary speaks of the artifact only when the server has it."""
    run = start_run(publication, "online", work)
    try:
        log_run(run, publication)
        artifact = run.log_artifact(build_artifact(publication, copy=False), aliases=["latest", publication.run_id]).wait()
        run.summary["artifact_digest"] = artifact.digest
    except BaseException:
        run.finish(exit_code=1)
        raise
    run.finish()


def start_run(publication, mode, work):
    """wandb.init with everything told: nothing about this machine, its code or its console goes along."""
    import wandb

    quiet = wandb.Settings(
        console="off",
        disable_code=True,
        disable_git=True,
        finish_timeout_raises=True,
        program="publish_wandb.py",
        silent=True,
        symlink=False,
        x_disable_machine_info=True,
        x_disable_meta=True,
        x_disable_stats=True,
        x_save_requirements=False,
    )
    return wandb.init(
        project=publication.project,
        entity=publication.entity,
        id=publication.run_id,
        name=f"{publication.experiment}/{publication.contents.name}",
        group=publication.experiment,
        job_type=publication.contents.job_type,
        config=publication.contents.config,
        dir=str(work),
        mode=mode,
        resume="allow" if mode == "online" else None,
        settings=quiet,
    )


def log_run(run, publication):
    """History and summary; a run that is gone on with has the steps before its first new one."""
    for step, figures in enumerate(publication.contents.history[run.starting_step :], run.starting_step):
        run.log(figures, step=step)
    run.summary.update(publication.contents.summary)


def build_artifact(publication, copy):
    """The artifact with all files under their paths in the results folder. copy: keep wandb's own copies for a later sync."""
    import wandb

    artifact = wandb.Artifact(publication.artifact_name, ARTIFACT_TYPE, metadata={"sha256": publication.digests})
    for name in publication.digests:
        artifact.add_file(str(publication.home / name), name=name, policy="mutable" if copy else "immutable", skip_cache=True)
    return artifact


def find_published(api, entity, publication):
    """{"url", "artifact_digest"} of the run on the server if it is finished and its artifact there, else None."""
    import wandb
    from wandb.apis.public.runs import RunNotFoundError

    place = f"{entity}/{publication.project}"
    try:
        run = api.run(f"{place}/{publication.run_id}")
        run.load(force=True)
    except wandb.errors.CommError as error:
        if isinstance(error.exc, RunNotFoundError):
            return None
        raise
    digest = run.summary_metrics.get("artifact_digest")
    if run.state != "finished" or not digest or not api.artifact_exists(f"{place}/{publication.artifact_name}:{publication.run_id}"):
        return None
    return {"url": run.url, "artifact_digest": digest}


def wait_until_published(api, entity, publication, patience):
    """What :func:`find_published` says once the server shows all of the run; wandb itself ends well also when some of it was lost."""
    deadline = time.monotonic() + patience
    while (found := find_published(api, entity, publication)) is None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"the server does not show run {publication.run_id} as finished, with its summary and artifact")
        time.sleep(2)
    return found


def finished_folder(folder, run_id):
    """The run folder of an id, or None."""
    return next(iter(sorted(Path(folder).glob(f"offline-run-*-{run_id}"))), None)


@contextmanager
def workspace(folder, run_id):
    """An empty folder for wandb's working files, removed when the block ends well; what it says of a failure stays until the next try."""
    for name, value in PATIENCE.items():
        os.environ.setdefault(name, value)
    work = Path(folder) / "unfinished" / run_id
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    os.environ["WANDB_CACHE_DIR"] = str(work.resolve())
    yield work
    import wandb

    wandb.teardown()
    shutil.rmtree(work)
    with suppress(OSError):  # another job may be using it, or have removed it
        work.parent.rmdir()
