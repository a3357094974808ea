# What the rules of attacks take: names, paths and parameters, no rules.
from neurobust.attacks.methods import CANARY_METHOD, attack_modules

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
