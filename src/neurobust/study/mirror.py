"""The mirror of the NSD bucket as a study uses it: which files its jobs read there, and who made them."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from msgspec.structs import asdict

from neurobust.core.io import canonical_json
from neurobust.core.settings import brief
from neurobust.nsd import layout, manifest, regions, studies
from neurobust.nsd.settings import StudySplits
from neurobust.phantom import ownership
from neurobust.phantom.outputs import phantom_files
from neurobust.phantom.ownership import digest_of
from neurobust.phantom.settings import PlantedNSD
from neurobust.study.model import Study
from neurobust.study.paths import Wildcards


class Mirror:
    """The files below `data.root`, for the rules of nsd."""

    def __init__(self, study: Study):
        self.study, self.data, self.root = study, study.data, study.data.folder

    @cached_property
    def planted(self) -> PlantedNSD | None:
        """What the pipeline plants there; None where the data are the real ones."""
        if self.study.planted is None or self.data.from_bucket:
            return None
        return self.study.planted.planted(self.data.sessions)

    @property
    def keeps_betas(self) -> bool:
        """Whether this study keeps sessions after extraction (what others keep is known in the mirror: `studies`)."""
        return not self.data.from_bucket or self.data.keep_betas

    @property
    def splits(self) -> StudySplits:
        """The splits, with what they need to know of the subjects."""
        return StudySplits(**asdict(self.study.splits), min_sessions=self.data.min_sessions)

    @cached_property
    def digest(self) -> str:
        """A short name of all that the phantom plants below `data.root`."""
        phantom = self.study.planted
        assert phantom is not None
        parts = (self.planted, phantom.scene_task, phantom.face_task)
        return digest_of(canonical_json([part and brief(part) for part in parts]))

    def check_root(self) -> None:
        """Raise InputError where the root is not this study's to use or to plant. Changes nothing."""
        if self.data.from_bucket:
            ownership.refuse_planted(self.root)
        elif self.planted is not None:
            ownership.check(self.root, layout.study_id(self.root, self.study.root), self.digest)

    def enter(self) -> None:
        """Note below the root that this study uses it; InputError where it may not, or where files are missing and the
        NSD terms are not accepted.

        Called before the first job and no job itself: the message comes once, and what the mirror has stays as it is.
        """
        if self.data.from_bucket:
            manifest.accept_terms(self.data)
            studies.enter(self.data, self.study.root)
        elif self.planted is not None:
            ownership.claim(self.root, self.study.root, self.digest)

    def phantom_files(self) -> list[str]:
        """Every planted file that a rule declares; none where the data are the real ones."""
        return phantom_files(self.root, self.planted) if self.planted is not None else []

    @property
    def annotations(self) -> str | None:
        """COCO's annotations of the images: the user's folder or zip, or the phantom's own; None: there are none."""
        given = self.data.coco_annotations
        return str(layout.planted_annotations(self.root)) if self.planted is not None and given is None else given

    def small_files(self) -> list[str]:
        """The files that a look at the mirror needs: everything but sessions and images."""
        return [str(file) for file in manifest.small_files(self.root, list(self.study.subjects))]

    def sessions(self, wildcards: Wildcards) -> int:
        """How many sessions the subject ran."""
        return self.data.sessions[wildcards.subject]

    def session_files(self, wildcards: Wildcards) -> list[str]:
        """The betas of every session that the subject ran, in numeric order."""
        sessions = self.sessions(wildcards)
        return [str(f) for f in manifest.session_files(self.root, wildcards.subject, sessions, self.data.format)]

    def label_files(self, wildcards: Wildcards) -> list[str]:
        """The label volumes of all atlases: left, right, and both in one."""
        return [str(file) for file in manifest.label_files(self.root, wildcards.subject)]

    def roi_files(self, wildcards: Wildcards) -> list[str]:
        """The small files that one ROI is cut from."""
        files = regions.roi_files(self.root, wildcards.subject, self.study.rois[wildcards.roi]).values()
        return [str(f) for f in (*files, layout.ncsnr(self.root, wildcards.subject), layout.expdesign(self.root))]

    def evidence_files(self, wildcards: Wildcards) -> list[str]:
        """What the betas of a subject are compared with. Means of sessions and tables are not fetched for it: where the
        data are the real ones, those that the mirror has."""
        subject, sessions = wildcards.subject, self.sessions(wildcards)
        files = [layout.ncsnr(self.root, subject), layout.brainmask(self.root, subject), layout.expdesign(self.root)]
        others = manifest.evidence_files(self.root, subject, sessions)
        return [str(f) for f in (*files, *(f for f in others if not self.data.from_bucket or f.exists()))]

    def stimuli(self) -> Path:
        """The file that images are cut from: what a subject saw, as a pattern, or the bucket's one big file."""
        needed = self.data.only_needed_stimuli
        return layout.subject_stimuli(self.root, "{subject}") if needed else layout.stimuli(self.root)
