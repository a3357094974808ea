# nsd: from a mirror of the NSD bucket to responses per ROI and resized stimuli.
from neurobust.nsd import layout
from neurobust.phantom.outputs import phantom_files, phantom_settings


def session_files(wildcards):
    """The betas of every session that the subject ran, in numeric order."""
    count = config["data"]["subjects"][wildcards.subject]["sessions"]
    suffix = config["data"]["format"]
    return [str(layout.session(DATA, wildcards.subject, n, suffix)) for n in range(1, count + 1)]


def label_files(wildcards):
    """The label volumes of all atlases: left, right, and both in one."""
    sides = (None, *layout.HEMISPHERES)
    return [str(layout.roi(DATA, wildcards.subject, atlas, side)) for atlas in layout.ATLASES for side in sides]


def min_sessions():
    """The fewest sessions of any subject: images that all saw three times had their repeats within these."""
    return min(spec["sessions"] for spec in config["data"]["subjects"].values())


def roi_files(wildcards):
    """The small files that one ROI is cut from."""
    spec = config["rois"][wildcards.roi]
    subject = wildcards.subject
    files = [
        layout.roi(DATA, subject, spec["atlas"], spec.get("hemisphere")),
        layout.ctab(DATA, subject, spec["atlas"]),
        layout.ncsnr(DATA, subject),
        layout.brainmask(DATA, subject),
        layout.expdesign(DATA),
    ]
    if "within" in spec:
        files.append(layout.roi(DATA, subject, spec["within"]))
    return [str(file) for file in files]


if config["data"]["source"] == "phantom":

    rule make_phantom:
        input:
            code=sources("nsd/make_phantom"),
        output:
            phantom_files(config),
        log:
            f"{LOGS}/make_phantom.log",
        benchmark:
            f"{BENCHMARKS}/make_phantom/phantom.tsv"
        conda:
            "../../envs/neurobust.yaml"
        params:
            root=DATA,
            settings=canonical_json(phantom_settings(config)),
        message:
            "planting a miniature NSD under {params.root}"
        script:
            "../scripts/nsd/make_phantom.py"


if "phantom" in config:

    rule make_scenes:
        input:
            code=sources("nsd/make_scenes"),
        output:
            "resources/phantom/tasks/phantom-scenes.npz",
        log:
            f"{LOGS}/make_scenes.log",
        benchmark:
            f"{BENCHMARKS}/make_scenes/scenes.tsv"
        conda:
            "../../envs/neurobust.yaml"
        params:
            settings=canonical_json(config["phantom"]["scenes"]),
        message:
            "rendering the labelled scenes of the task phantom-scenes"
        script:
            "../scripts/nsd/make_scenes.py"


rule extract_betas:
    input:
        betas=session_files,
        labels=label_files,
        mask=lambda wildcards: str(layout.brainmask(DATA, wildcards.subject)),
        design=str(layout.expdesign(DATA)),
        code=sources("nsd/extract_betas"),
    output:
        betas=f"{RESULTS}/cortex/{{subject}}/betas.h5",
    log:
        f"{LOGS}/extract_betas/{{subject}}.log",
    benchmark:
        f"{BENCHMARKS}/extract_betas/{{subject}}.tsv"
    conda:
        "../../envs/neurobust.yaml"
    resources:
        mem_mb=4000,
        runtime=120,
    params:
        root=lambda wildcards: DATA,
        sessions=lambda wildcards: config["data"]["subjects"][wildcards.subject]["sessions"],
    message:
        "reading every labelled visual voxel of {wildcards.subject}, once"
    script:
        "../scripts/nsd/extract_betas.py"


rule extract_roi:
    input:
        betas=f"{RESULTS}/cortex/{{subject}}/betas.h5",
        files=roi_files,
        code=sources("nsd/extract_roi"),
    output:
        roi=f"{RESULTS}/cortex/{{subject}}/{{roi}}.h5",
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
        root=lambda wildcards: DATA,
        spec=lambda wildcards: canonical_json(config["rois"][wildcards.roi]),
        splits=canonical_json({**config["splits"], "min_sessions": min_sessions()}),
    message:
        "responses of {wildcards.roi} in {wildcards.subject}"
    script:
        "../scripts/nsd/extract_roi.py"


rule build_stimuli:
    input:
        images=str(layout.stimuli(DATA)),
        design=str(layout.expdesign(DATA)),
        code=sources("nsd/build_stimuli"),
    output:
        images=f"{RESULTS}/stimuli/{{subject}}/{{size}}.h5",
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
        root=lambda wildcards: DATA,
        sessions=lambda wildcards: config["data"]["subjects"][wildcards.subject]["sessions"],
    message:
        "images of {wildcards.subject} at {wildcards.size} pixels"
    script:
        "../scripts/nsd/build_stimuli.py"
