# report: tables, figures and pages that people read. All of it runs where snakemake runs.


rule tabulate_results:
    input:
        results=results_of(CONDITIONS, ROIS),
        inside=expand(f"{RESULTS}/explain/{{network}}/inside.parquet", network=networks_of(CONDITIONS)),
        transfer=transfer_tables(),
        corruptions=corruption_tables(),
        code=sources("report/tabulate_results"),
    output:
        **{
            table: report(
                f"{RESULTS}/report/tables/{table}.csv",
                category="Tables",
                caption="../report/table.rst",
                labels={"table": table},
            )
            for table in TABLES
        },
    log:
        f"{LOGS}/tabulate_results.log",
    benchmark:
        f"{BENCHMARKS}/report/tabulate_results.tsv"
    localrule: True
    conda:
        "../../envs/neurobust.yaml"
    params:
        study=study(),
    message:
        "collecting the results of every network"
    script:
        "../scripts/report/tabulate_results.py"


if SEMANTIC_ATTACKS:

    rule tabulate_semantic:
        input:
            tables=semantic_files("parquet"),
            networks=f"{RESULTS}/report/tables/networks.csv",
            code=sources("report/tabulate_semantic"),
        output:
            **{
                name: report(
                    f"{RESULTS}/report/tables/{table}.csv",
                    category="Tables",
                    caption="../report/table.rst",
                    labels={"table": table},
                )
                for name, table in SEMANTIC_TABLES.items()
            },
        log:
            f"{LOGS}/tabulate_semantic.log",
        benchmark:
            f"{BENCHMARKS}/report/tabulate_semantic.tsv"
        localrule: True
        conda:
            "../../envs/neurobust.yaml"
        params:
            study=study(),
        message:
            "collecting the results of semantic attacks"
        script:
            "../scripts/report/tabulate_semantic.py"


rule draw_figures:
    input:
        tables=expand(f"{RESULTS}/report/tables/{{table}}.csv", table=TABLES),
        code=sources("report/draw_figures"),
    output:
        **{
            figure: report(
                f"{RESULTS}/report/figures/{figure}.svg",
                category="Figures",
                caption=f"../report/{figure}.rst",
                labels={"figure": figure},
            )
            for figure in FIGURES
        },
    log:
        f"{LOGS}/draw_figures.log",
    benchmark:
        f"{BENCHMARKS}/report/draw_figures.tsv"
    localrule: True
    conda:
        "../../envs/neurobust.yaml"
    params:
        study=study(),
    message:
        "drawing the figures"
    script:
        "../scripts/report/draw_figures.py"


rule write_index:
    input:
        tables=expand(f"{RESULTS}/report/tables/{{table}}.csv", table=TABLES),
        figures=expand(f"{RESULTS}/report/figures/{{figure}}.svg", figure=FIGURES),
        examples=expand(f"{RESULTS}/attacks/{{network}}/examples.npz", network=networks_of(CONDITIONS)),
        semantic=semantic_report(),
        code=sources("report/write_index"),
    output:
        page=report(
            f"{RESULTS}/report/index.html", category="Pages", caption="../report/page.rst", labels={"page": "all ROIs"}
        ),
    log:
        f"{LOGS}/write_index.log",
    benchmark:
        f"{BENCHMARKS}/report/write_index.tsv"
    localrule: True
    conda:
        "../../envs/neurobust.yaml"
    params:
        study=study(),
    message:
        "writing {output.page}"
    script:
        "../scripts/report/write_index.py"


rule write_roi_page:
    input:
        results=lambda wildcards: results_of(conditions_of(wildcards.roi), [wildcards.roi]),
        code=sources("report/write_roi_page"),
    output:
        page=report(
            f"{RESULTS}/report/roi/{{roi}}.html",
            category="Pages",
            caption="../report/page.rst",
            labels={"page": "{roi}"},
        ),
    log:
        f"{LOGS}/write_roi_page/{{roi}}.log",
    benchmark:
        f"{BENCHMARKS}/report/write_roi_page/{{roi}}.tsv"
    localrule: True
    conda:
        "../../envs/neurobust.yaml"
    params:
        study=study(),
    message:
        "writing {output.page}"
    script:
        "../scripts/report/write_roi_page.py"


rule report:
    """The report: its index, and one page per ROI."""
    input:
        f"{RESULTS}/report/index.html",
        expand(f"{RESULTS}/report/roi/{{roi}}.html", roi=ROIS),
    localrule: True
