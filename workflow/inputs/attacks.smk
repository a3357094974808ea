# What the rules of attacks take: names, paths and parameters, no rules.
from neurobust.attacks.registry import CANARY_METHOD, attack_modules
from neurobust.attacks.semantic.kinds import HELPER_READS, HELPERS, NETWORKS, helper_modules, semantic_modules

TRANSFER = config.get("transfer")
CORRUPTIONS = config.get("corruptions")
# Written by a network's own attack job, where the study asks what it does to the other networks.
ADVERSARIALS = {"adversarials": f"{RESULTS}/attacks/{NETWORK}/transfer.npz"} if TRANSFER else {}


def twins_of(wildcards, stage, file):
    """A file of every network of one task and architecture."""
    networks = networks_of(CONDITIONS, [wildcards.task], [wildcards.architecture])
    return [f"{RESULTS}/{stage}/{network}/{file}" for network in networks]


def transfer_tables():
    """The transfer of every task and architecture, where the study asks for it."""
    tables = f"{RESULTS}/attacks/{{task}}/{{architecture}}/transfer.parquet"
    return expand(tables, task=TASKS, architecture=ARCHITECTURES) if TRANSFER else []


def corruption_tables():
    """The networks' answers to corrupted images, where the study asks for them."""
    tables = f"{RESULTS}/attacks/{{network}}/corruptions.parquet"
    return expand(tables, network=networks_of(CONDITIONS)) if CORRUPTIONS else []


# --- semantic attacks ---
SEMANTIC = config.get("semantic", {})
SEMANTIC_TABLES = {
    "semantic": "semantic",
    "gates": "semantic_gates",
    "summary": "semantic_summary",
    "differences": "semantic_differences",
}
SEMANTIC_ATTACKS = [attack for attack in HELPERS if attack in SEMANTIC]


def semantic_settings(attack):
    """An attack's settings without what it is run on and what its page quotes."""
    other = ("tasks", "conditions", "reference_strength")
    return canonical_json({key: value for key, value in SEMANTIC[attack].items() if key not in other})


def helper_settings(name):
    """What of the configuration makes an auxiliary network."""
    return canonical_json(SEMANTIC.get("networks", {}).get(name, {}))


def helper_files(wildcards, suffix):
    """The weights or the gates of the auxiliary networks of an attack on a task."""
    return auxiliary_files(wildcards.task, HELPERS[wildcards.semantic], suffix)


def auxiliary_files(task, names, suffix):
    """The weights or the gates of some auxiliary networks of a task."""
    return [f"{RESULTS}/attacks/{task}/auxiliary/{name}.{suffix}" for name in names]


def semantic_files(suffix):
    """The semantic results of every network, in the config's order."""
    return [
        f"{RESULTS}/attacks/{network}/semantic/{attack}.{suffix}"
        for attack in SEMANTIC_ATTACKS
        for network in networks_of(chosen_conditions(config, SEMANTIC[attack]), SEMANTIC[attack].get("tasks", TASKS))
    ]


def semantic_report():
    """What the page of the whole study reads of them; nothing without semantic attacks."""
    tables = [f"{RESULTS}/report/tables/{table}.csv" for table in SEMANTIC_TABLES.values()]
    return tables + semantic_files("npz") if SEMANTIC_ATTACKS else []
