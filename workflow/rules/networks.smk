# networks: CNNs that classify while their penultimate layer resembles a predictor's output.
from neurobust.files.dataset import dataset_path
from neurobust.files.network_history import history_path
from neurobust.files.network_metrics import metrics_path
from neurobust.files.weights import network_weights_path
from neurobust.networks.registry import task_modules


rule prepare_task:
    input:
        source=FILES.planted_source,
    output:
        dataset=at(dataset_path, "{task}"),
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
        code=lambda wildcards: sources("networks/prepare_task", *task_modules(STUDY.tasks[wildcards.task].task.kind)),
        source=lambda wildcards: placed(FILES.task_source(wildcards)),
        spec=lambda wildcards: canonical_json(FILES.task_spec(wildcards)),
    message:
        "images and labels of the task {wildcards.task}"
    script:
        "../scripts/networks/prepare_task.py"


rule train_network:
    input:
        GATE,
        unpack(FILES.control_files),
        dataset=at(dataset_path, "{task}"),
        predictors=FILES.target_predictors,
    output:
        model=at(network_weights_path, NETWORK),
        metrics=at(metrics_path, NETWORK),
        history=at(history_path, NETWORK),
    log:
        f"{LOGS}/train_network/{NETWORK}.log",
    benchmark:
        f"{BENCHMARKS}/train_network/{NETWORK}.tsv"
    wildcard_constraints:
        architecture=one_of(STUDY.architectures),
    conda:
        "../../envs/neurobust.yaml"
    resources:
        gpu=1,
        cpus_per_task=4,
        resident_percent=50,  # of the GPU's free memory that the task's images may take
        mem_mb=32000,
        runtime=480,
    params:
        code=lambda wildcards: sources("networks/train_network", *FILES.network_modules(wildcards)),
        recipe=lambda wildcards: recipe(wildcards.task, wildcards.architecture, wildcards.condition),
        checkpoint=subpath(output.model, parent=True),
    message:
        "network {wildcards.condition} ({wildcards.task}, {wildcards.architecture}, seed {wildcards.seed})"
    script:
        "../scripts/networks/train_network.py"


if STUDY.outside:

    rule bring_network:
        """A network that others trained, written as ours are. What the user brings is checked by the job."""
        input:
            dataset=at(dataset_path, "{task}"),
            files=FILES.outside_weights,
        output:
            model=at(network_weights_path, NETWORK),
            metrics=at(metrics_path, NETWORK),
        log:
            f"{LOGS}/bring_network/{NETWORK}.log",
        benchmark:
            f"{BENCHMARKS}/bring_network/{NETWORK}.tsv"
        wildcard_constraints:
            architecture=OUTSIDE,
            condition=one_of(STUDY.outside),
        conda:
            "../../envs/neurobust.yaml"
        resources:
            gpu=1,
            cpus_per_task=4,
            mem_mb=16000,
            runtime=60,
        params:
            code=lambda wildcards: sources("networks/bring_network", *STUDY.outside[wildcards.condition].modules()),
            settings=lambda wildcards: parameters(STUDY.outside[wildcards.condition]),
        message:
            "{wildcards.condition}, a network from outside ({wildcards.task})"
        script:
            "../scripts/networks/bring_network.py"
