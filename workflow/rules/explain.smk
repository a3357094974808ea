# explain: what regularisation changed inside a network.
from neurobust.explain.registry import analysis_modules
from neurobust.files.dataset import dataset_path
from neurobust.files.inside import inside_path
from neurobust.files.weights import network_weights_path


rule explain_network:
    input:
        dataset=at(dataset_path, "{task}"),
        model=at(network_weights_path, NETWORK),
        predictors=FILES.guiding_predictors,
    output:
        inside=at(inside_path, NETWORK),
    log:
        f"{LOGS}/explain_network/{NETWORK}.log",
    benchmark:
        f"{BENCHMARKS}/explain_network/{NETWORK}.tsv"
    conda:
        "../../envs/neurobust.yaml"
    resources:
        gpu=1,
        cpus_per_task=4,
        mem_mb=16000,
        runtime=60,
    params:
        code=sources("explain/explain_network", *analysis_modules(), *FILES.guiding_modules()),
        rois=FILES.guiding_rois(),
        images=lambda wildcards: STUDY.tasks[wildcards.task].attack_images,
    message:
        "inside {wildcards.condition} ({wildcards.task}, {wildcards.architecture}, seed {wildcards.seed})"
    script:
        "../scripts/explain/explain_network.py"
