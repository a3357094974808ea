# attacks: one job attacks one network with every configured attack; finished cells survive a kill, undeclared.


rule attack_network:
    input:
        dataset=f"{RESULTS}/networks/{{task}}/dataset.h5",
        model=f"{RESULTS}/networks/{NETWORK}/model.safetensors",
        code=sources("attacks/attack_network"),
    output:
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
        cells=subpath(output.examples, parent=True),
    message:
        "attacking {wildcards.condition} ({wildcards.task}, {wildcards.architecture}, seed {wildcards.seed})"
    script:
        "../scripts/attacks/attack_network.py"
