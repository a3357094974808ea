# What the rules of nsd take: names, paths and parameters, no rules.
import sys

from neurobust.nsd import layout, manifest, spec
from neurobust.phantom.outputs import phantom_files, phantom_settings

NSD = f"{sys.executable} -m neurobust.nsd"  # downloads are commands: a change of the code fetches nothing again
FROM_BUCKET = config["data"]["source"] == "nsd"
# A session that was in the mirror before this pipeline is not its to delete.
KEEP_BETAS = (
    not FROM_BUCKET or config["data"].get("keep_betas", False) or bool(manifest.foreign_sessions(config["data"]))
)
NEEDED_STIMULI = FROM_BUCKET and config["data"].get("stimuli", "needed") == "needed"


def accept_terms():
    """Refuse to start where files are missing and the NSD terms are not accepted.

    Called before the first job and no job itself: the message comes once, and what the mirror has stays as it is.
    """
    if FROM_BUCKET:
        try:
            manifest.accept_terms(config["data"])
        except InputError as error:
            raise WorkflowError(f"neurobust: error: {error}") from None


def sessions_of(wildcards):
    """How many sessions the subject ran."""
    return config["data"]["subjects"][wildcards.subject]["sessions"]


def session_files(wildcards):
    """The betas of every session that the subject ran, in numeric order."""
    files = manifest.session_files(DATA, wildcards.subject, sessions_of(wildcards), config["data"]["format"])
    return [str(file) for file in files]


def label_files(wildcards):
    """The label volumes of all atlases: left, right, and both in one."""
    return [str(file) for file in manifest.label_files(DATA, wildcards.subject)]


def min_sessions():
    """The fewest sessions of any subject: images that all saw three times had their repeats within these."""
    return min(spec["sessions"] for spec in config["data"]["subjects"].values())


def roi_files(wildcards):
    """The small files that one ROI is cut from."""
    files = spec.roi_files(DATA, wildcards.subject, config["rois"][wildcards.roi]).values()
    return [str(file) for file in (*files, layout.ncsnr(DATA, wildcards.subject), layout.expdesign(DATA))]
