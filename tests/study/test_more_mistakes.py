"""More mistakes that people make in a configuration, asked as `neurobust check` asks: of the files, the root and all.

Each is an edit of config/demo.yaml or config/config.yaml, and what its one line must say.
"""

from __future__ import annotations

import copy
import importlib.util
from pathlib import Path

import pytest
import yaml

from neurobust.cli.check import checked
from neurobust.core.errors import InputError, messages_of

_spec = importlib.util.spec_from_file_location("mistakes", Path(__file__).with_name("test_mistakes.py"))
mistakes = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(mistakes)

V1 = {"target": ["V1"], "predictor": "gnet", "loss": "mse", "weight": 0.8}
PGD = {"method": "pgd", "norm": "l2", "budgets": [0, 1]}
DEMO = [  # key, value, what is said; a key alone is deleted
    # the phantom and its subjects do not fit: tracebacks once
    ("data.subjects.subj03", {"sessions": 1}, ["data.subjects.subj03: the phantom has no such subject"]),
    ("phantom.subjects", {}, ["data.subjects.subj01: the phantom has no such subject"]),
    ("phantom.formats", ["nii"], ["phantom.formats.0: 'nii' is not known", "nearest: nii.gz"]),
    # lists of the top: without file and line once, and what else was wrong hid them
    ("seeds", [0, 0], [": seeds: [0, 0] has non-unique elements; name 0 once"]),
    ("predictor_seeds", [1, 1], [": predictor_seeds: [1, 1] has non-unique elements"]),
    # keys that stand beside those of a kind
    ("tasks.digits.trainig", {"epochs": 1}, ["unknown key 'trainig'", "nearest: training"]),
    ("tasks.digits.architecture", ["small"], ["unknown key 'architecture'", "nearest: architectures"]),
    ("attacks.pgd-l2.budget", [0, 1], ["unknown key 'budget'", "nearest: budgets"]),
    ("attacks.pgd-l2.lable", "x", ["unknown key 'lable'", "nearest: label"]),
    ("semantic.cadv.task", ["digits"], ["unknown key 'task'", "nearest: tasks"]),
    ("conditions.y", {**V1, "targets": ["V1"]}, ["conditions.y: unknown key 'targets'", "nearest: target"]),
    # one thing for a list, a list for one thing
    ("rois.V1.labels", "V1v", ["rois.V1.labels: 'V1v': expected a list, got text; write [V1v]"]),
    ("rois.LO.labels", "LO1, LO2", ["write [LO1, LO2]"]),
    ("seeds", "0-4", ["write [0, 1, 2, 3, 4]"]),
    ("seeds", "(0, 1)", ["write [0, 1]"]),
    ("tasks.digits.seeds", 3, ["write [3]"]),
    ("phantom.subjects.subj01.grid", 18, ["phantom.subjects.subj01.grid: 18: expected a list"]),
    ("corruptions", {"set": "cifar", "types": "fog", "images": 4}, ["'fog'", "or a list such as [fog]"]),
    ("data.format", ["hdf5"], ["data.format: ['hdf5']: expected text, got a list"]),
    # one number for a mapping, several labels in one text, labels as other files have them
    ("data.subjects.subj01", 10, ["expected a mapping, got a whole number; write {sessions: 10}"]),
    ("data.subjects.subj01", "10 sessions", ["data.subjects.subj01: '10 sessions': expected a mapping, got text"]),
    ("rois.V1.labels", ["V1v, V1d"], ["write them one by one: [V1v, V1d]"]),
    ("rois.V1", {"atlas": "HCP_MMP1", "labels": ["L_V1_ROI"]}, ["write V1, and the hemisphere as `hemisphere`"]),
    # a step so small that the gradient does not turn in float32, or beyond all images
    ("explain", {"jacobian": {"distance": 1e-30}}, ["explain.jacobian.distance: 1e-30", ">= 0.0001"]),
    ("explain", {"jacobian": {"distance": 1e30}}, ["explain.jacobian.distance: 1e+30", "<= 100"]),
    # numbers as other programs write them
    ("attack_images", "0o40", ["YAML takes it for text: write 32"]),
    ("training.learning_rate", "0,1", ["decimal sign is a point: write 0.1"]),
    ("attack_images", "1,000", ["attack_images: '1,000'", "write 1000"]),
    ("conditions.V1.weight", "80%", ["YAML has no percent: 80% is 0.8"]),
    ("tasks.digits.image_size", "16px", ["write 16 alone"]),
    ("seeds", ["0 1 2"], ["put commas between them: 0, 1, 2"]),
    ("rois.V1.ncsnr_min", -0.1, ["rois.V1.ncsnr_min: -0.1: expected a number >= 0"]),
    ("splits.validation", 0.0001, ["splits.validation: 0.0001", "for validation", "write 0.1"]),
    ("splits.validation", 10, ["splits.validation: 10: expected a number < 1"]),
    # paths
    ("data.root", " ", ["data.root: ' ': begins or ends with a blank"]),
    ("data.root", "nsd ", ["data.root: 'nsd ': begins or ends with a blank"]),
    ("data.root", "a" * 256, ["longer than any file system takes; shorten it"]),
    ("data.root", "é" * 128, ["longer than any file system takes; shorten it"]),
    ("predictors.gnet.prefilter", "w/" * 2100 + "x", ["predictors.gnet.prefilter: 'w/", "longer than any file system"]),
    ("data.coco_annotations", "a" * 300, ["data.coco_annotations: ", "longer than any file system takes"]),
    ("data.root", "config/demo.yaml", ["data.root: 'config/demo.yaml': config/demo.yaml is a file and no folder"]),
    ("data.root", "config/demo.yaml/nsd", ["data.root: ", "config/demo.yaml is a file and no folder"]),
    ("data.root", "/dev/null", ["/dev/null is a file and no folder"]),
    ("claims", "c" * 300, ["claims: 'ccc", "longer than any file system takes"]),
    # words for true and false, nothing where there must be something
    ("data.accept_terms", "yes", ["data.accept_terms: 'yes': expected true or false, got text; write true"]),
    ("architectures.resnet18.pretrained", 0, ["got a whole number; write false"]),
    ("rois", None, [": rois: None: expected a mapping, got nothing; give it"]),
    ("rois.V1.labels", None, ["rois.V1.labels: None: expected a list, got nothing; give it"]),
    # words of thousands of letters
    ("study", "x" * 5000, ["study: 'xxx", "x... expected text of length <= 100"]),
    ("data.root", "s3://natural-scenes-dataset", ["data.root: 's3://natural-scenes-dataset'", "no address"]),
    ("data.root", "C:\\data\\nsd", ["data.root: 'C:\\\\data\\\\nsd'", "backslashes"]),
    ("predictors.gnet.prefilter", "config", ["predictors.gnet.prefilter: 'config': a folder"]),
    ("claims", "config/demo.yaml", ["config/demo.yaml: a study's configuration and no file of claims"]),
    # names
    ("study", "dеmo", ["'dеmo'", "CYRILLIC SMALL LETTER IE"]),
    ("study", "de\xa0mo", ["NO-BREAK SPACE"]),
    ("study", "a" * 300, ["study: ", "length <= 100"]),
    ("attacks.verification", PGD, ["attacks.verification: the table of face verification is called so"]),
    ("attacks.cadv", PGD, ["attacks.cadv: a semantic attack of this study is called so"]),
    ("attacks.pgd_l2", PGD, ["key 'pgd_l2' is not allowed here; expected a name of letters and digits"]),
    # nothing
    ("results", None, ["results: None: expected text, got nothing; give it"]),
    ("architectures.resnet18.stem", None, ["architectures.resnet18.stem: None", "give it"]),
    ("phantom.scenes",), ("phantom.cue.kind",), ("predictors.gnet.kind",), ("attacks.hue.method",), ("data.subjects",),
    ("phantom.subjects.subj02",), ("splits.zscore",), ("transfer.budget",), ("semantic.images",),
    ("tasks.digits.training",),
    # norms and units
    ("attacks.x", {"method": "hopskipjump", "norm": "l1", "budgets": [0, 1]}, ["choose one of l2, linf"]),
    ("attacks.x", {"method": "gaussian", "norm": "linf", "budgets": [0, 1]}, ["choose one of l2"]),
    ("attacks.x", {"method": "pgd", "norm": "L2", "budgets": [0, 1]}, ["nearest: l2"]),
    ("attacks.x", {"method": "pgd", "norm": float("inf"), "budgets": [0, 1]}, ["attacks.x.norm: inf"]),
    ("attacks.x", {"method": "rotation-translation", "budgets": [0, 30]}, ["30 is over 1, the whole range"]),
    ("attacks.x", {**PGD, "budgets": [0, float("nan")]}, ["nan is not a finite number"]),
    ("training.weight_decay", float("inf"), ["training.weight_decay: inf: expected a finite number"]),
    ("transfer.norm", "l0", ["transfer.norm: 'l0' is not known; choose one of linf, l2"]),
]  # fmt: skip
REAL = [
    ("data.subjects.subj03.sessions", 40, ["data.subjects.subj03.sessions: 40: subj03 ran 32 sessions"]),
    ("data.endpoint", "http://", ["data.endpoint: 'http://'", "names a server"]),
    ("data.endpoint", "http://mirror:port", ["names a server"]),
    ("data.endpoint", "https://mirror lab", ["names a server"]),
    ("data.region", "us east", ["data.region: 'us east'"]),
    ("data.cache", "resources", ["data.cache: 'resources' and data.root 'resources/nsd' are one folder or lie in"]),
    ("predictors.gnet.prefilter_channels", [48, 96], ["prefilter_channels: [48, 96]", "write [64, 192]"]),
    ("predictors.gnet.prefilter", "alexnet", ["no such file", "write gabor"]),
    ("conditions.V1-stimuli.on", "stimulus", ["nearest: stimuli"]),
    ("rois.LO.within", "nsd-general", ["nearest: nsdgeneral"]),
    ("rois.LO.labels", [14, 15], ["rois.LO.labels.0: 14: expected text"]),
    ("results", "/data/results", ["results: '/data/results': expected text that is results, or results/ and one name"]),
    ("tasks.imagenet50.source",), ("corruptions.set",),
]  # fmt: skip
FINE = [
    ("demo", "data.root", "/data/nsd phantom"), ("demo", "seeds", [1, 0]), ("demo", "training.batch_size", 64.0),
    ("demo", "conditions.V1.weights", [0.5]),
    ("demo", "attacks.x", {"method": "pgd", "norm": "linf", "budgets": [0, 4]}),
    ("demo", "phantom.subjects.subj03", {"grid": [9, 10, 11]}), ("real", "data.endpoint", "http://[::1]:9000"),
    ("real", "data.endpoint", "https://mirror.lab:9000/nsd"), ("real", "data.region", "eu-west-1"),
]  # fmt: skip
WARNED = [
    ("attacks.pgd-linf.steps", 10**9, "attacks.pgd-linf.steps: 1000000000: nobody waits for so many"),
    (
        "tasks.x",
        {"kind": "image-folder", "source": "README.md", "training": {"epochs": 1}},
        "tasks.x.source: 'README.md': a file, not the folder that holds train and val; name the folder",
    ),
    ("tasks.digits.training.epochs", 10**12, "nobody trains for so long"),
    ("conditions.again", V1, "conditions.again: says the same as 'V1'"),
    ("rois.again", {"atlas": "Kastner2015", "labels": ["LO1", "LO2"]}, "rois.again: says the same as 'LO'"),
    ("tasks.digits.conditions", ["LO", "LO-shuffled"], "tasks.digits.conditions: LO, LO-shuffled: without 'none'"),
    ("primary_attack", "noise-uniform", "primary_attack: 'noise-uniform': uniform draws noise"),
    ("rois.V1.ncsnr_min", 30, "rois.V1.ncsnr_min: 30: no voxel reaches it"),
    ("training.weight_decay", 100.0, "training.weight_decay: 100: above 1 weights go to nothing"),
]  # fmt: skip


