# preflight: can this cluster run the study (`snakemake preflight`), and what will it cost (`snakemake plan`)?
import time

from neurobust.core.io import unwritable
from neurobust.core.slurm import guard, status_settings, submits

ASKED = time.time()  # as a parameter: each question is answered again


onstart:
    try:
        MIRROR.enter(
            [file for job in workflow.dag.needrun_jobs() if job.rule.name in FETCHING for file in job.output]
        )
    except InputError as error:
        raise WorkflowError(f"neurobust: error: {error}") from None
    except OSError as error:
        raise WorkflowError(f"neurobust: error: {unwritable(error)}") from None
    guard(workflow)
    note_machine(placed(RESULTS))


rule check_machine:
    output:
        machine=f"{RESULTS}/preflight/machine.json",
    log:
        f"{LOGS}/check_machine.log",
    benchmark:
        f"{BENCHMARKS}/preflight/check_machine.tsv"
    conda:
        "../../envs/neurobust.yaml"
    resources:
        gpu=1,
        mem_mb=4000,
        runtime=5,
    params:
        code=sources("study/check_machine"),
        asked=ASKED,
        config=canonical_json(config),
        lock=os.path.relpath(HOME / "envs" / "requirements.lock"),
    message:
        "a short job with a GPU: does it see what the study needs?"
    script:
        "../scripts/study/check_machine.py"


rule check_cluster:
    input:
        machine=rules.check_machine.output.machine,
    output:
        table=f"{RESULTS}/preflight/table.txt",
    log:
        f"{LOGS}/check_cluster.log",
    benchmark:
        f"{BENCHMARKS}/preflight/check_cluster.tsv"
    retries: 0  # the same answer three times would not be another one
    localrule: True
    conda:
        "../../envs/neurobust.yaml"
    params:
        code=sources("study/check_cluster"),
        asked=ASKED,
        status=lambda wildcards: status_settings(workflow)[0],
        first_check=lambda wildcards: status_settings(workflow)[1],
    message:
        "the checks, in one table"
    script:
        "../scripts/study/check_cluster.py"


rule preflight:
    """Can this cluster run the study? A one-minute job and a table."""
    input:
        rules.check_cluster.output,
    localrule: True


rule probe_machine:
    output:
        probe=f"{RESULTS}/preflight/probe.json",
    log:
        f"{LOGS}/probe_machine.log",
    benchmark:
        f"{BENCHMARKS}/preflight/probe_machine.tsv"
    conda:
        "../../envs/neurobust.yaml"
    resources:
        gpu=1,
        cpus_per_task=4,
        mem_mb=16000,
        runtime=15,
    params:
        code=sources("study/probe_machine"),
        asked=ASKED,
        config=canonical_json(config),
    message:
        "half a minute of the study's work, timed on a machine that runs it"
    script:
        "../scripts/study/probe_machine.py"


rule probe:
    """How fast is the machine that will run the study? A job of a minute; `plan` takes its rates from then on."""
    input:
        rules.probe_machine.output,
    localrule: True


rule plan_study:
    output:
        plan=f"{RESULTS}/preflight/plan.txt",
    log:
        f"{LOGS}/plan_study.log",
    benchmark:
        f"{BENCHMARKS}/preflight/plan_study.tsv"
    localrule: True
    conda:
        "../../envs/neurobust.yaml"
    params:
        code=sources("study/plan_study"),
        asked=ASKED,
        config=canonical_json(config),
        configs=os.path.relpath(HOME / "config"),
        submitted=lambda wildcards: submits(workflow),
    message:
        "what the study costs before anything runs"
    script:
        "../scripts/study/plan_study.py"


rule plan:
    """What will the study cost? Jobs, hours, disk, per stage and per ROI."""
    input:
        rules.plan_study.output,
    localrule: True
