"""The mirror of the NSD bucket as a study uses it: which files its jobs read there, and who made them."""

from __future__ import annotations

import stat
from collections.abc import Collection, Mapping
from functools import cached_property
from pathlib import Path

from msgspec.structs import asdict

from neurobust.core.errors import InputError
from neurobust.core.io import READ_ONLY, canonical_json
from neurobust.core.settings import brief
from neurobust.core.sources import source_files, source_hash
from neurobust.files.prf_maps import MAPS
from neurobust.nsd import layout, manifest, regions, studies
from neurobust.nsd.settings import StudySplits, fewest_sessions
from neurobust.phantom import ownership
from neurobust.phantom.outputs import phantom_files
from neurobust.phantom.ownership import Planter, digest_of
from neurobust.phantom.settings import PlantedNSD
from neurobust.study.model import Study
from neurobust.study.paths import FOLDERS, Wildcards

PLANTING = ("make_phantom", "make_scenes", "make_faces")  # the scripts that write below a phantom's root


def check_folder(key: str, path: Path) -> None:
    """Raise InputError for a path that can be no folder: a file, one below a file, a link to itself or to nothing."""
    for place in (path, *path.parents):
        try:
            is_folder = stat.S_ISDIR(place.stat().st_mode)
        except (FileNotFoundError, NotADirectoryError):
            if not place.is_symlink():
                continue
            raise InputError(
                f"{key}: '{path}': {place} is a link to nothing; mend it, or name another folder"
            ) from None
        except OSError as error:
            raise InputError(f"{key}: '{path}': {place}: {error.strerror}; name another folder") from None
        if not is_folder:
            raise InputError(f"{key}: '{path}': {place} is a file and no folder; name another")
        return


def check_place(key: str, path: str, own: Mapping[str, Path], way: str) -> None:
    """Raise InputError for a path that is the whole file system, the user's home or one of some folders of its own."""
    places = {"the root of the file system": Path("/"), "your home folder": Path("~").expanduser(), **own}
    for what, place in places.items():
        if Path(path).resolve() == place.resolve():
            raise InputError(f"{key}: {path!r}: {what}, where other things lie; {way}")


