"""What a study will be able to see: the sentence, the table, and where the spreads come from."""

import numpy as np
import pytest
import yaml

from neurobust.core.errors import InputError
from neurobust.core.seeding import numpy_rng
from neurobust.statistics import TYPICAL, Components, components, crossed_interval, detectable
from neurobust.study import power
from neurobust.study.read import read_study

HEADS = "task,architecture,attack,n_contrasts,n_seeds,n_images,sd_seed,sd_image,sd_residual,detectable\n"


@pytest.fixture
def study(project):
    return read_study(yaml.safe_load((project / "config" / "config.yaml").read_text()))


@pytest.fixture
def write_table(tmp_path):
    """A function: the table `power` of a finished study in this folder, from its lines."""

    def write(*lines):
        path = tmp_path / "report" / "tables" / "power.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(HEADS + "".join(f"{line}\n" for line in lines))
        return tmp_path

    return write


def test_the_sentence():
    assert power.power_sentence(5, 1000) == "5 seeds x 1,000 images see 2.4 pp; 1 pp needs about 20 seeds"
    assert power.power_sentence(1, 32, Components(0.01, 0.0, 0.3)).startswith(
        "1 seed x 32 images: no interval; 1 pp needs"
    )
    assert (
        power.power_sentence(2, 8, Components(0.5, 0.1, 0.3))
        == "2 seeds x 8 images see nothing; 1 pp needs more images"
    )


def test_the_table_is_of_detectable_differences():
    found = power.detectable_table(TYPICAL, seeds=(3, 5), images=(100, 1000))
    assert found.shape == (2, 2) and found[1, 0] == detectable(5, 100, *TYPICAL)
    assert (np.diff(found, axis=0) < 0).all() and (np.diff(found, axis=1) < 0).all()
    assert (power.detectable_table(TYPICAL, (3, 5), (100, 1000), level=0.99) > found).all()


def test_the_spreads_of_contrasts_are_pooled_as_variances():
    """Contrasts of fewer than three seeds are left out; without another, nothing is known."""
    tables = [numpy_rng("pooled", index).normal(0, 0.1 * (1 + index), (4, 60)) for index in range(3)]
    found = power.pooled([*tables, np.ones((2, 60)), np.ones((5, 0))])
    assert np.square(found) == pytest.approx(np.mean([np.square(components(table)) for table in tables], axis=0))
    assert power.pooled([tables[0][:2]]) is None and power.pooled([]) is None


def test_what_a_study_measured_predicts_the_intervals_of_the_next():
    """From 6 seeds x 200 images: the half width to expect of 12 seeds x 800, within what 6 seeds can know."""
    rng = numpy_rng("next")

    def draw(seeds, images):
        shapes = [(seeds, 1), (1, images), (seeds, images)]
        return sum(sigma * rng.standard_normal(shape) for sigma, shape in zip((0.03, 0.05, 0.4), shapes, strict=True))

    spreads = power.pooled([draw(6, 200) for _ in range(10)])
    half = np.mean([crossed_interval(table).high - table.mean() for table in (draw(12, 800) for _ in range(20))])
    half_of_effect = 2.200985 / 3.0663  # Student's 97.5 % point over 12 seeds, by the errors that 80 % of studies see
    assert detectable(12, 800, *spreads) * half_of_effect == pytest.approx(half, rel=0.15)


def test_a_finished_study_gives_its_own_spreads(write_table, tmp_path):
    assert power.known_spreads(tmp_path) == {}
    assert power.known_spreads(write_table()) == {}, "a study of two seeds"
    results = write_table("a,r,pgd,4,5,48,0.03,0,0.4,.1", "a,s,pgd,4,5,48,0.04,0.1,0.3,.1", "b,r,pgd,4,5,48,1,2,3,.1")
    found = power.known_spreads(results)
    assert found["a"] == pytest.approx((0.0353553, 0.0707107, 0.3535534), rel=1e-5) and found["b"] == (1, 2, 3)
    for broken in ("a,r,pgd,4,5,48,much,0,0.4,.1", "a,r"):
        with pytest.raises(InputError, match=r"power\.csv: not the table `power`"):
            power.known_spreads(write_table(broken))
    (results / "report/tables/power.csv").write_bytes(b"\xb8\x00")
    with pytest.raises(InputError, match=r"power\.csv: not the table `power`"):
        power.known_spreads(results)


def test_the_plan_says_what_the_study_sees_and_what_is_left_after_correction(study, tmp_path):
    (size,) = power.sizes(study, {})
    assert (size.seeds, size.images) == (len(study.seeds), study.config["attack_images"])
    assert size.claims == sum(condition.guided for condition in study.conditions.values()) > 1, (
        "what the report compares with `none`"
    )
    first, corrected, _, spreads, _, *table = power.power_lines(study, tmp_path)
    assert first == f"Power: {power.power_sentence(size.seeds, size.images)} (a single contrast, in 80 % of studies)."
    seen = 100 * detectable(size.seeds, size.images, *TYPICAL, level=1 - 0.05 / size.claims)
    assert corrected == f"The first of {size.claims} claims of a task, corrected for all of them: {seen:.1f} pp."
    assert spreads.startswith("Spreads, assumed: 1 pp between seeds")
    assert len(table) == 1 + len(power.SEEDS) and all(len(line) == len(table[0]) for line in table)


def test_each_task_has_the_power_of_its_own_seeds_images_and_spreads(project, tmp_path, write_table):
    text = (project / "config/demo.yaml").read_text()
    study = read_study(yaml.safe_load(text) | {"claims": None, "results": "results/here"})
    assert power.sizes(study, {}) == {
        power.Size(5, 200, 2): ["phantom-scenes"],
        power.Size(2, 32, 1): ["digits"],
    }
    (tmp_path / "results").mkdir()
    measured = write_table("phantom-scenes,small,pgd-linf,4,5,200,0.1,0.2,0.4,.1")
    (tmp_path / "results" / "here").symlink_to(measured)
    lines = power.power_lines(study, tmp_path)
    wide = power.power_sentence(5, 200, Components(0.1, 0.2, 0.4))
    assert lines[0].startswith(f"Power, phantom-scenes: {wide}")
    assert any(line.startswith(f"Power, digits: {power.power_sentence(2, 32)}") for line in lines)
    origins = [line.split(":")[0] for line in lines if line.startswith("Spreads, ")]
    assert origins == ["Spreads, measured by this study on phantom-scenes", "Spreads, assumed"]
