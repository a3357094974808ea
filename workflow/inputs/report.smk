# What the rules of report take: names, paths and parameters, no rules.
TABLES = [
    "robust_accuracy", "summary", "differences", "networks", "conditions", "attacks", "predictors", "rois", "checks",
    "inside", "compute", "canaries", "minimal_budget", "survival", "breaks", "transfer", "matched",
    "corruptions", "corruption_errors",
]  # fmt: skip
FIGURES = [
    "differences", "robust_accuracy", "clean_vs_robust", "predictors", "inside", "survival", "transfer", "corruptions",
]  # fmt: skip
# The norm of a method where its settings name none: the attack functions' own defaults (a test compares them).
NORMS = {
    "uniform": "linf", "sign": "linf", "fgsm": "linf", "pgd": "linf", "apgd": "linf", "apgd-targeted": "linf",
    "autoattack": "linf", "square": "linf", "fmn": "linf", "adaptive-joint": "linf", "adaptive-collision": "linf",
    "gaussian": "l2", "hopskipjump": "l2", "blended": "l2", "deepfool": "l2", "ddn": "l2", "carlini-wagner": "l2",
    "brendel-bethge": "l2", "boundary": "l2", "salt-pepper": "salt-pepper", "ead": "l1", "hue": "hue",
    "saturation": "saturation", "brightness": "brightness", "contrast": "contrast",
    "rotation-translation": "rotation-translation",
}  # fmt: skip
UNITS = {
    "linf": "1/255", "l2": "L2", "l1": "L1", "l0": "values", "hue": "of the circle", "saturation": "",
    "brightness": "", "contrast": "", "rotation-translation": "of the range", "salt-pepper": "of the pixels",
}  # fmt: skip
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
            "trained": {task: trained(task) for task in TASKS},
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
            "reference_strengths": {name: SEMANTIC[name].get("reference_strength") for name in SEMANTIC_ATTACKS},
            "transfer": TRANSFER,
            "corruptions": CORRUPTIONS,
        }
    )


def results_of(conditions, rois):
    """Every file that a page about some conditions and ROIs reads."""
    tasks = tasks_of(conditions)
    networks = networks_of(conditions, tasks)
    predictors = expand(
        f"{RESULTS}/predictors/{PREDICTOR}/{{roi}}/seed{{seed}}", roi=rois, seed=config["predictor_seeds"]
    )
    return (
        expand(f"{RESULTS}/networks/{{network}}/{{file}}", network=networks, file=["metrics.json", "history.parquet"])
        + expand(f"{RESULTS}/attacks/{{network}}/{{attack}}.parquet", network=networks, attack=ATTACKS)
        + expand(f"{RESULTS}/attacks/{{network}}/{{file}}", network=networks, file=["examples.npz", "checks.json"])
        + expand(f"{RESULTS}/attacks/{{task}}/canaries.json", task=tasks)
        + expand("{predictor}/{file}", predictor=predictors, file=["metrics.json", "voxels.parquet"])
        + expand(f"{RESULTS}/cortex/{{subject}}/{{roi}}.h5", subject=SUBJECTS, roi=rois)
    )


def tasks_of(conditions):
    """The tasks on which a comparison of some conditions says anything: all but those that have `none` alone of them.

    A study without a guided condition compares its tasks all the same.
    """
    found = [task for task in TASKS if any(name in trained(task) for name in conditions if name != "none")]
    return found or TASKS


def conditions_of(roi):
    """The conditions that a ROI's page compares: `none`, and those that the ROI guides."""
    return [n for n, c in config["conditions"].items() if n == "none" or "+".join(c.get("target", [])) == roi]
