# nsd: from a mirror of the NSD bucket to responses per ROI and resized stimuli.


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
            root=lambda wildcards: DATA,
            settings=canonical_json(phantom_settings(config)),
        message:
            f"planting a miniature NSD under {DATA}"
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


if "face_task" in config.get("phantom", {}):

    rule make_faces:
        input:
            code=sources("nsd/make_faces"),
        output:
            "resources/phantom/tasks/phantom-faces.npz",
        log:
            f"{LOGS}/make_faces.log",
        benchmark:
            f"{BENCHMARKS}/make_faces/faces.tsv"
        conda:
            "../../envs/neurobust.yaml"
        params:
            settings=canonical_json(config["phantom"]["face_task"]),
        message:
            "rendering the labelled faces of the task phantom-faces"
        script:
            "../scripts/nsd/make_faces.py"


if FROM_BUCKET:

    rule download_nsd:
        """One file of the bucket, by its own key: fetched, verified, renamed into place."""
        output:
            f"{DATA}/{{key}}",
        log:
            f"{LOGS}/download_nsd/{{key}}.log",
        benchmark:
            f"{BENCHMARKS}/download_nsd/{{key}}.tsv"
        wildcard_constraints:
            key=r"(?!.*/betas_session)nsddata(_betas|_stimuli)?/.*",
        localrule: True
        conda:
            "../../envs/neurobust.yaml"
        params:
            root=lambda wildcards: DATA,
        message:
            "fetching {wildcards.key}"
        shell:
            f"{NSD} fetch {{params.root:q}} {{output:q}} --log {{log:q}}"

    rule download_betas:
        """One session of betas, deleted once extracted unless data.keep_betas."""
        output:
            f"{DATA}/{{key}}" if KEEP_BETAS else temp(f"{DATA}/{{key}}"),
        log:
            f"{LOGS}/download_nsd/{{key}}.log",
        benchmark:
            f"{BENCHMARKS}/download_nsd/{{key}}.tsv"
        wildcard_constraints:
            key=r"nsddata_betas/.+/betas_session\d\d\.(nii\.gz|hdf5)",
        localrule: True
        conda:
            "../../envs/neurobust.yaml"
        params:
            root=lambda wildcards: DATA,
        message:
            "fetching {wildcards.key}"
        shell:
            f"{NSD} fetch {{params.root:q}} {{output:q}} --log {{log:q}}"

    rule download_stimuli:
        """The images that one subject saw, by ranged reads of the bucket's one big file."""
        input:
            design=ancient(str(layout.expdesign(DATA))),
        output:
            str(layout.subject_stimuli(DATA, "{subject}")),
        log:
            f"{LOGS}/download_stimuli/{{subject}}.log",
        benchmark:
            f"{BENCHMARKS}/download_stimuli/{{subject}}.tsv"
        localrule: True
        conda:
            "../../envs/neurobust.yaml"
        params:
            root=lambda wildcards: DATA,
            sessions=sessions_of,
        message:
            "fetching the images that {wildcards.subject} saw"
        shell:
            f"{NSD} fetch-stimuli {{params.root:q}} {{wildcards.subject}} {{params.sessions}} {{output:q}} --log {{log:q}}"

    rule download_shared_images:
        """PNGs of the 1,000 shared images: for looking at, and for `doctor` to compare with the big file."""
        input:
            design=ancient(str(layout.expdesign(DATA))),
        output:
            f"{DATA}/{layout.OWN}/shared_images.json",
        log:
            f"{LOGS}/download_shared_images.log",
        localrule: True
        conda:
            "../../envs/neurobust.yaml"
        params:
            root=lambda wildcards: DATA,
        message:
            "fetching the shared images"
        shell:
            f"{NSD} fetch-shared {{params.root:q}} {{output:q}} --log {{log:q}}"


if config["data"].get("coco_annotations"):

    rule build_labels:
        input:
            table=str(layout.stim_info(DATA)),
            annotations=config["data"]["coco_annotations"],
            code=sources("nsd/build_labels"),
        output:
            labels=f"{RESULTS}/stimuli/labels.parquet",
        log:
            f"{LOGS}/build_labels.log",
        benchmark:
            f"{BENCHMARKS}/build_labels/labels.tsv"
        conda:
            "../../envs/neurobust.yaml"
        resources:
            mem_mb=8000,
            runtime=30,
        message:
            "COCO's categories inside the crops that subjects saw"
        script:
            "../scripts/nsd/build_labels.py"


rule extract_betas:
    input:
        betas=session_files,
        labels=label_files,
        mask=lambda wildcards: str(layout.brainmask(DATA, wildcards.subject)),
        design=str(layout.expdesign(DATA)),
        # Where the sessions are gone after extraction, a changed line must not fetch them all again.
        code=sources("nsd/extract_betas") if KEEP_BETAS else [],
    output:
        betas=f"{RESULTS}/cortex/{{subject}}/betas.h5",
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
        root=lambda wildcards: DATA,
        sessions=sessions_of,
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
        images=str(layout.subject_stimuli(DATA, "{subject}") if NEEDED_STIMULI else layout.stimuli(DATA)),
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
        sessions=sessions_of,
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
        data=canonical_json(config["data"]),
    message:
        "listing the bucket"
    shell:
        f"{NSD} plan {{params.data:q}} --log {{log:q}}"


rule doctor:
    """Is the mirror what the pipeline takes it for? A table of checks; fails if one of them does."""
    input:
        [str(file) for file in manifest.small_files(DATA, SUBJECTS)] if FROM_BUCKET else phantom_files(config),
    log:
        f"{LOGS}/doctor.log",
    localrule: True
    conda:
        "../../envs/neurobust.yaml"
    params:
        data=canonical_json(config["data"]),
    message:
        "examining {DATA}"
    shell:
        f"{NSD} doctor {{params.data:q}} --log {{log:q}}"
