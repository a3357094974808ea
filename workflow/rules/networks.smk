# networks: CNNs that classify while their penultimate layer resembles a predictor's output.


def task_source(wildcards):
    """The images of a task that are not part of a library: a folder, a file, or the phantom's scenes."""
    task = config["tasks"][wildcards.task]
    if task["kind"] == "phantom-scenes":
        return ["resources/phantom/tasks/phantom-scenes.npz"]
    return [task["source"]] if "source" in task else []


def task_spec(wildcards):
    """What of a task's configuration makes its images."""
    task = config["tasks"][wildcards.task]
    return canonical_json({key: value for key, value in task.items() if key not in ("source", "training")})


def target_predictors(wildcards):
    """The predictors that a condition's target is made of; none for a condition without a target."""
    condition = config["conditions"][wildcards.condition]
    return expand(
        f"{RESULTS}/predictors/{{predictor}}/{{roi}}/seed{{seed}}/model.safetensors",
        predictor=condition.get("predictor", []),
        roi=condition.get("target", []),
        seed=predictor_seed(config, int(wildcards.seed)),
    )


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
