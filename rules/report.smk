"""Builds the report, one self-contained page.

out: report/index.html, report/facts.json
"""


rule build_report:
    input:
        code=code_of("build_report.py", KIND_CODE),
        page_parts=PAGE_FILES,
        run_config="results/{experiment}/run_config.yaml",
        training=each(f"{TRAINING}/manifest.json", "source") + each(f"{TRAINED}/metrics.json", "source", "seed"),
        evaluations=each(
            [f"{ADAPTED}/{file}" for file in (RECORDS, *RECORDS_META, *JUDGEMENTS, "summary.json")], *("questions", "source", "seed")
        ),
        base=each([f"{BASE_EVALUATION}/{file}" for file in ("summary.json", *JUDGEMENTS)], "questions"),
        analysis=ending(CORRELATIONS, *("pairs.csv", "tables.json", "correlation.json", "robustness.json"), "sweep.json"),
        predictors=ending(CORRELATIONS, "seeds.json", "predictors.json"),
        comparisons=COMPARISONS,
        optional=OPTIONAL_RESULTS,
        figures=[path for path in FIGURES if path.endswith(".png")],
        published="resources/published.json",
    output:
        page="results/{experiment}/report/index.html",
        facts="results/{experiment}/report/facts.json",
    conda:
        "../envs/analysis.yaml"
    resources:
        **more_each_attempt(mem_mb=6000, runtime=30),
    params:
        personas_file=PERSONAS_FILE,
        packages=pins("analysis", "plotly", "jinja2"),
        settings=settings(personas=personas_block(PANEL, "prompt", "category")),
    shell:
        r"""
        python workflow_scripts/build_report.py --settings {params.settings:q} --results results/{wildcards.experiment:q} \
            --benchmarks benchmarks/{wildcards.experiment:q} --personas {params.personas_file:q} --published {input.published:q} \
            --output {output.page:q} --facts {output.facts:q} 2>&1 | tee {log:q}
        """
