# nsd: from a mirror of the NSD bucket to responses per ROI and resized stimuli.
import sys

from msgspec.structs import replace

from neurobust.files.betas import betas_path
from neurobust.files.roi import roi_path
from neurobust.files.stimuli import stimuli_path
from neurobust.files.stimulus_labels import stimulus_labels_path
from neurobust.nsd import layout

NSD = f"{sys.executable} -m neurobust.nsd"  # downloads are commands: a change of the code fetches nothing again


if MIRROR.planted is not None:

    rule make_phantom:
        output:
            spared(MIRROR.phantom_files()),
        log:
            f"{LOGS}/make_phantom.log",
        benchmark:
            f"{BENCHMARKS}/make_phantom/phantom.tsv"
        conda:
            "../../envs/neurobust.yaml"
        params:
            code=sources("nsd/make_phantom"),
            root=lambda wildcards: ROOT,
            settings=parameters(MIRROR.planted),
        message:
            f"planting a miniature NSD under {ROOT}"
        script:
            "../scripts/nsd/make_phantom.py"


if STUDY.planted is not None:

    rule make_scenes:
        output:
            spared(FILES.rendered("phantom-scenes")),
        log:
            f"{LOGS}/make_scenes.log",
        benchmark:
            f"{BENCHMARKS}/make_scenes/scenes.tsv"
        conda:
            "../../envs/neurobust.yaml"
        params:
            code=sources("nsd/make_scenes"),
            settings=parameters(STUDY.planted.scene_task),
        message:
            "rendering the labelled scenes of the task phantom-scenes"
        script:
            "../scripts/nsd/make_scenes.py"


if STUDY.planted is not None and STUDY.planted.face_task is not None:

    rule make_faces:
        output:
            spared(FILES.rendered("phantom-faces")),
        log:
            f"{LOGS}/make_faces.log",
        benchmark:
            f"{BENCHMARKS}/make_faces/faces.tsv"
        conda:
            "../../envs/neurobust.yaml"
        params:
            code=sources("nsd/make_faces"),
            settings=parameters(STUDY.planted.face_task),
        message:
            "rendering the labelled faces of the task phantom-faces"
        script:
            "../scripts/nsd/make_faces.py"


if STUDY.data.from_bucket:

    rule download_nsd:
        """One file of the bucket, by its own key: fetched, verified, renamed into place."""
        output:
            spared(f"{DATA}/{{key}}"),
        log:
            f"{LOGS}/download_nsd/{{key}}.log",
        benchmark:
            f"{BENCHMARKS}/download_nsd/{{key}}.tsv"
        wildcard_constraints:
            key=r"nsddata(_betas|_stimuli)?/.*",
        localrule: True
        conda:
            "../../envs/neurobust.yaml"
        params:
            root=lambda wildcards: ROOT,
        message:
            "fetching {wildcards.key}"
        shell:
            f"{NSD} fetch {{params.root:q}} {{output:q}} --results {shlex.quote(placed(RESULTS))} --log {{log:q}}"

    rule download_stimuli:
        """The images that one subject saw, by ranged reads of the bucket's one big file."""
        input:
            design=ancient(str(layout.expdesign(DATA))),
        output:
            spared(str(layout.subject_stimuli(DATA, "{subject}"))),
        log:
            f"{LOGS}/download_stimuli/{{subject}}.log",
        benchmark:
            f"{BENCHMARKS}/download_stimuli/{{subject}}.tsv"
        localrule: True
        conda:
            "../../envs/neurobust.yaml"
        params:
            root=lambda wildcards: ROOT,
            sessions=MIRROR.sessions,
        message:
            "fetching the images that {wildcards.subject} saw"
        shell:
            f"{NSD} fetch-stimuli {{params.root:q}} {{wildcards.subject}} {{params.sessions}} {{output:q}} --log {{log:q}}"

    rule download_shared_images:
        """PNGs of the 1,000 shared images: for looking at, and for `doctor` to compare with the big file."""
        input:
            design=ancient(str(layout.expdesign(DATA))),
        output:
            spared(f"{DATA}/{layout.OWN}/shared_images.json"),
        log:
            f"{LOGS}/download_shared_images.log",
        localrule: True
        conda:
            "../../envs/neurobust.yaml"
        params:
            root=lambda wildcards: ROOT,
        message:
            "fetching the shared images"
        shell:
            f"{NSD} fetch-shared {{params.root:q}} {{output:q}} --log {{log:q}}"


