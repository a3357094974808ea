# report: tables, figures and pages that people read. All of it runs where snakemake runs.
from neurobust.files.checks import checks_path, confirmed_path
from neurobust.files.examples import examples_path
from neurobust.files.semantic_adversarials import lent_pictures_path
from neurobust.files.semantic_table import semantic_examples_path, semantic_table_path
from neurobust.files.semantic_transfer_table import semantic_transfer_path
from neurobust.files.verification_table import verification_examples_path, verification_table_path
from neurobust.report.contents import COLUMNS, FIGURES, SEMANTIC_TABLES, VERIFICATION_TABLES
from neurobust.report.site import ARCHIVE, pages_of, roi_file

# The configuration as it was given: a page shows it, and the order of its keys is the order of a page. What only says
# where files come from is on no page; that there are COCO's annotations is what some conditions need.
SHOWN = json.dumps(
    {
        **config,
        "data": {key: config["data"][key] for key in ("source", "root", "format", "subjects")}
        | ({"coco_annotations": "given"} if config["data"].get("coco_annotations") else {}),
    }
)
TABLE_FILES = {name: f"{RESULTS}/report/tables/{name}.csv" for name in COLUMNS}
FIGURE_FILES = {name: f"{RESULTS}/report/figures/{name}.svg" for name in FIGURES}
FIGURE_MODULES = sorted({FIGURES.module_name(name) for name in FIGURES})
PAGE_FILES = {name: f"{RESULTS}/report/{page.file}" for name, page in pages_of(STUDY).items()}
# What the pages of the whole study read of semantic attacks.
SEMANTIC_RESULTS = (
    [f"{RESULTS}/report/tables/{table}.csv" for table in SEMANTIC_TABLES.values()]
    + FILES.semantic_files(semantic_examples_path)
    + FILES.transfer_galleries(lent_pictures_path, semantic_transfer_path)
    if STUDY.semantic.attacks
    else []
)
VERIFICATION_RESULTS = (
    [f"{RESULTS}/report/tables/{table}.csv" for table in VERIFICATION_TABLES.values()]
    + FILES.verification_files(verification_examples_path)
    if STUDY.semantic.verification
    else []
)


rule tabulate_results:
    input:
        results=FILES.results_of(STUDY.conditions, ROIS),
        explained=EXPLAINED.all_tables() + EXPLAINED.maps(),
        teachers=EXPLAINED.teacher_tables(),
        transfer=FILES.transfer_tables(),
        corruptions=FILES.corruption_tables(),
        shifted=FILES.shifted_tables(),
        semantic=FILES.semantic_files(semantic_table_path),
        outside=FILES.outside_results(),
    output:
        **{
            table: report(path, category="Tables", caption="../report/table.rst", labels={"table": table})
            for table, path in TABLE_FILES.items()
        },
    log:
        f"{LOGS}/tabulate_results.log",
    benchmark:
        f"{BENCHMARKS}/report/tabulate_results.tsv"
    localrule: True
    conda:
        "../../envs/neurobust.yaml"
    params:
        code=sources("report/tabulate_results"),
        study=SHOWN,
    message:
        "collecting the results of every network"
    script:
        "../scripts/report/tabulate_results.py"


if STUDY.semantic.attacks:

    rule tabulate_semantic:
        input:
            tables=FILES.semantic_files(semantic_table_path),
            transfers=FILES.semantic_transfers(semantic_transfer_path),
            networks=f"{RESULTS}/report/tables/networks.csv",
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
            code=sources("report/tabulate_semantic"),
            study=SHOWN,
        message:
            "collecting the results of semantic attacks"
        script:
            "../scripts/report/tabulate_semantic.py"


if STUDY.semantic.verification:

    rule tabulate_verification:
        input:
            tables=FILES.verification_files(verification_table_path),
        output:
            **{
                name: report(
                    f"{RESULTS}/report/tables/{table}.csv",
                    category="Tables",
                    caption="../report/table.rst",
                    labels={"table": table},
                )
                for name, table in VERIFICATION_TABLES.items()
            },
        log:
            f"{LOGS}/tabulate_verification.log",
        benchmark:
            f"{BENCHMARKS}/report/tabulate_verification.tsv"
        localrule: True
        conda:
            "../../envs/neurobust.yaml"
        params:
            code=sources("report/tabulate_verification"),
            study=SHOWN,
        message:
            "collecting the results of face verification"
        script:
            "../scripts/report/tabulate_verification.py"


