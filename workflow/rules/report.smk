# report: tables, figures and pages that people read. All of it runs where snakemake runs.

TABLES = [
    "robust_accuracy", "summary", "differences", "networks", "conditions", "attacks", "predictors", "rois", "checks",
    "inside", "compute",
]  # fmt: skip
FIGURES = ["differences", "robust_accuracy", "clean_vs_robust", "predictors", "inside"]
NORMS = {"hue": "hue", "saturation": "saturation", "deepfool": "l2", "ddn": "l2", "fgsm": "linf", "pgd": "linf", "apgd": "linf", "fmn": "linf", "uniform": "linf", "sign": "linf", "gaussian": "l2"}  # fmt: skip
UNITS = {"linf": "1/255", "l2": "L2", "hue": "of the circle", "saturation": ""}
PREDICTOR = list(config["predictors"])[0]


def shown_attack(settings):
    """An attack as the report needs it: with its norm and the unit that a reader sees."""
    norm = settings.get("norm", NORMS[settings["method"]])
    return {**settings, "norm": norm, "unit": UNITS[norm]}


def study():
    """What the report is about, as the report stage takes it. In the config's order, which is the page's."""
    return json.dumps(
        {
            "name": config["study"],
            "phantom": config["data"]["source"] == "phantom",
            "root": RESULTS,
            "tasks": TASKS,
            "architectures": ARCHITECTURES,
            "conditions": {
                name: {**recipe, "target": "+".join(recipe["target"]) if "target" in recipe else None}
                for name, recipe in config["conditions"].items()
            },
            "seeds": SEEDS,
            "predictor": PREDICTOR,
            "predictor_seeds": config["predictor_seeds"],
            "rois": ROIS,
            "subjects": SUBJECTS,
            "attacks": {name: shown_attack(settings) for name, settings in config["attacks"].items()},
            "primary_attack": config["primary_attack"],
        }
    )


def results_of(conditions, rois):
    """Every file that a page about some conditions and ROIs reads."""
    networks = networks_of(conditions)
    predictors = expand(f"{RESULTS}/predictors/{PREDICTOR}/{{roi}}/seed{{seed}}", roi=rois, seed=config["predictor_seeds"])
    return (
        expand(f"{RESULTS}/networks/{{network}}/{{file}}", network=networks, file=["metrics.json", "history.parquet"])
        + expand(f"{RESULTS}/attacks/{{network}}/{{attack}}.parquet", network=networks, attack=ATTACKS)
        + expand(f"{RESULTS}/attacks/{{network}}/{{file}}", network=networks, file=["examples.npz", "checks.json"])
        + expand("{predictor}/{file}", predictor=predictors, file=["metrics.json", "voxels.parquet"])
        + expand(f"{RESULTS}/cortex/{{subject}}/{{roi}}.h5", subject=SUBJECTS, roi=rois)
    )


def conditions_of(roi):
    """The conditions that a ROI's page compares: `none`, and those that the ROI guides."""
    return [n for n, c in config["conditions"].items() if "target" not in c or "+".join(c["target"]) == roi]


rule tabulate_results:
    input:
        results=results_of(CONDITIONS, ROIS),
        inside=expand(f"{RESULTS}/explain/{{network}}/inside.parquet", network=networks_of(CONDITIONS)),
        code=sources("report/tabulate_results"),
    output:
        **{table: report(f"{RESULTS}/report/tables/{table}.csv", category="Tables", caption="../report/table.rst", labels={"table": table}) for table in TABLES},
    log:
        f"{LOGS}/tabulate_results.log",
    benchmark:
        f"{BENCHMARKS}/report/tabulate_results.tsv"
    conda:
        "../../envs/neurobust.yaml"
    localrule: True
    params:
        study=study(),
    message:
        "collecting the results of every network"
    script:
        "../scripts/report/tabulate_results.py"


rule draw_figures:
    input:
        tables=expand(f"{RESULTS}/report/tables/{{table}}.csv", table=TABLES),
        code=sources("report/draw_figures"),
    output:
        **{figure: report(f"{RESULTS}/report/figures/{figure}.svg", category="Figures", caption=f"../report/{figure}.rst", labels={"figure": figure}) for figure in FIGURES},
    log:
        f"{LOGS}/draw_figures.log",
    benchmark:
        f"{BENCHMARKS}/report/draw_figures.tsv"
    conda:
        "../../envs/neurobust.yaml"
    localrule: True
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
        code=sources("report/write_index"),
    output:
        page=report(f"{RESULTS}/report/index.html", category="Pages", caption="../report/page.rst", labels={"page": "all ROIs"}),
    log:
        f"{LOGS}/write_index.log",
    benchmark:
        f"{BENCHMARKS}/report/write_index.tsv"
    conda:
        "../../envs/neurobust.yaml"
    localrule: True
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
        page=report(f"{RESULTS}/report/roi/{{roi}}.html", category="Pages", caption="../report/page.rst", labels={"page": "{roi}"}),
    log:
        f"{LOGS}/write_roi_page/{{roi}}.log",
    benchmark:
        f"{BENCHMARKS}/report/write_roi_page/{{roi}}.tsv"
    conda:
        "../../envs/neurobust.yaml"
    localrule: True
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