@pytest.fixture(scope="module")
def texts(project):
    return {"demo": (project / "config/demo.yaml").read_text(), "real": (project / "config/config.yaml").read_text()}


@pytest.fixture
def at_home(project, monkeypatch):
    monkeypatch.chdir(project)


def written(tmp_path, text, key, *value):
    file = tmp_path / "study.yaml"
    file.write_bytes(mistakes.applied(text, {"set": {key: value[0]}} if value else {"delete": key}))
    return file


def refused(file):
    with pytest.raises(InputError) as caught:
        checked([file])
    lines = messages_of(caught.value)
    for line in lines:
        assert line.startswith((f"{file}:", "config/")) and "\n" not in line and "regex" not in line, line
    return lines


@pytest.mark.parametrize(
    ("which", "case"), [*(("demo", case) for case in DEMO), *(("real", case) for case in REAL)],
    ids=[f"{case[0]}-{index}" for index, case in enumerate([*DEMO, *REAL])],
)  # fmt: skip
def test_a_mistake_is_said_with_file_line_key_and_mend(which, case, texts, at_home, tmp_path):
    key, *value = case
    lines = refused(written(tmp_path, texts[which], key, *value[:1]))
    text = "\n".join(lines)
    for said in value[1] if value else [key.split(".")[-1]]:
        assert said in text, text


