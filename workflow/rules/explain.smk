# explain: what regularisation changed inside a network.


rule explain_network:
    input:
        dataset=f"{RESULTS}/networks/{{task}}/dataset.h5",
        model=f"{RESULTS}/networks/{NETWORK}/model.safetensors",
        predictors=guiding_predictors,
        code=sources("explain/explain_network"),
    output:
        inside=f"{RESULTS}/explain/{NETWORK}/inside.parquet",
    log:
        f"{LOGS}/explain_network/{NETWORK}.log",
    benchmark:
        f"{BENCHMARKS}/explain_network/{NETWORK}.tsv"
    conda:
        "../../envs/neurobust.yaml"
    resources:
        gpu=1,
        mem_mb=16000,
        runtime=60,
    params:
        rois=guiding_rois(),
        images=config["attack_images"],
    message:
        "inside {wildcards.condition} ({wildcards.task}, {wildcards.architecture}, seed {wildcards.seed})"
    script:
        "../scripts/explain/explain_network.py"
