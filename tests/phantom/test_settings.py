"""What a study says about its phantom."""

import pytest

from neurobust.core.errors import InputError
from neurobust.core.settings import options, read
from neurobust.phantom.settings import FaceTask, Phantom, PhantomSubject, PlantedNSD, PlantedSubject, SceneTask

SCENES = {"seed": 0, "train": 8, "validation": 2, "test": 4, "size": 32}
PHANTOM = {
    "seed": 0, "shared_images": 120, "unique_images": 680, "planned_sessions": 10, "trials_per_session": 240,
    "stimulus_size": 128, "faces": 0.25, "formats": ["nii.gz"], "subjects": {"subj01": {"grid": [18, 21, 16]}},
    "scenes": SCENES,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stimulus_size": 100}, "phantom.stimulus_size: 100"),
        ({"stimulus_size": 0}, "phantom.stimulus_size: 0"),
        ({"trials_per_session": 6}, "phantom.trials_per_session: 6"),
        ({"planned_sessions": 41}, "phantom.planned_sessions: 41"),
        ({"faces": 1.5}, "phantom.faces: 1.5"),
        ({"formats": []}, "phantom.formats: []"),
        ({"formats": ["nii"]}, "phantom.formats.0: 'nii' is not known"),
        ({"subjects": {"subj01": {"grid": [18, 21]}}}, "grid"),
        ({"subjects": {"subj01": {"grid": [18, 21, 7]}}}, "grid"),
        ({"scenes": {**SCENES, "size": 15}}, "phantom.scenes.size: 15"),
        ({"face_task": SCENES}, "phantom.face_task: missing key 'identities'"),
        ({"voxels": 3}, "phantom: unknown key 'voxels'"),
    ],
)
def test_faults_are_named(changes, message):
    with pytest.raises(InputError) as caught:
        read(Phantom, {**PHANTOM, **changes}, "phantom")
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_faces_are_not_aligned_unless_asked_for():
    phantom = read(Phantom, {**PHANTOM, "face_task": {**SCENES, "identities": 2}}, "phantom")
    assert phantom.face_task is not None and not phantom.face_task.aligned
    assert phantom.face_task.counts == phantom.scenes.counts == (8, 2, 4)
    assert read(Phantom, PHANTOM, "phantom").face_task is None


@pytest.mark.parametrize("kind", [PhantomSubject, PlantedSubject, SceneTask, FaceTask, Phantom, PlantedNSD])
def test_every_key_has_a_line_of_help(kind):
    assert all(option.help for option in options(kind) if option.name not in ("subjects", "scenes", "face_task"))
