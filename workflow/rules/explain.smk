# explain: what the predictors see, what guidance changed in a network, and what of it goes with robustness.
from neurobust.explain.registry import analysis_modules
from neurobust.files.dataset import dataset_path
from neurobust.files.explained import network_analysis_path, predictor_analysis_path, study_analysis_path
from neurobust.files.predictor_tables import voxels_path
from neurobust.files.weights import network_weights_path, predictor_weights_path
from neurobust.study.explained import Explained, of_analyses, outputs

EXPLAINED = Explained(STUDY)
# By scope: what is cheap is one job of a network or a predictor, each dear analysis (`apart`) one of its own.
PREDICTOR_CHEAP, PREDICTOR_DEAR = EXPLAINED.by_price("predictor")
NETWORK_CHEAP, NETWORK_DEAR = EXPLAINED.by_price("network")
STUDY_ANALYSES = EXPLAINED.analyses("study")
PRF_FILES = EXPLAINED.prf_files(MIRROR)  # of a predictor, where an analysis reads them
BLOCK = ("{task}", "{architecture}")


if PREDICTOR_CHEAP:

    rule explain_predictor:
        input:
            model=at(predictor_weights_path, *PREDICTOR),
            voxels=at(voxels_path, *PREDICTOR),
            responses=of_analyses(EXPLAINED.predictor_responses, *PREDICTOR_CHEAP),
            stimuli=EXPLAINED.predictor_stimuli,
            labels=EXPLAINED.stimulus_labels(PREDICTOR_CHEAP),
            prfs=of_bucket(of_analyses(PRF_FILES, *PREDICTOR_CHEAP)),
        output:
            outputs(PREDICTOR_CHEAP, at, predictor_analysis_path, *PREDICTOR),
        log:
            f"{LOGS}/explain_predictor/{{predictor}}/{{roi}}/seed{{seed}}.log",
        benchmark:
            f"{BENCHMARKS}/explain_predictor/{{predictor}}/{{roi}}/seed{{seed}}.tsv"
        conda:
            "../../envs/neurobust.yaml"
        resources:
            gpu=1,
            cpus_per_task=4,
            mem_mb=16000,
            runtime=60,
        params:
            code=lambda wildcards: sources(
                "explain/explain_predictor", *EXPLAINED.predictor_modules(wildcards, PREDICTOR_CHEAP)
            ),
            analyses=EXPLAINED.parameter(PREDICTOR_CHEAP),
            rois=of_analyses(EXPLAINED.measured_rois, *PREDICTOR_CHEAP),
            images=EXPLAINED.most_stimuli,
            folder=subpath(output[0], parent=True),
        message:
            "what predictor {wildcards.predictor} of {wildcards.roi} sees, seed {wildcards.seed}"
        script:
            "../scripts/explain/explain_predictor.py"


if PREDICTOR_DEAR:

    use rule explain_predictor as explain_predictor_apart with:
        input:
            model=at(predictor_weights_path, *PREDICTOR),
            voxels=at(voxels_path, *PREDICTOR),
            responses=of_analyses(EXPLAINED.predictor_responses),
            stimuli=EXPLAINED.predictor_stimuli,
            labels=lambda wildcards: EXPLAINED.stimulus_labels([wildcards.analysis]),
            prfs=of_bucket(of_analyses(PRF_FILES)),
        output:
            outputs({"{analysis}": None}, at, predictor_analysis_path, *PREDICTOR),
        log:
            f"{LOGS}/explain_predictor_apart/{{predictor}}/{{roi}}/seed{{seed}}/{{analysis}}.log",
        benchmark:
            f"{BENCHMARKS}/explain_predictor_apart/{{predictor}}/{{roi}}/seed{{seed}}/{{analysis}}.tsv"
        wildcard_constraints:
            analysis=one_of(PREDICTOR_DEAR),
        params:
            code=lambda wildcards: sources(
                "explain/explain_predictor", *EXPLAINED.predictor_modules(wildcards, [wildcards.analysis])
            ),
            analyses=lambda wildcards: EXPLAINED.parameter([wildcards.analysis]),
            rois=of_analyses(EXPLAINED.measured_rois),
            images=EXPLAINED.most_stimuli,
            folder=subpath(output[0], parent=True),


