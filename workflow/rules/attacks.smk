# attacks: one job attacks one network with every configured attack; finished cells survive a kill, undeclared.
from neurobust.attacks.check_plans import canary_modules, canary_plans, network_modules
from neurobust.attacks.corruptions.registry import corruption_modules
from neurobust.attacks.semantic.registry import (
    HELPERS,
    SEMANTIC,
    helper_modules,
    semantic_modules,
    verification_modules,
)
from neurobust.files.adversarials import adversarials_path
from neurobust.files.attack_table import attack_table_path
from neurobust.files.auxiliary import auxiliary_record_path, auxiliary_weights_path
from neurobust.files.canaries import canaries_path
from neurobust.files.checks import checks_path
from neurobust.files.corruption_table import corruption_table_path
from neurobust.files.corruptions import corruptions_path
from neurobust.files.dataset import dataset_path
from neurobust.files.examples import examples_path
from neurobust.files.semantic_adversarials import lent_pictures_path, semantic_adversarials_path
from neurobust.files.semantic_table import semantic_examples_path, semantic_table_path
from neurobust.files.semantic_transfer_table import semantic_transfer_path
from neurobust.files.shifted import shifted_path
from neurobust.files.shifted_table import shifted_table_path
from neurobust.files.transfer_table import transfer_table_path
from neurobust.files.verification_table import verification_examples_path, verification_table_path
from neurobust.files.weights import network_weights_path

# Tasks by the attacks that their networks meet: those whose images bear a cue meet some that the others do not.
MET = {task: STUDY.attacks_of(task) for task in STUDY.tasks}
WHOLE = [task for task, attacks in MET.items() if len(attacks) == len(STUDY.attacks)]
REST = [task for task in MET if task not in WHOLE]
MET_PLANS = {task: plans_of(attacks) for task, attacks in MET.items()}

MET_BY_CANARIES = plans_of(canary_plans(STUDY.attacks))
# Written by a network's own attack job, where the study asks what it does to the other networks.
ADVERSARIALS = {"adversarials": at(adversarials_path, NETWORK)} if STUDY.transfer else {}


rule attack_network:
    input:
        dataset=at(dataset_path, "{task}"),
        model=at(network_weights_path, NETWORK),
        twin=FILES.undefended,
        helpers=lambda wildcards: FILES.attack_helpers(wildcards, auxiliary_weights_path),
        records=lambda wildcards: FILES.attack_helpers(wildcards, auxiliary_record_path),
        own=FILES.attack_files,
    output:
        **ADVERSARIALS,
        tables=[at(attack_table_path, NETWORK, attack) for attack in STUDY.attacks],
        examples=at(examples_path, NETWORK),
        checks=at(checks_path, NETWORK),
    log:
        f"{LOGS}/attack_network/{NETWORK}.log",
    benchmark:
        f"{BENCHMARKS}/attack_network/{NETWORK}.tsv"
    wildcard_constraints:
        task=one_of(WHOLE),
    conda:
        "../../envs/neurobust.yaml"
    resources:
        gpu=1,
        cpus_per_task=4,
        mem_mb=24000,
        runtime=480,
    params:
        code=lambda wildcards: network_sources("attacks/attack_network", wildcards, *network_modules(STUDY.attacks)),
        attacks=lambda wildcards: MET_PLANS[wildcards.task],
        images=lambda wildcards: STUDY.tasks[wildcards.task].attack_images,
        transfer=parameters(STUDY.transfer),
        cells=subpath(output.examples, parent=True),
    message:
        "attacking {wildcards.condition} ({wildcards.task}, {wildcards.architecture}, seed {wildcards.seed})"
    script:
        "../scripts/attacks/attack_network.py"


if REST:

    use rule attack_network as attack_uncued with:
        input:
            dataset=at(dataset_path, "{task}"),
            model=at(network_weights_path, NETWORK),
            twin=FILES.undefended,
            helpers=lambda wildcards: FILES.attack_helpers(wildcards, auxiliary_weights_path),
            records=lambda wildcards: FILES.attack_helpers(wildcards, auxiliary_record_path),
            own=FILES.attack_files,
        output:
            **ADVERSARIALS,
            tables=[at(attack_table_path, NETWORK, attack) for attack in MET[REST[0]]],
            examples=at(examples_path, NETWORK),
            checks=at(checks_path, NETWORK),
        wildcard_constraints:
            task=one_of(REST),
        params:
            code=lambda wildcards: network_sources("attacks/attack_network", wildcards, *network_modules(MET[REST[0]])),
            attacks=lambda wildcards: MET_PLANS[wildcards.task],
            images=lambda wildcards: STUDY.tasks[wildcards.task].attack_images,
            transfer=parameters(STUDY.transfer),
            cells=subpath(output.examples, parent=True),


