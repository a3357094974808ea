# What the rules of networks take: names, paths and parameters, no rules.
def task_source(wildcards):
    """Where the images of a task lie that are not part of a library: a folder, a file, or the phantom's."""
    task = config["tasks"][wildcards.task]
    if task["kind"] in PHANTOM_TASKS:
        return f"resources/phantom/tasks/{task['kind']}.npz"
    return task.get("source", "")


def planted_source(wildcards):
    """The source as an input where a rule makes it. What the user brings is checked by the job, in one clear line, so
    that a study can be planned before its images are there; its files are digested into the dataset's provenance."""
    return [task_source(wildcards)] if config["tasks"][wildcards.task]["kind"] in PHANTOM_TASKS else []


def task_spec(wildcards):
    """What of a task's configuration makes its images."""
    task = config["tasks"][wildcards.task]
    return canonical_json(
        {key: value for key, value in task.items() if key not in ("source", "training", "conditions")}
    )


def target_predictors(wildcards):
    """The predictors that a condition's target is made of; none for a condition without a target."""
    return predictor_files(wildcards, "target", "model.safetensors")


def predictor_files(wildcards, key, file):
    """A file of the predictor of each ROI that a key of the condition lists."""
    condition = config["conditions"][wildcards.condition]
    return expand(
        f"{RESULTS}/predictors/{{predictor}}/{{roi}}/seed{{seed}}/{file}",
        predictor=condition.get("predictor", []),
        roi=condition.get(key, []),
        seed=predictor_seed(config, int(wildcards.seed)),
    )


def control_files(wildcards):
    """What a condition's target reads beside predictors, by name: `targets.NeuralTarget` and `pairs.Pairs` say what."""
    condition = config["conditions"][wildcards.condition]
    files = {}
    if "weights" in condition.get("features", {}):
        files["oracle"] = [condition["features"]["weights"]]
    if "match" in condition:
        files["voxels"] = predictor_files(wildcards, "target", "voxels.parquet")
        files["matched"] = predictor_files(wildcards, "match", "voxels.parquet")
    if condition.get("pairs"):
        size = task_size(config, wildcards.task)
        pairs = [(subject, roi) for subject in SUBJECTS for roi in condition["target"]]
        files["responses"] = [f"{RESULTS}/cortex/{subject}/{roi}.h5" for subject, roi in pairs]
        files["stimuli"] = [f"{RESULTS}/stimuli/{subject}/{size}.h5" for subject, _ in pairs]
    return files