if NETWORK_CHEAP:

    rule explain_network:
        input:
            dataset=at(dataset_path, "{task}"),
            model=at(network_weights_path, NETWORK),
            predictors=of_analyses(EXPLAINED.compared_predictors, *NETWORK_CHEAP),
            responses=of_analyses(EXPLAINED.compared_responses, *NETWORK_CHEAP),
            stimuli=of_analyses(EXPLAINED.compared_stimuli, *NETWORK_CHEAP),
            examples=of_analyses(EXPLAINED.stored_examples, *NETWORK_CHEAP),
            transfer=of_analyses(EXPLAINED.stored_transfer, *NETWORK_CHEAP),
            minimal=of_analyses(EXPLAINED.minimal_tables, *NETWORK_CHEAP),
            named=of_analyses(EXPLAINED.named_files, *NETWORK_CHEAP),
        output:
            outputs(NETWORK_CHEAP, at, network_analysis_path, NETWORK),
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
            code=lambda wildcards: sources(
                "explain/explain_network", *EXPLAINED.network_modules(wildcards, NETWORK_CHEAP)
            ),
            analyses=EXPLAINED.parameter(NETWORK_CHEAP),
            rois=EXPLAINED.compared_rois,
            images=lambda wildcards: STUDY.tasks[wildcards.task].attack_images,
            folder=subpath(output[0], parent=True),
        message:
            "inside {wildcards.condition} ({wildcards.task}, {wildcards.architecture}, seed {wildcards.seed})"
        script:
            "../scripts/explain/explain_network.py"


if NETWORK_DEAR:

    use rule explain_network as explain_network_apart with:
        input:
            dataset=at(dataset_path, "{task}"),
            model=at(network_weights_path, NETWORK),
            predictors=of_analyses(EXPLAINED.compared_predictors),
            responses=of_analyses(EXPLAINED.compared_responses),
            stimuli=of_analyses(EXPLAINED.compared_stimuli),
            examples=of_analyses(EXPLAINED.stored_examples),
            transfer=of_analyses(EXPLAINED.stored_transfer),
            minimal=of_analyses(EXPLAINED.minimal_tables),
            named=of_analyses(EXPLAINED.named_files),
        output:
            outputs({"{analysis}": None}, at, network_analysis_path, NETWORK),
        log:
            f"{LOGS}/explain_network_apart/{NETWORK}/{{analysis}}.log",
        benchmark:
            f"{BENCHMARKS}/explain_network_apart/{NETWORK}/{{analysis}}.tsv"
        wildcard_constraints:
            analysis=one_of(NETWORK_DEAR),
        params:
            code=lambda wildcards: sources(
                "explain/explain_network", *EXPLAINED.network_modules(wildcards, [wildcards.analysis])
            ),
            analyses=lambda wildcards: EXPLAINED.parameter([wildcards.analysis]),
            rois=EXPLAINED.compared_rois,
            images=lambda wildcards: STUDY.tasks[wildcards.task].attack_images,
            folder=subpath(output[0], parent=True),


if STUDY_ANALYSES:

    rule explain_study:
        input:
            metrics=EXPLAINED.block_metrics,
            attacked=EXPLAINED.block_attacked,
            tables=EXPLAINED.block_tables,
        output:
            outputs(STUDY_ANALYSES, at, study_analysis_path, *BLOCK),
        log:
            f"{LOGS}/explain_study/{{task}}/{{architecture}}.log",
        benchmark:
            f"{BENCHMARKS}/explain_study/{{task}}/{{architecture}}.tsv"
        localrule: True
        conda:
            "../../envs/neurobust.yaml"
        params:
            code=sources("explain/explain_study", *analysis_modules(STUDY_ANALYSES)),
            analyses=EXPLAINED.parameter(STUDY_ANALYSES),
            gains=EXPLAINED.gains,
            folder=subpath(output[0], parent=True),
        message:
            "what goes with robustness ({wildcards.task}, {wildcards.architecture})"
        script:
            "../scripts/explain/explain_study.py"