rule attack_canaries:
    input:
        dataset=at(dataset_path, "{task}"),
    output:
        canaries=at(canaries_path, "{task}"),
    log:
        f"{LOGS}/attack_canaries/{{task}}.log",
    benchmark:
        f"{BENCHMARKS}/attack_canaries/{{task}}.tsv"
    conda:
        "../../envs/neurobust.yaml"
    resources:
        mem_mb=8000,
        runtime=60,
    params:
        code=sources("attacks/attack_canaries", *canary_modules(STUDY.attacks)),
        attacks=MET_BY_CANARIES,
    message:
        "attacking networks whose true answer is known ({wildcards.task})"
    script:
        "../scripts/attacks/attack_canaries.py"


if STUDY.transfer:

    rule transfer_attacks:
        input:
            dataset=at(dataset_path, "{task}"),
            models=lambda wildcards: FILES.twins(wildcards, network_weights_path),
            adversarials=lambda wildcards: FILES.twins(wildcards, adversarials_path),
        output:
            transfer=at(transfer_table_path, "{task}", "{architecture}"),
        log:
            f"{LOGS}/transfer_attacks/{{task}}/{{architecture}}.log",
        benchmark:
            f"{BENCHMARKS}/transfer_attacks/{{task}}/{{architecture}}.tsv"
        conda:
            "../../envs/neurobust.yaml"
        resources:
            gpu=1,
            cpus_per_task=4,
            mem_mb=32000,
            runtime=240,
        params:
            code=lambda wildcards: sources("attacks/transfer_attacks", *FILES.guest_modules(wildcards)),
            settings=parameters(STUDY.transfer),
        message:
            "each network's adversarials for the others ({wildcards.task}, {wildcards.architecture})"
        script:
            "../scripts/attacks/transfer_attacks.py"


if STUDY.corruptions:

    rule make_corruptions:
        input:
            dataset=at(dataset_path, "{task}"),
        output:
            corruptions=at(corruptions_path, "{task}"),
        log:
            f"{LOGS}/make_corruptions/{{task}}.log",
        benchmark:
            f"{BENCHMARKS}/make_corruptions/{{task}}.tsv"
        conda:
            "../../envs/neurobust.yaml"
        resources:
            mem_mb=8000,
            runtime=240,
        params:
            code=sources("attacks/make_corruptions", *corruption_modules(STUDY.corruptions.names)),
            settings=parameters(STUDY.corruptions),
        message:
            "corrupting test images ({wildcards.task})"
        script:
            "../scripts/attacks/make_corruptions.py"

    rule corrupt_network:
        input:
            dataset=at(dataset_path, "{task}"),
            model=at(network_weights_path, NETWORK),
            corruptions=at(corruptions_path, "{task}"),
        output:
            table=at(corruption_table_path, NETWORK),
        log:
            f"{LOGS}/corrupt_network/{NETWORK}.log",
        benchmark:
            f"{BENCHMARKS}/corrupt_network/{NETWORK}.tsv"
        conda:
            "../../envs/neurobust.yaml"
        resources:
            gpu=1,
            cpus_per_task=4,
            mem_mb=16000,
            runtime=120,
        params:
            code=lambda wildcards: network_sources("attacks/corrupt_network", wildcards),
        message:
            "corrupted images for {wildcards.condition} ({wildcards.task}, {wildcards.architecture}, seed {wildcards.seed})"
        script:
            "../scripts/attacks/corrupt_network.py"


