# What the rules of semantic attacks take: names, paths and parameters, no rules.
from neurobust.attacks.semantic.kinds import HELPERS, semantic_modules

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
    return [f"{RESULTS}/attacks/{wildcards.task}/auxiliary/{name}.{suffix}" for name in HELPERS[wildcards.semantic]]


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
