# predictors: from images to ROI responses, one predictor per ROI, joint over subjects.


rule train_predictor:
    input:
        rois=expand(f"{RESULTS}/cortex/{{subject}}/{{{{roi}}}}.h5", subject=SUBJECTS),
        stimuli=lambda wildcards: expand(
            f"{RESULTS}/stimuli/{{subject}}/{{size}}.h5",
            subject=SUBJECTS,
            size=config["predictors"][wildcards.predictor]["input_size"],
        ),
        prefilter=lambda wildcards: [
            path for path in [config["predictors"][wildcards.predictor]["prefilter"]] if path != "gabor"
        ],
        code=sources("predictors/train_predictor"),
    output:
        model=f"{RESULTS}/predictors/{{predictor}}/{{roi}}/seed{{seed}}/model.safetensors",
        metrics=f"{RESULTS}/predictors/{{predictor}}/{{roi}}/seed{{seed}}/metrics.json",
        voxels=f"{RESULTS}/predictors/{{predictor}}/{{roi}}/seed{{seed}}/voxels.parquet",
    log:
        f"{LOGS}/train_predictor/{{predictor}}/{{roi}}/seed{{seed}}.log",
    benchmark:
        f"{BENCHMARKS}/train_predictor/{{predictor}}/{{roi}}/seed{{seed}}.tsv"
    conda:
        "../../envs/neurobust.yaml"
    resources:
        gpu=1,
        mem_mb=32000,
        runtime=480,
    params:
        settings=lambda wildcards: canonical_json(config["predictors"][wildcards.predictor]),
        checkpoint=subpath(output.model, parent=True),
    message:
        "predictor {wildcards.predictor} of {wildcards.roi}, seed {wildcards.seed}"
    script:
        "../scripts/predictors/train_predictor.py"