rule draw_figures:
    input:
        tables=list(TABLE_FILES.values()),
        explained=EXPLAINED.all_arrays(),
    output:
        **{
            figure: report(path, category="Figures", caption=f"../report/{figure}.rst", labels={"figure": figure})
            for figure, path in FIGURE_FILES.items()
        },
    log:
        f"{LOGS}/draw_figures.log",
    benchmark:
        f"{BENCHMARKS}/report/draw_figures.tsv"
    localrule: True
    conda:
        "../../envs/neurobust.yaml"
    params:
        code=sources("report/draw_figures", *FIGURE_MODULES),
        study=SHOWN,
    message:
        "drawing the figures"
    script:
        "../scripts/report/draw_figures.py"


rule write_index:
    input:
        tables=list(TABLE_FILES.values()),
        figures=list(FIGURE_FILES.values()),
        examples=FILES.of_networks(examples_path),
        explained=EXPLAINED.all_arrays(),
        semantic=SEMANTIC_RESULTS,
        verification=VERIFICATION_RESULTS,
    output:
        **{
            page: report(path, category="Pages", caption="../report/page.rst", labels={"page": page})
            for page, path in PAGE_FILES.items()
        },
    log:
        f"{LOGS}/write_index.log",
    benchmark:
        f"{BENCHMARKS}/report/write_index.tsv"
    localrule: True
    conda:
        "../../envs/neurobust.yaml"
    params:
        code=sources("report/write_index"),
        study=SHOWN,
    message:
        "writing the pages of the whole study"
    script:
        "../scripts/report/write_index.py"


rule write_roi_page:
    input:
        results=lambda wildcards: FILES.results_of(
            STUDY.conditions_of(wildcards.roi), [wildcards.roi], STUDY.tasks_of(wildcards.roi)
        ),
        explained=lambda wildcards: EXPLAINED.of_roi(wildcards.roi),
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
        code=sources("report/write_roi_page", *FIGURE_MODULES),
        study=SHOWN,
    message:
        "writing {output.page}"
    script:
        "../scripts/report/write_roi_page.py"


rule pack_report:
    input:
        pages=list(PAGE_FILES.values()) + [f"{RESULTS}/report/{roi_file(roi)}" for roi in ROIS],
        tables=list(TABLE_FILES.values())
        + [path for path in SEMANTIC_RESULTS + VERIFICATION_RESULTS if path.endswith(".csv")],
        figures=list(FIGURE_FILES.values()),
    output:
        archive=f"{RESULTS}/report/{ARCHIVE}",
    log:
        f"{LOGS}/pack_report.log",
    benchmark:
        f"{BENCHMARKS}/report/pack_report.tsv"
    localrule: True
    conda:
        "../../envs/neurobust.yaml"
    params:
        code=sources("report/pack_report"),
    message:
        "packing the report into {output.archive}"
    script:
        "../scripts/report/pack_report.py"


rule report:
    """The report: its pages, one of them per ROI, and all of it in one file."""
    input:
        list(PAGE_FILES.values()),
        [f"{RESULTS}/report/{roi_file(roi)}" for roi in ROIS],
        rules.pack_report.output.archive,
    localrule: True


rule confirm_attacks:
    """The pages come first: they show what failed. Then a study of which an attack failed somewhere ends with an error."""
    input:
        rules.report.input,
        checks=FILES.of_networks(checks_path) + FILES.of_outsiders(checks_path),
    output:
        confirmed=at(confirmed_path),
    log:
        f"{LOGS}/confirm_attacks.log",
    benchmark:
        f"{BENCHMARKS}/report/confirm_attacks.tsv"
    localrule: True
    conda:
        "../../envs/neurobust.yaml"
    params:
        code=sources("report/confirm_attacks"),
    message:
        "looking whether every attack ran"
    script:
        "../scripts/report/confirm_attacks.py"
