# networks: CNNs that classify while their penultimate layer resembles a predictor's output.


rule prepare_task:
    input:
        source=planted_source,
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
        source=task_source,
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