@pytest.mark.parametrize(("which", "key", "value"), FINE, ids=[f"{key}" for _, key, _ in FINE])
def test_what_is_right_is_taken(which, key, value, texts, at_home, tmp_path):
    warnings = checked([written(tmp_path, texts[which], key, value)])[1]
    assert all("not there yet" in line for line in warnings)


@pytest.mark.parametrize(("key", "value", "says"), WARNED, ids=[key for key, _, _ in WARNED])
def test_what_is_hardly_meant_is_warned_of(key, value, says, texts, at_home, tmp_path):
    assert any(says in line for line in checked([written(tmp_path, texts["demo"], key, value)])[1])


BOMB = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("---\nstudy: b\n", "{line}: a second document begins here (---)"),
        ("x: !secret y\n", "{line}: the tag !secret means nothing here"),
        ("x: !!python/object/apply:os.getcwd []\n", "{line}: the tag !!python/object/apply:os.getcwd means nothing"),
        (f"x: {'[' * 31}{']' * 31}\n", "{line}: x: lists and mappings in more than 30 levels"),
        (f"x: {'[' * 3000}{']' * 3000}\n", "{line}: x: lists and mappings in more than 30 levels"),
        (f"x: {'{a: ' * 500}1{'}' * 500}\n", "{line}: x: lists and mappings in more than 30 levels"),
        (
            "".join(f"a{n}: &a{n} [{f'*a{n - 1}' if n else 0}]\n" for n in range(40)),
            ": a30: lists and mappings in more than 30 levels",
        ),
        (f"a0: &a0 [0]\n{BOMB}", "its aliases (*) stand for"),
        ("x: &x [*x]\n", "{line}: x: an alias (*) stands inside of what it names"),
    ],
)
def test_a_file_that_nobody_means_is_one_line(more, says, texts, at_home, tmp_path):
    """Also one that would take all memory to be written out."""
    file = tmp_path / "study.yaml"
    file.write_text(f"{texts['demo']}\n{more}")
    (line,) = refused(file)
    number = len(texts["demo"].splitlines()) + 2
    assert line.startswith(f"{file}:") and says.format(line=f":{number}") in line and len(line) < 400, line


