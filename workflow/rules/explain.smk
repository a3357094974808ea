# explain: what regularisation changed inside a network.


def guiding_rois():
    """The ROIs that some condition of the study is guided by."""
    return [roi for roi in ROIS if any(roi in c.get("target", []) for c in config["conditions"].values())]


def guiding_predictors(wildcards):
    """The predictor of each guiding ROI: of the kind that the first condition with this target names."""
    paths = []
    for roi in guiding_rois():
        name = next(c["predictor"] for c in config["conditions"].values() if roi in c.get("target", []))
        seed = predictor_seed(config, int(wildcards.seed))
        paths.append(f"{RESULTS}/predictors/{name}/{roi}/seed{seed}/model.safetensors")
    return paths


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