class Mirror:
    """The files below `data.root` (and `data.cache`), for the rules of nsd."""

    def __init__(self, study: Study, home: Path | None = None):
        """home: the folder of the Snakefile; None where nobody asks whose the root is."""
        self.study, self.data, self.root, self.home = study, study.data, study.data.mirror, home
        self.folder = study.data.folder  # which is written to

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

    def splits(self, wildcards: Wildcards) -> StudySplits:
        """The splits of a subject, with what they need to know of the data set; nothing of it depends on who else is in
        the study."""
        given = asdict(self.study.splits)
        if self.study.splits.test == "special":
            planted = self.planted
            fewest = fewest_sessions() if planted is None else fewest_sessions(planted.planned_sessions)
            return StudySplits(**given, min_sessions=fewest)
        if self.study.splits.test == "shared":
            return StudySplits(**given)
        return StudySplits(**given, sessions=self.data.ran(wildcards.subject))

    @cached_property
    def digest(self) -> str:
        """A short name of all that the phantom plants below `data.root`."""
        phantom = self.study.planted
        assert phantom is not None
        parts = (self.planted, phantom.scene_task, phantom.face_task)
        return digest_of(canonical_json([part and brief(part) for part in parts]))

    @property
    def planter(self) -> Planter | None:
        """Where Snakemake runs for this study, and the code that would plant its phantom; None: it is not known."""
        if self.home is None:
            return None
        scripts = self.home / "workflow/scripts/nsd"
        return Planter(
            Path(),
            lambda: digest_of(canonical_json([source_hash(source_files(scripts / f"{name}.py")) for name in PLANTING])),
        )

    def check_root(self) -> None:
        """Raise InputError where the root is not this study's to use or to plant. Changes nothing."""
        self.check_folders()
        if self.data.from_bucket:
            for folder in {Path(self.data.root), self.folder}:
                ownership.refuse_planted(folder)
        elif self.planted is not None:
            ownership.check(self.folder, layout.study_id(self.folder, self.study.root), self.digest, self.planter)

    def check_folders(self) -> None:
        """Raise InputError where data would lie among results or other things, or root and cache in one another."""
        given = {"config.data.root": self.data.root}
        if self.data.cache is not None:
            given["config.data.cache"] = self.data.cache
        for key, path in {"config.results": self.study.results, **given}.items():
            check_folder(key, Path(path))
        results = self.study.root.resolve()
        own = {"the folder of the study itself": Path()}
        if self.home is not None:
            own["the folder of the Snakefile"] = self.home
        check_place("config.results", self.study.results, own, "remove the link, or let it lead to a folder of its own")
        for key, path in given.items():  # of a mirror that is only read, or that somebody has, others decide
            theirs = self.data.from_bucket and key == "config.data.root"
            check_place(key, path, {} if theirs else own, "name a folder of its own, such as 'resources/nsd'")
        for key, path in given.items():
            folder = Path(path).resolve()
            if folder == results or any(folder.is_relative_to(results / name) for name in FOLDERS):
                raise InputError(f"{key}: {path!r} lies among the results in {self.study.results}; name another folder")
        root, *cache = (Path(path).resolve() for path in given.values())
        if any(root.is_relative_to(folder) or folder.is_relative_to(root) for folder in cache):
            raise InputError(
                f"config.data.cache: {self.data.cache!r} and data.root {self.data.root!r} are one folder or lie in one "
                "another, and the root is only read; name a folder elsewhere, or null to fetch into the root"
            )

    def enter(self, missing: Collection[str] = ()) -> None:
        """Note below the root that this study uses it; InputError where it may not, or where files are `missing` that
        jobs will fetch and the NSD terms are not accepted.

        Called before the first job and no job itself: the message comes once, and what the mirror has stays as it is.
        """
        if self.data.from_bucket:
            if missing:
                self.prepare_to_fetch(missing)
            studies.enter(self.data, self.study.root)
        elif self.planted is not None:
            ownership.claim(self.folder, self.study.root, self.digest, self.planter)

    def prepare_to_fetch(self, missing: Collection[str]) -> None:
        """Note the server and that the terms are accepted; InputError where they are not, or nothing can be written."""
        try:
            manifest.accept_terms(self.data)
        except OSError as error:
            if error.errno not in READ_ONLY:
                raise
            raise InputError(
                f"{self.folder}: lacks {len(missing)} files ({sorted(missing)[0]}) and cannot be written "
                f"({error.strerror}); name a folder of yours for them in data.cache"
            ) from error

    def phantom_files(self) -> list[str]:
        """Every planted file that a rule declares; none where the data are the real ones."""
        return phantom_files(self.folder, self.planted) if self.planted is not None else []

    @property
    def annotations(self) -> str | None:
        """COCO's annotations of the images: the user's folder or zip, or the phantom's own; None: there are none."""
        given = self.data.coco_annotations
        return str(layout.planted_annotations(self.root)) if self.planted is not None and given is None else given

    def small_files(self) -> list[str]:
        """The files that a look at the mirror needs: everything but sessions and images."""
        files = [path for subject in self.data.subjects for path in self._used(subject)]
        wanted = () if all(map(self._has_sessions, self.data.subjects)) else layout.ATLASES
        small = manifest.small_files(self.root, list(self.data.subjects), wanted, self.data.prepared)
        return list(dict.fromkeys(str(path) for path in (*small, *files)))

    def sessions(self, wildcards: Wildcards) -> int:
        """How many sessions the subject ran."""
        return self.data.sessions[wildcards.subject]

    def session_files(self, wildcards: Wildcards) -> list[str]:
        """The betas of every session that the subject ran, in numeric order."""
        sessions, data = self.sessions(wildcards), self.data
        files = manifest.session_files(self.root, wildcards.subject, sessions, data.format, data.prepared)
        return [str(file) for file in files]

    def label_files(self, wildcards: Wildcards) -> list[str]:
        """The label volumes that betas are cut by: left, right, and both in one.

        Where sessions have to be fetched, those of all atlases, so that an ROI of any can be added later; of a copy
        that has its sessions, those that an ROI uses and whatever else is there.
        """
        subject = wildcards.subject
        wanted = () if self._has_sessions(subject) else layout.ATLASES
        volumes = [path for path in self._used(subject) if path.name.endswith((".nii.gz", ".nii"))]
        files = [*manifest.label_files(self.root, subject, wanted, self.data.space), *volumes]
        return list(dict.fromkeys(str(path) for path in files))

    def _has_sessions(self, subject: str) -> bool:
        """Whether every session of a subject is there."""
        sessions, data = self.data.sessions[subject], self.data
        files = manifest.session_files(self.root, subject, sessions, data.format, data.prepared)
        return all(path.exists() for path in files)

    def _used(self, subject: str) -> list[Path]:
        """The label volumes and colour tables that ROIs are cut by."""
        every = (regions.roi_files(self.root, subject, spec, self.data.space) for spec in self.study.rois.values())
        return [path for files in every for name, path in files.items() if name != "brainmask"]

    def roi_files(self, wildcards: Wildcards) -> list[str]:
        """The small files that one ROI is cut from."""
        subject, prepared = wildcards.subject, self.data.prepared
        files = regions.roi_files(self.root, subject, self.study.rois[wildcards.roi], prepared.space).values()
        return [str(f) for f in (*files, layout.ncsnr(self.root, subject, prepared), layout.expdesign(self.root))]

    def evidence_files(self, wildcards: Wildcards) -> list[str]:
        """What the betas of a subject are compared with. Means of sessions and tables are not fetched for it: where the
        data are the real ones, those that the mirror has."""
        subject, prepared = wildcards.subject, self.data.prepared
        files = [
            layout.ncsnr(self.root, subject, prepared),
            layout.brainmask(self.root, subject, prepared.space),
            layout.expdesign(self.root),
        ]
        others = manifest.evidence_files(self.root, subject, self.sessions(wildcards), prepared)
        return [str(f) for f in (*files, *(f for f in others if not self.data.from_bucket or f.exists()))]

    def prf_files(self) -> list[str]:
        """Every subject's maps of population receptive fields, three each."""
        return [
            str(layout.prf(self.root, subject, name, self.data.space))
            for subject in self.data.subjects
            for name in MAPS
        ]

    def stimuli(self, wildcards: Wildcards) -> str:
        """The file that a subject's images are cut from: what it saw, or the bucket's one big file if it is there.

        A copy that is only read may have the first too, from a study that fetched it there.
        """
        subject = wildcards.subject
        whole, own = layout.stimuli(self.root), layout.subject_stimuli(self.root, subject)
        if self.data.only_needed_stimuli and not own.exists():
            for path in layout.their_stimuli(self.root, subject):
                if manifest.has_stimuli(path.parents[1], subject, self.sessions(wildcards)):
                    return str(path)
        only = self.data.only_needed_stimuli and (own.exists() or not whole.exists())
        return str(own if only else whole)
