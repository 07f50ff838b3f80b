"""Snakemake's plugin "snakemake --logger leakage", found by this folder's name; make run uses it."""

from persona_leakage.reporting.run_display import LogHandler

__all__ = ["LogHandler"]
