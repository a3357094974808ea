# predictors: from images to ROI responses, one predictor per ROI, joint over subjects.


rule train_predictor:
    input:
        rois=expand(f"{RESULTS}/cortex/{{subject}}/{{{{roi}}}}.h5", subject=SUBJECTS),
        stimuli=lambda wildcards: expand(
            f"{RESULTS}/stimuli/{{subject}}/{{size}}.h5",
            subject=SUBJECTS,
            size=config["predictors"][wildcards.predictor]["input_size"],
        ),
        weights=predictor_weights,
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


rule map_voxels:
    input:
        rois=expand(f"{RESULTS}/cortex/{{subject}}/{{{{roi}}}}.h5", subject=SUBJECTS),
        voxels=rules.train_predictor.output.voxels,
        code=sources("predictors/map_voxels"),
    output:
        expand(
            f"{RESULTS}/predictors/{{{{predictor}}}}/{{{{roi}}}}/seed{{{{seed}}}}/maps/{{subject}}_{{measure}}.nii.gz",
            subject=SUBJECTS,
            measure=MAPS,
        ),
    log:
        f"{LOGS}/map_voxels/{{predictor}}/{{roi}}/seed{{seed}}.log",
    benchmark:
        f"{BENCHMARKS}/map_voxels/{{predictor}}/{{roi}}/seed{{seed}}.tsv"
    conda:
        "../../envs/neurobust.yaml"
    params:
        measures=canonical_json(MAPS),
    message:
        "maps of {wildcards.roi} by predictor {wildcards.predictor}, seed {wildcards.seed}"
    script:
        "../scripts/predictors/map_voxels.py"


rule download_alexnet:
    """Weights of torchvision's AlexNet, the prefilter. A command, so a change of the code fetches nothing again."""
    output:
        "{folder}/alexnet-owt-7be5be79.pth",
    log:
        f"{LOGS}/download_alexnet/{{folder}}.log",
    localrule: True
    conda:
        "../../envs/neurobust.yaml"
    message:
        "fetching torchvision's AlexNet to {output}"
    shell:
        f"{sys.executable} -m neurobust.predictors.alexnet"
        " {output:q} > {log:q} 2>&1 || {{ cat {log:q} >&2; exit 1; }}"
