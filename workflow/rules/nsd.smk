# nsd: from a mirror of the NSD bucket to responses per ROI and resized stimuli.
import sys

from neurobust.files.betas import betas_path
from neurobust.files.quality import quality_path
from neurobust.files.roi import roi_path
from neurobust.files.stimuli import stimuli_path
from neurobust.files.stimulus_labels import stimulus_labels_path
from neurobust.nsd import layout

NSD = f"{sys.executable} -m neurobust.nsd"  # downloads are commands: a change of the code fetches nothing again
# For commands that fetch: where else they look for what they read.
COPY = "" if PLACED.cache is None else f"--copy {shlex.quote(PLACED.root)}"
# Of the rules that lead to the gate (`check_betas`): where a training could start as well, they come first.
BEFORE_TRAINING = 1
FETCHING = ("download_nsd", "download_stimuli", "download_shared_images")  # the rules that need a server


if MIRROR.planted is not None:

    rule make_phantom:
        output:
            spared(MIRROR.phantom_files()),
        log:
            f"{LOGS}/make_phantom.log",
        benchmark:
            f"{BENCHMARKS}/make_phantom/phantom.tsv"
        priority: BEFORE_TRAINING
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
        priority: BEFORE_TRAINING
        localrule: True
        conda:
            "../../envs/neurobust.yaml"
        params:
            root=lambda wildcards: ROOT,
        message:
            "fetching {wildcards.key}"
        shell:
            f"{NSD} fetch {{params.root:q}} {{output:q}} --results {shlex.quote(placed(RESULTS))} {COPY} --log {{log:q}}"

    rule download_stimuli:
        """The images that one subject saw, by ranged reads of the bucket's one big file."""
        input:
            design=ancient(borrowed(str(layout.expdesign(MIRROR.root)))),
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
            f"{NSD} fetch-stimuli {{params.root:q}} {{wildcards.subject}} {{params.sessions}} {{output:q}} {COPY} --log {{log:q}}"

    rule download_shared_images:
        """PNGs of the 1,000 shared images: for looking at, and for `doctor` to compare with the big file."""
        input:
            design=ancient(borrowed(str(layout.expdesign(MIRROR.root)))),
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
            f"{NSD} fetch-shared {{params.root:q}} {{output:q}} {COPY} --log {{log:q}}"


if MIRROR.annotations is not None:

    rule build_labels:
        input:
            table=of_bucket(str(layout.stim_info(MIRROR.root))),
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
        betas=of_bucket(MIRROR.session_files),
        # They say which voxels, not what these have: a file that was packed again must not fetch all sessions again. An
        # ROI whose voxels are not among them says so.
        labels=of_bucket(MIRROR.label_files),
        mask=of_bucket(lambda wildcards: str(layout.brainmask(MIRROR.root, wildcards.subject, STUDY.data.space))),
        design=borrowed(str(layout.expdesign(MIRROR.root))),
    output:
        betas=at(betas_path, "{subject}"),
    log:
        f"{LOGS}/extract_betas/{{subject}}.log",
    benchmark:
        f"{BENCHMARKS}/extract_betas/{{subject}}.tsv"
    priority: BEFORE_TRAINING
    conda:
        "../../envs/neurobust.yaml"
    threads: 4
    resources:
        mem_mb=6000,
        runtime=120,
    params:
        # Where the sessions are gone after extraction, a changed line must not fetch them all again.
        code=sources("nsd/extract_betas") if MIRROR.keeps_betas else "",
        root=root_of_mirror,
        sessions=MIRROR.sessions,
    message:
        "reading every labelled visual voxel of {wildcards.subject}, once"
    script:
        "../scripts/nsd/extract_betas.py"


rule check_betas:
    """Are the betas the subject's own, in their place and in their order? Its ROIs, and all that is trained on them, wait."""
    input:
        betas=at(betas_path, "{subject}"),
        published=of_bucket(MIRROR.evidence_files),
    output:
        quality=at(quality_path, "{subject}"),
    log:
        f"{LOGS}/check_betas/{{subject}}.log",
    benchmark:
        f"{BENCHMARKS}/check_betas/{{subject}}.tsv"
    priority: BEFORE_TRAINING
    retries: 0  # wrong data stay wrong
    conda:
        "../../envs/neurobust.yaml"
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        code=sources("nsd/check_betas"),
        root=root_of_mirror,
    message:
        "are the betas of {wildcards.subject} its own, in place and in order?"
    script:
        "../scripts/nsd/check_betas.py"


rule extract_roi:
    input:
        betas=at(betas_path, "{subject}"),
        quality=ancient(at(quality_path, "{subject}")),  # must be there; another look at the same betas changes nothing
        files=borrowed(MIRROR.roi_files),
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
        root=root_of_mirror,
        spec=lambda wildcards: parameters(STUDY.rois[wildcards.roi]),
        splits=lambda wildcards: parameters(MIRROR.splits(wildcards)),
    message:
        "responses of {wildcards.roi} in {wildcards.subject}"
    script:
        "../scripts/nsd/extract_roi.py"


rule build_stimuli:
    input:
        images=of_bucket(MIRROR.stimuli),
        design=borrowed(str(layout.expdesign(MIRROR.root))),
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
        root=root_of_mirror,
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
        data=parameters(PLACED),
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
        data=parameters(PLACED),
    message:
        "examining {ROOT}"
    shell:
        f"{NSD} doctor {{params.data:q}} --log {{log:q}}"