if MIRROR.annotations is not None:

    rule build_labels:
        input:
            table=str(layout.stim_info(DATA)),
            annotations=MIRROR.annotations,
        output:
            labels=at(stimulus_labels_path),
        log:
            f"{LOGS}/build_labels.log",
        benchmark:
            f"{BENCHMARKS}/build_labels/labels.tsv"
        conda:
            "../../envs/neurobust.yaml"
        resources:
            mem_mb=8000,
            runtime=30,
        params:
            code=sources("nsd/build_labels"),
        message:
            "COCO's categories inside the crops that subjects saw"
        script:
            "../scripts/nsd/build_labels.py"


rule extract_betas:
    input:
        # of the bucket: what another study fetches again is the same
        betas=ancient(MIRROR.session_files) if STUDY.data.from_bucket else MIRROR.session_files,
        labels=MIRROR.label_files,
        mask=lambda wildcards: str(layout.brainmask(DATA, wildcards.subject)),
        design=str(layout.expdesign(DATA)),
    output:
        betas=at(betas_path, "{subject}"),
    log:
        f"{LOGS}/extract_betas/{{subject}}.log",
    benchmark:
        f"{BENCHMARKS}/extract_betas/{{subject}}.tsv"
    conda:
        "../../envs/neurobust.yaml"
    threads: 4
    resources:
        mem_mb=6000,
        runtime=120,
    params:
        # Where the sessions are gone after extraction, a changed line must not fetch them all again.
        code=sources("nsd/extract_betas") if MIRROR.keeps_betas else "",
        root=lambda wildcards: ROOT,
        sessions=MIRROR.sessions,
    message:
        "reading every labelled visual voxel of {wildcards.subject}, once"
    script:
        "../scripts/nsd/extract_betas.py"


rule extract_roi:
    input:
        betas=at(betas_path, "{subject}"),
        files=MIRROR.roi_files,
    output:
        roi=at(roi_path, "{subject}", "{roi}"),
    log:
        f"{LOGS}/extract_roi/{{subject}}/{{roi}}.log",
    benchmark:
        f"{BENCHMARKS}/extract_roi/{{subject}}/{{roi}}.tsv"
    conda:
        "../../envs/neurobust.yaml"
    resources:
        mem_mb=16000,
        runtime=30,
    params:
        code=sources("nsd/extract_roi"),
        root=lambda wildcards: ROOT,
        spec=lambda wildcards: parameters(STUDY.rois[wildcards.roi]),
        splits=parameters(MIRROR.splits),
    message:
        "responses of {wildcards.roi} in {wildcards.subject}"
    script:
        "../scripts/nsd/extract_roi.py"


rule build_stimuli:
    input:
        images=str(MIRROR.stimuli()),
        design=str(layout.expdesign(DATA)),
    output:
        images=at(stimuli_path, "{subject}", "{size}"),
    log:
        f"{LOGS}/build_stimuli/{{subject}}/{{size}}.log",
    benchmark:
        f"{BENCHMARKS}/build_stimuli/{{subject}}/{{size}}.tsv"
    conda:
        "../../envs/neurobust.yaml"
    resources:
        mem_mb=4000,
        runtime=120,
    params:
        code=sources("nsd/build_stimuli"),
        root=lambda wildcards: ROOT,
        sessions=MIRROR.sessions,
    message:
        "images of {wildcards.subject} at {wildcards.size} pixels"
    script:
        "../scripts/nsd/build_stimuli.py"


rule plan_download:
    """What the study needs from the bucket: sizes by the bucket's own listing. Fetches nothing."""
    log:
        f"{LOGS}/plan_download.log",
    localrule: True
    conda:
        "../../envs/neurobust.yaml"
    params:
        data=parameters(replace(STUDY.data, root=ROOT)),
    message:
        "listing the bucket"
    shell:
        f"{NSD} plan {{params.data:q}} --log {{log:q}}"


rule doctor:
    """Is the mirror what the pipeline takes it for? A table of checks; fails if one of them does."""
    input:
        MIRROR.small_files() if STUDY.data.from_bucket else MIRROR.phantom_files(),
    log:
        f"{LOGS}/doctor.log",
    localrule: True
    conda:
        "../../envs/neurobust.yaml"
    params:
        data=parameters(replace(STUDY.data, root=ROOT)),
    message:
        "examining {ROOT}"
    shell:
        f"{NSD} doctor {{params.data:q}} --log {{log:q}}"
