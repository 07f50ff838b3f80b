"""The library of the programs in the folder above.

Importing it removes environment variables that would change results, figures or jobs, before the libraries that read them are
imported. The jobs that this process starts do not get them either. It also makes the libraries import faster.
"""

import os
import sys

from persona_leakage.infrastructure.package_names import answer_sooner

BENDING = (
    "MATPLOTLIBRC",  # the look of figures
    "PYTHONPATH",  # packages of the user's in the place of the pinned ones
    "PYTHONSAFEPATH",  # programs find this package next to themselves
    "PYTHONWARNINGS",  # "error" ends a job at a library's first warning
    "PYTHONOPTIMIZE",
    "PYTHONIOENCODING",
    "NVIDIA_TF32_OVERRIDE",  # these four: products of float32 matrices in fewer bits
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "DNNL_DEFAULT_FPMATH_MODE",
)

for name in BENDING:
    os.environ.pop(name, None)
os.environ["MPLBACKEND"] = "Agg"  # a notebook's own backend is not there outside it
answer_sooner()
# Container images often set it. Then each job compiles its libraries again if they were installed uncompiled, which doubles its start.
if os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):
    sys.dont_write_bytecode = False