if STUDY.shifted:

    rule prepare_shifted:
        """A published test set at a task's size. What the user brings is checked by the job, in one clear line."""
        input:
            dataset=at(dataset_path, "{task}"),
        output:
            shifted=at(shifted_path, "{task}", "{shifted}"),
        log:
            f"{LOGS}/prepare_shifted/{{task}}/{{shifted}}.log",
        benchmark:
            f"{BENCHMARKS}/prepare_shifted/{{task}}/{{shifted}}.tsv"
        wildcard_constraints:
            shifted=one_of(STUDY.shifted),
        conda:
            "../../envs/neurobust.yaml"
        resources:
            mem_mb=8000,
            runtime=240,
        params:
            code=sources("attacks/prepare_shifted"),
            settings=lambda wildcards: parameters(STUDY.shifted[wildcards.shifted]),
            resize=lambda wildcards: FILES.resize(wildcards),
        message:
            "reading {wildcards.shifted} ({wildcards.task})"
        script:
            "../scripts/attacks/prepare_shifted.py"

    rule classify_shifted:
        input:
            dataset=at(dataset_path, "{task}"),
            model=at(network_weights_path, NETWORK),
            shifted=at(shifted_path, "{task}", "{shifted}"),
        output:
            table=at(shifted_table_path, NETWORK, "{shifted}"),
        log:
            f"{LOGS}/classify_shifted/{NETWORK}/{{shifted}}.log",
        benchmark:
            f"{BENCHMARKS}/classify_shifted/{NETWORK}/{{shifted}}.tsv"
        wildcard_constraints:
            shifted=one_of(STUDY.shifted),
        conda:
            "../../envs/neurobust.yaml"
        resources:
            gpu=1,
            cpus_per_task=4,
            mem_mb=16000,
            runtime=120,
        params:
            code=lambda wildcards: network_sources("attacks/classify_shifted", wildcards),
        message:
            "{wildcards.shifted} for {wildcards.condition} ({wildcards.task}, {wildcards.architecture}, seed {wildcards.seed})"
        script:
            "../scripts/attacks/classify_shifted.py"


if STUDY.semantic.asked or any(STUDY.helpers_of(task) for task in STUDY.tasks):

    rule train_helper:
        """An auxiliary network of attacks: trained once per task, and it must pass gates."""
        input:
            GATE,
            dataset=at(dataset_path, "{task}"),
            others=lambda wildcards: FILES.helpers(
                wildcards.task, HELPERS[wildcards.helper].reads, auxiliary_weights_path
            ),
        output:
            weights=at(auxiliary_weights_path, "{task}", "{helper}"),
            record=at(auxiliary_record_path, "{task}", "{helper}"),
        log:
            f"{LOGS}/train_helper/{{task}}/{{helper}}.log",
        benchmark:
            f"{BENCHMARKS}/train_helper/{{task}}/{{helper}}.tsv"
        wildcard_constraints:
            helper=one_of(HELPERS),
        conda:
            "../../envs/neurobust.yaml"
        resources:
            gpu=1,
            cpus_per_task=4,
            mem_mb=16000,
            runtime=240,
        params:
            code=lambda wildcards: sources("attacks/train_helper", *helper_modules(wildcards.helper)),
            settings=lambda wildcards: parameters(STUDY.semantic.helpers[wildcards.helper]),
            checkpoint=subpath(output.weights, parent=True),
        message:
            "{wildcards.helper}, an auxiliary network of attacks ({wildcards.task})"
        script:
            "../scripts/attacks/train_helper.py"


if STUDY.semantic.attacks:

    rule attack_semantic:
        input:
            dataset=at(dataset_path, "{task}"),
            model=at(network_weights_path, NETWORK),
            helpers=lambda wildcards: FILES.helpers(
                wildcards.task, SEMANTIC[wildcards.semantic].helpers, auxiliary_weights_path
            ),
            records=lambda wildcards: FILES.helpers(
                wildcards.task, SEMANTIC[wildcards.semantic].helpers, auxiliary_record_path
            ),
        output:
            table=at(semantic_table_path, NETWORK, "{semantic}"),
            examples=at(semantic_examples_path, NETWORK, "{semantic}"),
        log:
            f"{LOGS}/attack_semantic/{NETWORK}/{{semantic}}.log",
        benchmark:
            f"{BENCHMARKS}/attack_semantic/{NETWORK}/{{semantic}}.tsv"
        wildcard_constraints:
            semantic=one_of(STUDY.semantic.attacks),
        conda:
            "../../envs/neurobust.yaml"
        resources:
            gpu=1,
            cpus_per_task=4,
            mem_mb=24000,
            runtime=480,
        params:
            code=lambda wildcards: network_sources(
                "attacks/attack_semantic", wildcards, *semantic_modules(wildcards.semantic)
            ),
            settings=lambda wildcards: parameters(STUDY.semantic.attacks[wildcards.semantic].attack),
            images=STUDY.semantic.images,
            cells=subpath(output.table, parent=True),
        message:
            "{wildcards.semantic} on {wildcards.condition} ({wildcards.task}, {wildcards.architecture}, seed {wildcards.seed})"
        script:
            "../scripts/attacks/attack_semantic.py"


