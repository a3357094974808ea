# networks: CNNs that classify while their penultimate layer resembles a predictor's output.


def task_source(wildcards):
    """The images of a task that are not part of a library: a folder, a file, or the phantom's scenes."""
    task = config["tasks"][wildcards.task]
    if task["kind"] in PHANTOM_TASKS:
        return [f"resources/phantom/tasks/{task['kind']}.npz"]
    return [task["source"]] if "source" in task else []


def task_spec(wildcards):
    """What of a task's configuration makes its images."""
    task = config["tasks"][wildcards.task]
    return canonical_json({key: value for key, value in task.items() if key not in ("source", "training")})


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


if "face_task" in config.get("phantom", {}):

    rule make_faces:
        input:
            code=sources("networks/make_faces"),
        output:
            "resources/phantom/tasks/phantom-faces.npz",
        log:
            f"{LOGS}/make_faces.log",
        benchmark:
            f"{BENCHMARKS}/make_faces/faces.tsv"
        conda:
            "../../envs/neurobust.yaml"
        params:
            settings=canonical_json(config["phantom"]["face_task"]),
        message:
            "rendering the labelled faces of the task phantom-faces"
        script:
            "../scripts/networks/make_faces.py"


rule prepare_task:
    input:
        source=task_source,
        code=sources("networks/prepare_task"),
    output:
        dataset=f"{RESULTS}/networks/{{task}}/dataset.h5",
    log:
        f"{LOGS}/prepare_task/{{task}}.log",
    benchmark:
        f"{BENCHMARKS}/prepare_task/{{task}}.tsv"
    conda:
        "../../envs/neurobust.yaml"
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        spec=task_spec,
    message:
        "images and labels of the task {wildcards.task}"
    script:
        "../scripts/networks/prepare_task.py"


rule train_network:
    input:
        unpack(control_files),
        dataset=f"{RESULTS}/networks/{{task}}/dataset.h5",
        predictors=target_predictors,
        code=sources("networks/train_network"),
    output:
        model=f"{RESULTS}/networks/{NETWORK}/model.safetensors",
        metrics=f"{RESULTS}/networks/{NETWORK}/metrics.json",
        history=f"{RESULTS}/networks/{NETWORK}/history.parquet",
    log:
        f"{LOGS}/train_network/{NETWORK}.log",
    benchmark:
        f"{BENCHMARKS}/train_network/{NETWORK}.tsv"
    conda:
        "../../envs/neurobust.yaml"
    resources:
        gpu=1,
        mem_mb=32000,
        runtime=480,
    params:
        recipe=lambda wildcards: canonical_json(
            recipe_of(config, wildcards.task, wildcards.architecture, wildcards.condition)
        ),
        checkpoint=subpath(output.model, parent=True),
    message:
        "network {wildcards.condition} ({wildcards.task}, {wildcards.architecture}, seed {wildcards.seed})"
    script:
        "../scripts/networks/train_network.py"
