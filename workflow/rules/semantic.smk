# semantic attacks: colour, texture and faces, by auxiliary networks that are trained once per task and must pass gates.


if SEMANTIC_ATTACKS:

    rule train_oracle:
        input:
            dataset=f"{RESULTS}/networks/{{task}}/dataset.h5",
            code=sources("semantic/train_oracle"),
        output:
            weights=f"{RESULTS}/attacks/{{task}}/auxiliary/oracle.safetensors",
            record=f"{RESULTS}/attacks/{{task}}/auxiliary/oracle.json",
        log:
            f"{LOGS}/train_oracle/{{task}}.log",
        benchmark:
            f"{BENCHMARKS}/train_oracle/{{task}}.tsv"
        conda:
            "../../envs/neurobust.yaml"
        resources:
            gpu=1,
            mem_mb=16000,
            runtime=240,
        params:
            settings=helper_settings("oracle"),
            checkpoint=subpath(output.weights, parent=True),
        message:
            "network that says whether altered images keep their labels ({wildcards.task})"
        script:
            "../scripts/semantic/train_oracle.py"

    rule train_colouriser:
        input:
            dataset=f"{RESULTS}/networks/{{task}}/dataset.h5",
            code=sources("semantic/train_colouriser"),
        output:
            weights=f"{RESULTS}/attacks/{{task}}/auxiliary/colouriser.safetensors",
            record=f"{RESULTS}/attacks/{{task}}/auxiliary/colouriser.json",
        log:
            f"{LOGS}/train_colouriser/{{task}}.log",
        benchmark:
            f"{BENCHMARKS}/train_colouriser/{{task}}.tsv"
        conda:
            "../../envs/neurobust.yaml"
        resources:
            gpu=1,
            mem_mb=16000,
            runtime=240,
        params:
            settings=helper_settings("colouriser"),
            checkpoint=subpath(output.weights, parent=True),
        message:
            "colouriser for cAdv ({wildcards.task})"
        script:
            "../scripts/semantic/train_colouriser.py"

    rule train_texture_network:
        input:
            dataset=f"{RESULTS}/networks/{{task}}/dataset.h5",
            code=sources("semantic/train_texture_network"),
        output:
            weights=f"{RESULTS}/attacks/{{task}}/auxiliary/texture.safetensors",
            record=f"{RESULTS}/attacks/{{task}}/auxiliary/texture.json",
        log:
            f"{LOGS}/train_texture_network/{{task}}.log",
        benchmark:
            f"{BENCHMARKS}/train_texture_network/{{task}}.tsv"
        conda:
            "../../envs/neurobust.yaml"
        resources:
            gpu=1,
            mem_mb=16000,
            runtime=240,
        params:
            settings=helper_settings("texture"),
            checkpoint=subpath(output.weights, parent=True),
        message:
            "texture network for tAdv ({wildcards.task})"
        script:
            "../scripts/semantic/train_texture_network.py"

    rule train_identity_network:
        input:
            dataset=f"{RESULTS}/networks/{{task}}/dataset.h5",
            code=sources("semantic/train_identity_network"),
        output:
            weights=f"{RESULTS}/attacks/{{task}}/auxiliary/identity.safetensors",
            record=f"{RESULTS}/attacks/{{task}}/auxiliary/identity.json",
        log:
            f"{LOGS}/train_identity_network/{{task}}.log",
        benchmark:
            f"{BENCHMARKS}/train_identity_network/{{task}}.tsv"
        conda:
            "../../envs/neurobust.yaml"
        resources:
            gpu=1,
            mem_mb=16000,
            runtime=240,
        params:
            settings=helper_settings("identity"),
            checkpoint=subpath(output.weights, parent=True),
        message:
            "network that tells faces apart ({wildcards.task})"
        script:
            "../scripts/semantic/train_identity_network.py"

    rule train_editor:
        input:
            dataset=f"{RESULTS}/networks/{{task}}/dataset.h5",
            oracle=f"{RESULTS}/attacks/{{task}}/auxiliary/oracle.safetensors",
            code=sources("semantic/train_editor"),
        output:
            weights=f"{RESULTS}/attacks/{{task}}/auxiliary/editor.safetensors",
            record=f"{RESULTS}/attacks/{{task}}/auxiliary/editor.json",
        log:
            f"{LOGS}/train_editor/{{task}}.log",
        benchmark:
            f"{BENCHMARKS}/train_editor/{{task}}.tsv"
        conda:
            "../../envs/neurobust.yaml"
        resources:
            gpu=1,
            mem_mb=16000,
            runtime=240,
        params:
            settings=helper_settings("editor"),
            checkpoint=subpath(output.weights, parent=True),
        message:
            "editor of face attributes for SemanticAdv ({wildcards.task})"
        script:
            "../scripts/semantic/train_editor.py"

    rule attack_semantic:
        input:
            dataset=f"{RESULTS}/networks/{{task}}/dataset.h5",
            model=f"{RESULTS}/networks/{NETWORK}/model.safetensors",
            helpers=lambda wildcards: helper_files(wildcards, "safetensors"),
            records=lambda wildcards: helper_files(wildcards, "json"),
            code=lambda wildcards: sources("semantic/attack_semantic", *semantic_modules(wildcards.semantic)),
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
            "../scripts/semantic/attack_semantic.py"
