# predictors: from images to ROI responses, one predictor per ROI, joint over subjects.
import sys

from neurobust.files.predictor_tables import map_path, predictor_metrics_path, voxels_path
from neurobust.files.roi import roi_path
from neurobust.files.stimuli import stimuli_path
from neurobust.files.weights import predictor_weights_path
from neurobust.predictors.gnet_settings import ALEXNET

PREDICTOR = ("{predictor}", "{roi}", "{seed}")
MAPS = ["r", "r_normalised", "fev", "noise_ceiling", "p_fdr", "field_x", "field_y", "field_size"]


rule train_predictor:
    input:
        rois=[at(roi_path, subject, "{roi}") for subject in SUBJECTS],
        stimuli=lambda wildcards: [
            at(stimuli_path, subject, STUDY.predictors[wildcards.predictor].input_size) for subject in SUBJECTS
        ],
        weights=FILES.predictor_weights,
    output:
        model=at(predictor_weights_path, *PREDICTOR),
        metrics=at(predictor_metrics_path, *PREDICTOR),
        voxels=at(voxels_path, *PREDICTOR),
    log:
        f"{LOGS}/train_predictor/{{predictor}}/{{roi}}/seed{{seed}}.log",
    benchmark:
        f"{BENCHMARKS}/train_predictor/{{predictor}}/{{roi}}/seed{{seed}}.tsv"
    conda:
        "../../envs/neurobust.yaml"
    resources:
        gpu=1,
        cpus_per_task=4,
        mem_mb=32000,
        runtime=480,
    params:
        code=lambda wildcards: sources("predictors/train_predictor", *FILES.predictor_modules(wildcards)),
        settings=lambda wildcards: parameters(STUDY.predictors[wildcards.predictor]),
        checkpoint=subpath(output.model, parent=True),
    message:
        "predictor {wildcards.predictor} of {wildcards.roi}, seed {wildcards.seed}"
    script:
        "../scripts/predictors/train_predictor.py"


rule map_voxels:
    input:
        rois=[at(roi_path, subject, "{roi}") for subject in SUBJECTS],
        voxels=rules.train_predictor.output.voxels,
    output:
        [at(map_path, *PREDICTOR, subject, measure) for subject in SUBJECTS for measure in MAPS],
    log:
        f"{LOGS}/map_voxels/{{predictor}}/{{roi}}/seed{{seed}}.log",
    benchmark:
        f"{BENCHMARKS}/map_voxels/{{predictor}}/{{roi}}/seed{{seed}}.tsv"
    conda:
        "../../envs/neurobust.yaml"
    params:
        code=sources("predictors/map_voxels"),
        measures=canonical_json(MAPS),
    message:
        "maps of {wildcards.roi} by predictor {wildcards.predictor}, seed {wildcards.seed}"
    script:
        "../scripts/predictors/map_voxels.py"


rule download_alexnet:
    """Weights of torchvision's AlexNet, the prefilter. A command, so a change of the code fetches nothing again."""
    output:
        f"{{folder}}/{ALEXNET}",
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
