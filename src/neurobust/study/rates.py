"""What a unit of a study's work costs, as measured on some machine or as documented, and how a job's time adds up.

    start + opened * digest + tail * its rate + max(units * rate, reads * reader / threads)

A job starts (imports, the device), digests the files that it reads, works, and has a tail: what one CPU does while the
device waits, such as the intervals of a predictor's voxels. While it works, threads read the images of the next steps:
a step takes as long as the slower of both. `study.jobs` counts `units`, `reads`, `opened` and `tail`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from neurobust.study.jobs import Job

GPU_RULES = (
    "train_predictor", "train_network", "bring_network", "attack_network", "transfer_attacks", "corrupt_network",
    "classify_shifted", "explain_predictor", "explain_predictor_apart", "explain_network", "explain_network_apart",
    "train_helper", "attack_semantic", "attack_verification", "lend_semantic",
    "transfer_semantic",
)  # fmt: skip
# Seconds per unit on one server core, from the demo on two cores of 2026.
DEFAULTS = {
    "make_phantom": 1.5e-3,  # per trial
    "make_scenes": 4e-3,  # per image
    "make_faces": 4e-3,
    "extract_betas": 4e-5,  # per trial and cubic centimetre of grid
    "check_betas": 3e-3,  # per trial
    "extract_roi": 1e-4,  # per trial
    "build_stimuli": 2e-3,  # per image
    "build_labels": 8e-4,  # per image
    "train_predictor": 2.5e-4,  # per image pass and 1000 pixels
    "prepare_task": 1.5e-3,  # per image
    "bring_network": 5e-4,  # per image and 1000 pixels
    "train_network": 1.6e-3,  # per image pass and 1000 pixels
    "attack_network": 1e-3,  # per image pass and 1000 pixels
    "attack_canaries": 2e-4,  # per image pass of its small network and 1000 pixels
    "transfer_attacks": 1e-3,  # per image pass and 1000 pixels
    "make_corruptions": 2e-4,  # per corrupted image and 1000 pixels
    "corrupt_network": 5e-4,  # per image pass and 1000 pixels
    "prepare_shifted": 3e-4,  # per image and 1000 pixels
    "classify_shifted": 5e-4,  # per image pass and 1000 pixels
    "train_helper": 1e-3,  # per image pass of the oracle and 1000 pixels
    "attack_semantic": 2e-3,  # per image, step and 1000 pixels
    "lend_semantic": 2e-3,
    "transfer_semantic": 5e-4,  # per image pass and 1000 pixels
    "attack_verification": 2e-3,  # per pair, step and 1000 pixels
    "explain_predictor": 1e-3,  # per image pass and 1000 pixels
    "explain_predictor_apart": 1e-3,
    "explain_network": 1e-3,
    "explain_network_apart": 1e-3,
    "explain_study": 0.05,  # per network
    "tabulate_results": 0.2,  # per network
    "tabulate_semantic": 0.05,
    "tabulate_verification": 0.05,
    "draw_figures": 0.2,
    "write_index": 0.2,
    "write_roi_page": 0.2,
    "pack_report": 0.05,  # per ROI
    "confirm_attacks": 0.01,
}
GPU_SPEEDUP = 200.0  # a data-centre GPU against one core, on batches that fill it
# Seconds of one core per unit of a rule's tail, measured alone (docs/performance.md).
TAILS = {
    "train_predictor": 3.2e-9,  # per test image, voxel and resample: an interval's and a permutation
    "attack_network": 6e-5,  # per adversarial and 1000 pixels: bounds and distance, in float64
    "corrupt_network": 1.6e-5,  # per image and 1000 pixels: unpacked from its file
    "classify_shifted": 1.6e-5,
}
READER = 1.9e-6  # seconds of one thread per 1000 pixels under crop-flip: 12.3 ms for 128 images of 224 px
DIGEST = 7e-10  # seconds per byte of SHA-256 on one thread, from a disk that keeps up
READERS = 4  # threads: the CPUs that GPU rules ask for
RESIDENT = 0.5  # of the GPU's memory that a task's images may take, to be read there


@dataclass(frozen=True)
class Speeds:
    """What is known of the machine that will run a study; by default nothing but what is documented.

    rates: seconds per unit by rule, where measured. gpu: GPU rules have one. start: seconds of a job of a GPU rule that
    does nothing; None: as documented. reader, digest: seconds of one thread per 1000 pixels, and per byte. threads: how
    many read. memory: bytes of the GPU; 0: not known, so that all images are taken to be read by the CPU.
    """

    rates: Mapping[str, float] = field(default_factory=dict)
    gpu: bool = False
    start: float | None = None
    reader: float = READER
    digest: float = DIGEST
    threads: int = READERS
    memory: float = 0.0

    def rate(self, rule: str) -> float:
        """Seconds per unit of a rule: measured, or documented, on a GPU where the rule uses one and there is one."""
        return self.rates.get(rule, DEFAULTS[rule] / (GPU_SPEEDUP if self.gpu and rule in GPU_RULES else 1.0))


@dataclass(frozen=True)
class Parts:
    """Where the seconds of a job go: before and after its work, its work, and the reading of images beside that."""

    start: float
    digest: float
    tail: float
    work: float
    reading: float

    @property
    def seconds(self) -> float:
        """The job's time: threads read while the device works."""
        return self.waited + self.work

    @property
    def waited(self) -> float:
        """How long the device waits for a CPU: before its work, after it, and for images that come late."""
        return self.around + self.late

    @property
    def around(self) -> float:
        """What a CPU does before and after the work."""
        return self.start + self.digest + self.tail

    @property
    def late(self) -> float:
        """How long the device waits for images."""
        return max(0.0, self.reading - self.work)


def startup(rule: str, machine: Speeds | None = None) -> float:
    """Seconds of a job that does nothing: interpreter, imports (torch for the rules that train), the device."""
    if rule not in GPU_RULES:
        return 2.0
    return 6.0 if machine is None or machine.start is None else machine.start


def parts_of(job: Job, machine: Speeds) -> Parts:
    """Where the time of a job goes on a machine. Images that lie on the GPU from the start are read by nobody."""
    fits = machine.memory > 0 and job.opened <= RESIDENT * machine.memory
    resident = machine.gpu and job.rule == "train_network" and fits
    return Parts(
        start=startup(job.rule, machine),
        digest=job.opened * machine.digest,
        tail=job.tail * TAILS.get(job.rule, 0.0),
        work=job.units * machine.rate(job.rule),
        reading=0.0 if resident else job.reads * machine.reader / machine.threads,
    )


def job_seconds(job: Job, machine: Speeds) -> float:
    """Predicted wall time of a job."""
    return parts_of(job, machine).seconds
