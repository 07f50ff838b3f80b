"""A Python that has its large packages imported: programs are forks of one process, since most of a tiny job is importing torch.

serve: ``python warm_python.py PATH_OF_SOCKET`` serves until its standard input ends.
call: ``python -IS warm_python.py --call PATH_OF_SOCKET PATH_OF_CALLER ARGUMENTS`` is ``python ARGUMENTS`` for ``program.py ...`` and
``-m snakemake ...``, with the caller's folder, environment, standard streams and exit code; a caller that is killed takes it along.
Nothing of the project is imported before the fork. What is tested of starting Python itself needs the real one.
"""

import array
import contextlib
import json
import os
import signal
import socket
import sys

PACKAGES = (
    *("smart_open", "snakemake.profiles", "snakemake.report.html_reporter", "yte"),
    *("matplotlib.backends.backend_agg", "matplotlib.backends.backend_pdf", "matplotlib.backends.backend_svg"),
    *("statsmodels.stats.contingency_tables", "statsmodels.stats.proportion"),
    *("jinja2", "matplotlib.pyplot", "pandas", "pydantic", "scipy.stats", "sklearn.feature_extraction.text", "snakemake.cli"),
    *("peft", "transformers.generation.utils", "transformers.models.auto.modeling_auto", "transformers.models.auto.tokenization_auto"),
    "transformers.models.llama.modeling_llama",
)


def call(path, caller, arguments):
    """Let the server run this; ends with the exit code of the run."""
    folder = os.getcwd()  # noqa: PTH109  pathlib takes long to import
    request = {"arguments": arguments, "folder": folder, "environment": dict(os.environ), "executable": caller}
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        connection.sendmsg([b"0"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))])
        connection.sendall(json.dumps(request).encode())
        connection.shutdown(socket.SHUT_WR)
        code = int(connection.makefile().read() or 70)
    if code < 0:
        os.kill(os.getpid(), -code)
    sys.exit(code)


def import_packages():
    """What programs and Snakemake import beside the project's own modules."""
    import importlib

    import matplotlib

    matplotlib.use("Agg")
    for name in PACKAGES:
        importlib.import_module(name)


def take_over(request, streams):
    """Make this fork look like a process of its own: streams, folder, environment, arguments, random numbers, threads."""
    import random

    import torch

    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.executable = request["executable"]
    random.seed()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count()))


def work(arguments):
    """Run a program or module as Python's command line does; returns the exit code."""
    import atexit
    import runpy
    import threading
    import traceback
    from pathlib import Path

    code = 0
    try:
        if arguments[0] == "-m":
            sys.argv, sys.path[:0] = arguments[1:], [str(Path.cwd())]
            runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv, sys.path[:0] = arguments, [str(Path(arguments[0]).resolve().parent)]
            runpy.run_path(arguments[0], run_name="__main__")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def start(connection, others):
    """Run what a caller asks for in a fork; returns its process id. ``others``: the server's other sockets."""
    _, control, _, _ = connection.recvmsg(1, socket.CMSG_SPACE(3 * array.array("i").itemsize))
    streams = array.array("i")
    streams.frombytes(control[0][2])
    request = json.loads(connection.makefile().read())
    worker = os.fork()
    if not worker:
        for each in (connection, *others):
            each.close()
        take_over(request, streams)
        os._exit(work(request["arguments"]))
    for stream in streams:
        os.close(stream)
    return worker


def prepare():
    """Import the packages, so that a fork does no work for them."""
    import gc
    import weakref

    import_packages()
    weakref.finalize._registry.clear()  # what the packages tidy up at the end is this process's own
    gc.collect()
    gc.freeze()  # else a fork that looks for garbage copies all memory


def serve(path):
    """Fork for each caller until standard input ends, and tell each the exit code."""
    import select

    del sys.path[0]
    prepare()
    events, callers, workers = select.poll(), {}, {}  # callers: {connection's number: worker}, workers: {its number: (worker, connection)}
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen(64)
        events.register(listening, select.POLLIN)
        events.register(sys.stdin, select.POLLIN)
        print("ready", flush=True)
        while True:
            number = events.poll()[0][0]
            if number == sys.stdin.fileno():
                return
            if number == listening.fileno():
                connection, _ = listening.accept()
                try:
                    worker = start(connection, [listening, *(each for _, each in workers.values())])
                except (IndexError, ValueError):  # killed before it had asked
                    connection.close()
                    continue
                ended = os.pidfd_open(worker)
                callers[connection.fileno()], workers[ended] = worker, (worker, connection)
                events.register(connection, 0)
                events.register(ended, select.POLLIN)
            elif number in callers:  # hung up: the caller was killed
                os.kill(callers.pop(number), signal.SIGKILL)
                events.unregister(number)
            else:
                worker, connection = workers.pop(number)
                _, status = os.waitpid(worker, 0)
                events.unregister(number)
                os.close(number)
                if callers.pop(connection.fileno(), None):
                    events.unregister(connection)
                    with contextlib.suppress(OSError):  # killed by now
                        connection.sendall(str(os.waitstatus_to_exitcode(status)).encode())
                connection.close()


if __name__ == "__main__":
    if sys.argv[1] == "--call":
        call(sys.argv[2], sys.argv[3], sys.argv[4:])
    else:
        serve(sys.argv[1])
