# attacks: one job attacks one network with every configured attack; finished cells survive a kill, undeclared.


rule attack_network:
    input:
        dataset=f"{RESULTS}/networks/{{task}}/dataset.h5",
        model=f"{RESULTS}/networks/{NETWORK}/model.safetensors",
        code=sources("attacks/attack_network", *attack_modules(config["attacks"])),
    output:
        **ADVERSARIALS,
        tables=expand(f"{RESULTS}/attacks/{NETWORK}/{{attack}}.parquet", attack=ATTACKS, allow_missing=True),
        examples=f"{RESULTS}/attacks/{NETWORK}/examples.npz",
        checks=f"{RESULTS}/attacks/{NETWORK}/checks.json",
    log:
        f"{LOGS}/attack_network/{NETWORK}.log",
    benchmark:
        f"{BENCHMARKS}/attack_network/{NETWORK}.tsv"
    conda:
        "../../envs/neurobust.yaml"
    resources:
        gpu=1,
        mem_mb=24000,
        runtime=480,
    params:
        attacks=canonical_json(attack_settings(config)),
        images=config["attack_images"],
        transfer=canonical_json(TRANSFER),
        cells=subpath(output.examples, parent=True),
    message:
        "attacking {wildcards.condition} ({wildcards.task}, {wildcards.architecture}, seed {wildcards.seed})"
    script:
        "../scripts/attacks/attack_network.py"


rule attack_canaries:
    input:
        dataset=f"{RESULTS}/networks/{{task}}/dataset.h5",
        code=sources("attacks/attack_canaries", *attack_modules(config["attacks"], CANARY_METHOD)),
    output:
        canaries=f"{RESULTS}/attacks/{{task}}/canaries.json",
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
        attacks=canonical_json(attack_settings(config)),
    message:
        "attacking networks whose true answer is known ({wildcards.task})"
    script:
        "../scripts/attacks/attack_canaries.py"


if TRANSFER:

    rule transfer_attacks:
        input:
            dataset=f"{RESULTS}/networks/{{task}}/dataset.h5",
            models=lambda wildcards: twins_of(wildcards, "networks", "model.safetensors"),
            adversarials=lambda wildcards: twins_of(wildcards, "attacks", "transfer.npz"),
            code=sources("attacks/transfer_attacks"),
        output:
            transfer=f"{RESULTS}/attacks/{{task}}/{{architecture}}/transfer.parquet",
        log:
            f"{LOGS}/transfer_attacks/{{task}}/{{architecture}}.log",
        benchmark:
            f"{BENCHMARKS}/transfer_attacks/{{task}}/{{architecture}}.tsv"
        conda:
            "../../envs/neurobust.yaml"
        resources:
            gpu=1,
            mem_mb=32000,
            runtime=240,
        params:
            settings=canonical_json(TRANSFER),
        message:
            "each network's adversarials for the others ({wildcards.task}, {wildcards.architecture})"
        script:
            "../scripts/attacks/transfer_attacks.py"


if CORRUPTIONS:

    rule make_corruptions:
        input:
            dataset=f"{RESULTS}/networks/{{task}}/dataset.h5",
            code=sources("attacks/make_corruptions"),
        output:
            corruptions=f"{RESULTS}/attacks/{{task}}/corruptions.h5",
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
            settings=canonical_json(CORRUPTIONS),
        message:
            "corrupting test images ({wildcards.task})"
        script:
            "../scripts/attacks/make_corruptions.py"

    rule corrupt_network:
        input:
            dataset=f"{RESULTS}/networks/{{task}}/dataset.h5",
            model=f"{RESULTS}/networks/{NETWORK}/model.safetensors",
            corruptions=f"{RESULTS}/attacks/{{task}}/corruptions.h5",
            code=sources("attacks/corrupt_network"),
        output:
            table=f"{RESULTS}/attacks/{NETWORK}/corruptions.parquet",
        log:
            f"{LOGS}/corrupt_network/{NETWORK}.log",
        benchmark:
            f"{BENCHMARKS}/corrupt_network/{NETWORK}.tsv"
        conda:
            "../../envs/neurobust.yaml"
        resources:
            gpu=1,
            mem_mb=16000,
            runtime=120,
        message:
            "corrupted images for {wildcards.condition} ({wildcards.task}, {wildcards.architecture}, seed {wildcards.seed})"
        script:
            "../scripts/attacks/corrupt_network.py"


if SEMANTIC_ATTACKS:

    rule train_helper:
        """An auxiliary network of semantic attacks: trained once per task, and it must pass gates."""
        input:
            dataset=f"{RESULTS}/networks/{{task}}/dataset.h5",
            others=lambda wildcards: auxiliary_files(
                wildcards.task, HELPER_READS.get(wildcards.helper, ()), "safetensors"
            ),
            code=lambda wildcards: sources("attacks/train_helper", *helper_modules(wildcards.helper)),
        output:
            weights=f"{RESULTS}/attacks/{{task}}/auxiliary/{{helper}}.safetensors",
            record=f"{RESULTS}/attacks/{{task}}/auxiliary/{{helper}}.json",
        log:
            f"{LOGS}/train_helper/{{task}}/{{helper}}.log",
        benchmark:
            f"{BENCHMARKS}/train_helper/{{task}}/{{helper}}.tsv"
        wildcard_constraints:
            helper=one_of(NETWORKS),
        conda:
            "../../envs/neurobust.yaml"
        resources:
            gpu=1,
            mem_mb=16000,
            runtime=240,
        params:
            settings=lambda wildcards: helper_settings(wildcards.helper),
            checkpoint=subpath(output.weights, parent=True),
        message:
            "{wildcards.helper}, an auxiliary network of semantic attacks ({wildcards.task})"
        script:
            "../scripts/attacks/train_helper.py"

    rule attack_semantic:
        input:
            dataset=f"{RESULTS}/networks/{{task}}/dataset.h5",
            model=f"{RESULTS}/networks/{NETWORK}/model.safetensors",
            helpers=lambda wildcards: helper_files(wildcards, "safetensors"),
            records=lambda wildcards: helper_files(wildcards, "json"),
            code=lambda wildcards: sources("attacks/attack_semantic", *semantic_modules(wildcards.semantic)),
        output:
            table=f"{RESULTS}/attacks/{NETWORK}/semantic/{{semantic}}.parquet",
            examples=f"{RESULTS}/attacks/{NETWORK}/semantic/{{semantic}}.npz",
        log:
            f"{LOGS}/attack_semantic/{NETWORK}/{{semantic}}.log",
        benchmark:
            f"{BENCHMARKS}/attack_semantic/{NETWORK}/{{semantic}}.tsv"
        wildcard_constraints:
            semantic=one_of(SEMANTIC_ATTACKS),
        conda:
            "../../envs/neurobust.yaml"
        resources:
            gpu=1,
            mem_mb=24000,
            runtime=480,
        params:
            settings=lambda wildcards: semantic_settings(wildcards.semantic),
            images=SEMANTIC["images"],
            cells=subpath(output.table, parent=True),
        message:
            "{wildcards.semantic} on {wildcards.condition} ({wildcards.task}, {wildcards.architecture}, seed {wildcards.seed})"
        script:
            "../scripts/attacks/attack_semantic.py"