if STUDY.semantic.verification:

    rule attack_verification:
        input:
            dataset=at(dataset_path, "{task}"),
            model=at(network_weights_path, NETWORK),
            helpers=lambda wildcards: FILES.helpers(
                wildcards.task, STUDY.semantic.verification.settings.helpers, auxiliary_weights_path
            ),
            records=lambda wildcards: FILES.helpers(
                wildcards.task, STUDY.semantic.verification.settings.helpers, auxiliary_record_path
            ),
        output:
            table=at(verification_table_path, NETWORK),
            examples=at(verification_examples_path, NETWORK),
        log:
            f"{LOGS}/attack_verification/{NETWORK}.log",
        benchmark:
            f"{BENCHMARKS}/attack_verification/{NETWORK}.tsv"
        conda:
            "../../envs/neurobust.yaml"
        resources:
            gpu=1,
            cpus_per_task=4,
            mem_mb=24000,
            runtime=480,
        params:
            code=sources("attacks/attack_verification", *verification_modules()),
            settings=parameters(STUDY.semantic.verification.settings),
            cells=subpath(output.table, parent=True),
        message:
            "{wildcards.condition} as a verifier of faces ({wildcards.task}, {wildcards.architecture}, seed {wildcards.seed})"
        script:
            "../scripts/attacks/attack_verification.py"


if STUDY.semantic.transfer:

    rule lend_semantic:
        """Semantic adversarials of an undefended network, made once for all networks of the seed before."""
        input:
            dataset=at(dataset_path, "{task}"),
            model=at(network_weights_path, NETWORK),
            helpers=lambda wildcards: FILES.helpers(
                wildcards.task, SEMANTIC[wildcards.semantic].helpers, auxiliary_weights_path
            ),
        output:
            adversarials=at(semantic_adversarials_path, NETWORK, "{semantic}"),
            pictures=at(lent_pictures_path, NETWORK, "{semantic}"),
        log:
            f"{LOGS}/lend_semantic/{NETWORK}/{{semantic}}.log",
        benchmark:
            f"{BENCHMARKS}/lend_semantic/{NETWORK}/{{semantic}}.tsv"
        wildcard_constraints:
            semantic=one_of(STUDY.semantic.attacks),
        conda:
            "../../envs/neurobust.yaml"
        resources:
            gpu=1,
            cpus_per_task=4,
            mem_mb=24000,
            runtime=480,
        params:
            code=lambda wildcards: sources("attacks/lend_semantic", *semantic_modules(wildcards.semantic)),
            settings=lambda wildcards: parameters(STUDY.semantic.attacks[wildcards.semantic].attack),
            transfer=parameters(STUDY.semantic.transfer),
            images=STUDY.semantic.transfer.count(STUDY.semantic.images),
            cells=subpath(output.adversarials, parent=True),
        message:
            "{wildcards.semantic} for other networks, on {wildcards.condition} ({wildcards.task}, {wildcards.architecture}, seed {wildcards.seed})"
        script:
            "../scripts/attacks/lend_semantic.py"

    rule transfer_semantic:
        input:
            dataset=at(dataset_path, "{task}"),
            model=at(network_weights_path, NETWORK),
            adversarials=lambda wildcards: at(
                semantic_adversarials_path, FILES.lender(wildcards).path, wildcards.semantic
            ),
        output:
            table=at(semantic_transfer_path, NETWORK, "{semantic}"),
        log:
            f"{LOGS}/transfer_semantic/{NETWORK}/{{semantic}}.log",
        benchmark:
            f"{BENCHMARKS}/transfer_semantic/{NETWORK}/{{semantic}}.tsv"
        wildcard_constraints:
            semantic=one_of(STUDY.semantic.attacks),
        conda:
            "../../envs/neurobust.yaml"
        resources:
            gpu=1,
            cpus_per_task=4,
            mem_mb=16000,
            runtime=60,
        params:
            code=lambda wildcards: sources("attacks/transfer_semantic", SEMANTIC.module_name(wildcards.semantic)),
            settings=lambda wildcards: parameters(STUDY.semantic.attacks[wildcards.semantic].attack),
            transfer=parameters(STUDY.semantic.transfer),
            source=lambda wildcards: FILES.lender(wildcards)[2:],
        message:
            "{wildcards.semantic} of another network, for {wildcards.condition} ({wildcards.task}, {wildcards.architecture}, seed {wildcards.seed})"
        script:
            "../scripts/attacks/transfer_semantic.py"
