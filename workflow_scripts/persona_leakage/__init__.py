"""Library behind the programs in workflow_scripts/: one module per subject, none of them imports Snakemake."""