def test_aliases_that_are_meant_are_taken(texts, at_home, tmp_path):
    file = tmp_path / "study.yaml"
    text = texts["demo"].replace("seeds: [0, 1, 2, 3, 4]", "seeds: &seeds [0, 1, 2, 3, 4]", 1)
    file.write_text(text + "\n")
    assert text != texts["demo"] and checked([file])


@pytest.mark.parametrize("key", ["data.root", "results"])
def test_links_that_lead_nowhere_are_one_line(key, texts, project, tmp_path, monkeypatch):
    """A link to itself, a link to nothing: tracebacks once."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").symlink_to(project / "config")
    for name, target in (("loop", "loop"), ("dangling", "absent")):
        Path(name).symlink_to(target)
        if key == "results":
            Path("results").symlink_to(name)
            file = written(tmp_path, texts["demo"], "data.root", "elsewhere")
        else:
            file = written(tmp_path, texts["demo"], key, name)
        (line,) = refused(file)
        assert f": {key}: '" in line and ("Too many levels" in line if name == "loop" else "link to nothing" in line)
        Path("results").unlink(missing_ok=True)


@pytest.mark.parametrize("name", ["config/schema.yaml", "config/claims.yaml", "envs/neurobust.yaml"])
def test_a_file_that_is_no_configuration_is_one_line(name, project, at_home):
    with pytest.raises(
        InputError, match=rf"^{name}: .*: no configuration: a study has the keys study, results"
    ) as caught:
        checked([Path(name)])
    assert len(messages_of(caught.value)) == 1


def test_a_file_is_parsed_once_however_much_is_wrong_in_it(texts, at_home, tmp_path, monkeypatch):
    config = yaml.safe_load(texts["demo"])
    config["training"] |= {f"key{number}": number for number in range(300)}
    file, parsed = tmp_path / "study.yaml", []
    file.write_text(yaml.safe_dump(config))
    compose = yaml.compose
    monkeypatch.setattr(yaml, "compose", lambda text, *how: parsed.append(text) or compose(text, *how))
    assert len(refused(file)) == 300 and parsed.count(file.read_text()) == 1


def test_a_list_that_names_something_twice_hides_nothing_else(texts, at_home, tmp_path):
    config = yaml.safe_load(texts["demo"])
    config["seeds"], config["training"]["momentum"], config["rois"]["V1"]["labels"] = [0, 0], 2, ["V1v", "V1v"]
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(config))
    keys = sorted(line.split(": ")[1] for line in refused(file))
    assert keys == ["rois.V1.labels", "seeds", "training.momentum"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda text: text.replace("pgd-linf: {method: pgd", "pgd-linf: {method:pgd"), "blank behind the colon"),
        (lambda text: text.replace("  format: nii.gz", "\u00a0 format: nii.gz"), ":9: a blank that is none (U+00A0"),
        (lambda text: text.replace("seeds: [0, 1, 2, 3, 4]", "seeds: [0\x07]"), ":93: not YAML: control characters"),
        (
            lambda text: text.replace("fgsm: {method: fgsm", "fgsm: {methd: fgsm"),
            "missing key 'method'; is it meant by 'methd'?",
        ),
        (lambda text: text.replace("    kind: digits", "    kid: digits"), "missing key 'kind'; is it meant by 'kid'?"),
        (lambda text: text.replace("splits:   ", "splts:   "), "unknown key 'splts'"),
    ],
)
def test_slips_of_the_keyboard_are_found_by_their_line(change, says, texts, at_home, tmp_path):
    file = tmp_path / "study.yaml"
    file.write_text(change(texts["demo"]), encoding="utf-8")
    assert says in "\n".join(refused(file))


def test_no_key_of_the_data_or_the_phantom_brings_a_check_down(texts, at_home, tmp_path):
    """Every key of both in turn with one of some odd values, and left out, with all that `neurobust check` asks."""
    demo = yaml.safe_load(texts["demo"])
    paths = [
        (section, *path)
        for section in ("data", "phantom", "splits", "rois")
        for path in mistakes.keys_of(demo[section])
    ]
    odd = [{}, [], "x", -1, None, 3, [1, 1], {"subj01": {}}]
    file = tmp_path / "study.yaml"
    for number, path in enumerate(paths):
        for change in (odd[number % len(odd)], odd[(number + 3) % len(odd)], KeyError):
            config = copy.deepcopy(demo)
            place = config
            for key in path[:-1]:
                place = place[key]
            place[path[-1]] = change
            if change is KeyError:
                del place[path[-1]]
            file.write_text(yaml.safe_dump(config))
            try:
                checked([file])
            except InputError as error:
                assert all(line.startswith(f"{file}") for line in messages_of(error)), path
