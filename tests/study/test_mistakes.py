"""Mistakes that people make in a configuration: each is refused, or warned of, in one line that says where and what.

`config_mistakes.yaml` holds the cases, each an edit of config/demo.yaml with what it should get; its header says more.
"""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import yaml

from neurobust.core.errors import InputError, messages_of
from neurobust.study.border import read_files, ready, study_of

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # a tenth of the time, over hundreds of cases
DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
CASES = yaml.load(Path(__file__).with_name("config_mistakes.yaml").read_text(encoding="utf-8"), LOADER)
# What a message must say of a mistake beside its place, by the name of its case.
SAYS = {
    "tab indent": [":30: a tab", "spaces"],
    "open brace": ["not YAML", "line 31"],
    "the same ROI twice": [":32: key 'V1' stands at line 30"],
    "the same condition twice": [":89: key 'V1' stands at line 88"],
    "1e-1 is a string in YAML": ["training.learning_rate", "1.0e-1"],
    "no: is false in YAML": ["conditions.no", "false", "quote it"],
    "latin-1 bytes": ["UTF-8"],
    "typo-top-key": ["'roi'", "nearest: rois"],
    "vit stem cifar": ["architectures.vit_b_16.stem", "cifar", "resnet18"],
    "arch unknown resnet19": ["architectures.resnet19", "nearest: resnet18"],
    "arch segmentation": ["architectures.fcn_resnet50", "nearest: resnet50"],
    "arch video r3d_18": ["architectures.r3d_18", "is not known"],
    "prefilter typo gabr": ["predictors.gnet.prefilter", "'gabr'", "nearest: gabor"],
    "deepfool l1": ["attacks.x.norm: 'l1' is not a norm of deepfool; choose one of l2, linf"],
    "uniform norm l2": ["attacks.noise-uniform.norm: 'l2' is not a norm of uniform; choose one of linf"],
    "hue budget 90 degrees": ["attacks.hue.budgets", "90", "0.5", "of the circle"],
    "cnn-fwrf layers unknown": ["predictors.cnn.layers", "'features.99'", "features.12"],
    "layers unknown": ["conditions.V1.layers", "'layer9'", "nearest: layer3"],
    "seeds huge": ["seeds.0", "4294967295"],
    "l2 in 255 units": ["attacks.pgd-l2.budgets", "255", "[0, 1]"],
    "reference eps in [0,1] 0.03": ["reference.epsilon", "1/255", "7.65"],
    "results nested": ["results", "one name"],
    "root has braces": ["data.root", "without braces"],
    "no condition none": ["conditions", "'none'"],
    "resize<image_size": ["tasks.x.resize", "32", "224"],
    "attack_images 1e9": ["attack_images", "300"],
    "shifted set of other classes": ["shifted.renditions.task", "'digits'", "a task of kind image-folder"],
    "shifted task unknown": ["shifted.renditions.task", "'imagenet'", "phantom-scenes"],
    "shifted kind unknown": ["shifted.renditions.kind", "imagenet-q", "nearest: imagenet-"],
    "shifted types of a set without": ["shifted.renditions", "has no corruptions"],
    "shifted set not there yet": ["shifted.cifar10-c.source", "not there yet"],
    "corruptions of large images on small ones": ["corruptions.set", "defocus_blur", "choose cifar, or by-side"],
}
MISSING = ("missing key", "missing")


def applied(text: str, case: dict) -> bytes:
    """The demo's file with the edit of a case."""
    if "text" in case:
        return case["text"].encode()
    if "bytes_hex" in case:
        return bytes.fromhex(case["bytes_hex"])
    if "newline" in case:
        return text.replace("\n", case["newline"]).encode()
    if "replace" in case:
        old, new = case["replace"]
        assert old in text
        return text.replace(old, new, 1).encode()
    config = yaml.load(text, LOADER)
    for path, value in case.get("set", {}).items():
        section, last = reached(config, path)
        section[last] = copy.deepcopy(value)
    if "delete" in case:
        section, last = reached(config, case["delete"])
        del section[last]
    return yaml.dump(config, Dumper=DUMPER, sort_keys=False, allow_unicode=True).encode()


def reached(config: dict, path: str) -> tuple[dict, str]:
    """The section that a path with dots ends in, and its last key."""
    *sections, last = path.split(".")
    for section in sections:
        config = config.setdefault(section, {})
    return config, last


@pytest.fixture(scope="module")
def demo_text(project):
    return (project / "config/demo.yaml").read_text(encoding="utf-8")


@pytest.fixture
def at_home(project, monkeypatch):
    """In the repository, where `claims: config/claims.yaml` lies."""
    monkeypatch.chdir(project)


@pytest.mark.parametrize("case", CASES, ids=[case["name"].replace(" ", "-") for case in CASES])
def test_every_mistake_gets_what_it_should(case, demo_text, at_home, tmp_path):
    file = tmp_path / "study.yaml"
    file.write_bytes(applied(demo_text, case))
    try:
        found, lines = "ok", read_files([file])[1]
        found = "warning" if lines else "ok"
    except InputError as error:
        found, lines = "error", list(messages_of(error))
    assert found == case["expect"], lines
    for line in lines:
        assert line.startswith(str(file)) and "\n" not in line and "regex" not in line
    text = "\n".join(lines)
    for said in SAYS.get(case["name"], ()):
        assert said in text
    if found != "ok":  # the key that was changed is named; what is missing, by the section around it
        changed = [*case.get("set", {}), *([case["delete"]] if "delete" in case else [])]
        assert all(any(part in text for part in path.split(".")[-2:]) for path in changed), text


OTHERS = [  # of the same kinds
    ("rois.V1.labels", ["V1v", "V1D"], ["rois.V1.labels", "'V1D' is not a label of prf-visualrois", "nearest: V1d"]),
    ("rois.V1.labels", ["LO1"], ["LO1 is one of HCP_MMP1, Kastner2015"]),
    ("rois.V1.plus", [{"atlas": "floc-faces", "labels": ["FFA"]}], ["rois.V1.plus.0.labels", "nearest: FFA-"]),
    ("phantom.subjects.subj02.missing", ["FFA2"], ["missing: 'FFA2' is a label of no atlas; nearest: FFA-2"]),
    ("study", "demo\n", ["study: 'demo\\n': expected a name of letters"]),
    ("results", "results/..", ["results: 'results/..': expected"]),
    ("results", "results/a\n", ["results: 'results/a\\n': expected"]),
    ("results", "results/attacks", ["results: 'results/attacks': a study in results has a folder of this name"]),
    ("study", "../demo", ["study: '../demo'"]),
    ("study", True, ["study: True: expected text, got true or false; quote it"]),
    ("data.root", "~/nsd", ["data.root: '~/nsd': expected a path"]),
    ("data.root", "$HOME/nsd", ["data.root: '$HOME/nsd': expected a path", "no shell reads it: write /home/me/nsd"]),
    ("data.root", "~/nsd", ["no shell reads it: write /home/me/nsd"]),
    ("data.cache", "$NOBODY/nsd", ["data.cache: '$NOBODY/nsd': expected a path", "no shell reads it: write it out"]),
    ("tasks.digits.source", "$HOME", ["tasks.digits.source: '$HOME'", "write /home/me"]),
    ("attack_images", "08", ["attack_images: '08'", "write 8, without zeros"]),
    ("phantom.subjects.subj01.grid", [900, 900, 900], ["phantom.subjects.subj01.grid: [900, 900, 900]: a session of",
                                                     "GB of memory; a phantom is a miniature, of at most 16 GB"]),
    ("phantom.scenes.train", 10**9, ["phantom.scenes.size: 32:", "1000000", "GB of memory"]),
    ("phantom.stimulus_size", 64000, ["phantom.stimulus_size: 64000: expected a whole number <= 4096"]),
    ("tasks.digits.image_size", 10**6, ["tasks.digits.image_size: 1000000: expected a whole number <= 4096"]),
    ("predictors.gnet.input_size", 10**6, ["predictors.gnet.input_size: 1000000: expected a whole number <= 4096"]),
    ("seeds", [4294967296], ["seeds.0: 4294967296: expected a whole number <= 4294967295"]),
    ("seeds", [-1], ["seeds.0: -1: expected a whole number >= 0"]),
    ("phantom.seed", 1e300, ["phantom.seed", "expected a whole number"]),
    ("training.weight_decay", float("nan"), ["training.weight_decay: nan: expected a finite number"]),
    ("architectures.ResNet-18", {"stem": "imagenet", "pretrained": False}, ["nearest: resnet18"]),
    ("architectures.small.pretrained", True, ["architectures.small.pretrained: True: small is only offered"]),
    ("architectures.googlenet", {"stem": "imagenet", "pretrained": True}, ["architectures.googlenet.pretrained"]),
    ("architectures.resnet18", {"stem": "cifar", "pretrained": True}, ["architectures.resnet18.stem: 'cifar'"]),
    ("conditions.LO.layers", ["layer2.0.conv3"], ["'layer2.0.conv3' is not a layer of small"]),
    ("predictors.gnet.kind", "ridgee", ["predictors.gnet.kind: 'ridgee'", "nearest: ridge"]),
    ("conditions.LO.features", {"weights": "/nope.pth"}, ["features: goes with"]),
    ("tasks.x", {"kind": "image-folder", "source": ".", "classes": "nope.txt", "training": {"epochs": 1}},
     ["tasks.x.classes: 'nope.txt': no such file", "write imagenet50"]),
    ("data.coco_annotations", "/nope.zip", ["data.coco_annotations: '/nope.zip': no such file"]),
    ("attacks.pgd-l2.budgets", [0, "1e-1"], ["attacks.pgd-l2.budgets: [0, '1e-1'] is not", "1.0e-1"]),
    ("attacks.pgd-l2.budgets", ["0", "8/255"], ["write 0 without quotes"]),
    ("transfer.budget", "8/255", ["transfer.budget: '8/255': expected a number", "is 0.03137"]),
    ("attack_images", "32", ["attack_images: '32': expected a whole number, got text; write 32 without quotes"]),
    ("predictors.gnet.prefilter", "a\nb", ["predictors.gnet.prefilter: 'a\\nb': expected a path"]),
    ("tasks.digits.source", "{x}", ["tasks.digits.source: '{x}': expected a path"]),
    ("primary_attack", "cadv", ["primary_attack: 'cadv' is a semantic attack; name one of"]),
    ("conditions.V1", None, ["conditions.V1: None: expected a mapping"]),
    ("claims", "config/claim.yaml", ["study.yaml:", "claims: config/claim.yaml: missing: the file of claims"]),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "says"), OTHERS, ids=[f"{path}-{value}"[:40] for path, value, _ in OTHERS])
def test_others_of_the_same_kinds_are_refused(path, value, says, demo_text, at_home, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.delenv("NOBODY", raising=False)
    file = tmp_path / "study.yaml"
    file.write_bytes(applied(demo_text, {"set": {path: value}}))
    with pytest.raises(InputError) as caught:
        read_files([file])
    text = "\n".join(messages_of(caught.value))
    for said in says:
        assert said in text


def test_an_architecture_that_is_too_large_for_a_tasks_images_is_refused(demo_text, at_home, tmp_path):
    """In training, on meta tensors, Inception needs 75 px; ViT's sides are multiples of its patches."""
    for name, needs in (
        ("inception_v3", "at least 75"),
        ("vit_b_32", "of 32"),
        ("vit_b_16", None),
        ("vit_h_14", "of 14"),
    ):
        config = yaml.safe_load(demo_text)
        config["architectures"][name] = {"stem": "imagenet", "pretrained": False}
        config["tasks"]["digits"]["architectures"] = [name]
        file = tmp_path / "study.yaml"
        file.write_text(yaml.safe_dump(config))
        if needs is None:
            read_files([file])
            continue
        with pytest.raises(InputError, match=rf"tasks\.digits: {name} cannot take images of 16 px.*{needs}"):
            read_files([file])


def said(file):
    """Key -> what is wrong with it, of every line about a file."""
    with pytest.raises(InputError) as caught:
        read_files([file])
    lines = messages_of(caught.value)
    found = dict(line.split(": ", 2)[1:] for line in lines)
    assert len(found) == len(lines) and all(line.startswith(f"{file}:") for line in lines), lines
    return found


def test_what_is_wrong_is_said_at_once(demo_text, at_home, tmp_path):
    file = tmp_path / "study.yaml"
    edits = {"training.learning_rat": 1, "seeds": [-1], "roi": {}, "phantom.faces": 2}
    file.write_bytes(applied(demo_text, {"set": edits}))
    with pytest.raises(InputError) as caught:
        read_files([file])
    keys = [line.split(": ")[1] for line in messages_of(caught.value)]
    known = ("study, results, data, rois, splits, predictors, predictor_seeds, tasks, architectures, training, "
             "conditions, seeds, attack_images, attacks, primary_attack, phantom, corruptions, shifted, outside, "
             "semantic, claims, explain, transfer")  # fmt: skip
    assert keys == ["phantom.faces", "seeds.0", f"unknown key 'roi'; known keys are {known}; nearest", "training"]
    edits = {"conditions.V1.loss": "mae", "attacks.hue.budgets": [0, 90], "predictors.gnet.lr": 1}
    file.write_bytes(applied(demo_text, {"set": edits}))
    assert len(said(file)) == 3


TOGETHER = {  # a fault of each kind, each in another section: what reads alone, what two sections say, what disk lacks
    "study": ("a b", "expected a name of letters"),
    "data.format": ("nifti", "is not known"),
    "rois.FFA.labels": (["FFA-3"], "is not a label of floc-faces"),
    "splits.seed": ("x", "expected a whole number"),
    "predictors.gnet.prefilter": ("/nope.pth", "no such file"),
    "tasks.digits.seeds": ([7], "unknown seed"),
    "architectures.resnet19": ({"stem": "imagenet", "pretrained": False}, "is not known"),
    "training.momentum": (1, "expected a number < 1"),
    "conditions.LO.target": (["LOO"], "unknown ROI"),
    "attacks.hue.budgets": ([0, 90], "the whole range"),
    "primary_attack": ("pgd", "is not one of `attacks`"),
    "claims": ("nope.yaml", "missing"),
    "semantic.cadv.tasks": (["faces"], "unknown task"),
    "transfer.budget": ("8/255", "expected a number"),
}


def key_of_fault(key, found):
    """The key that a line about it names: architectures and list items name the entry."""
    return next((named for named in found if named == key or named.startswith(f"{key}.")), None)


def test_faults_of_every_kind_are_said_together(demo_text, at_home, tmp_path):
    """Of fourteen faults in fourteen sections none waits until another is mended."""
    file = tmp_path / "study.yaml"
    file.write_bytes(applied(demo_text, {"set": {key: value for key, (value, _) in TOGETHER.items()}}))
    found = said(file)
    assert len(found) == len(TOGETHER), found
    for key, (_, words) in TOGETHER.items():
        named = key_of_fault(key, found)
        assert named is not None, (key, found)
        assert words in found[named]


def test_every_fault_of_one_entry_is_said(demo_text, at_home, tmp_path):
    file = tmp_path / "study.yaml"
    edits = {
        "attacks.pgd-l2": {"method": "pgd", "norm": "l3", "stepz": 2, "unit": "2", "budgets": [1], "label": 3},
        "conditions.V1": {"target": ["V1"], "weight": 2, "pairs": 3, "reference": {"kind": "trade"}},
        "tasks.digits": {"kind": "digits", "image_size": 2, "training": {"epochs": 0}, "conditions": ["V2"],
                         "architectures": ["vgg"]},
        "predictors.gnet.epochs": 0,
        "predictors.gnet.lr": 0,
        "data.subjects": {"subj01": {"sessions": 0}, "subj09": {"sessions": 1}, "subj02": {}},
        "rois.V1": {"atlas": "prf", "labels": []},
    }  # fmt: skip
    file.write_bytes(applied(demo_text, {"set": edits}))
    with pytest.raises(InputError) as caught:
        read_files([file])
    count = {"attacks.pgd-l2": 5, "conditions.V1": 3, "tasks.digits": 4, "predictors.gnet": 2, "data.subjects": 3,
             "rois.V1": 2}  # fmt: skip
    lines = [line.split(": ", 1)[1] for line in messages_of(caught.value)]
    assert {key: sum(line.startswith(key) for line in lines) for key in count} == count, lines
    assert len(lines) == sum(count.values()), "nothing is made up about what cannot be read"


def test_nothing_is_made_up_about_what_cannot_be_read(demo_text, at_home, tmp_path):
    """Each section of the demo in turn is no section at all, or its entries are none: one line each, about it alone."""
    demo = yaml.safe_load(demo_text) | {"claims": None}
    for section, given in demo.items():
        if section in ("claims", "corruptions", "semantic", "transfer"):
            continue
        edits = [{**demo, section: 1.5}]
        if section in ("rois", "predictors", "tasks", "architectures", "conditions", "attacks"):
            edits += [{**demo, section: {**given, name: 1.5}} for name in given]
        for config in edits:
            with pytest.raises(InputError) as caught:
                study_of(config, [])
            lines = messages_of(caught.value)
            assert len(lines) == 1 and lines[0].startswith(f"config.{section}"), (section, lines)


def test_keys_that_yaml_reads_otherwise_are_said_beside_the_rest(demo_text, at_home, tmp_path):
    file = tmp_path / "study.yaml"
    text = demo_text.replace("  LO: {target: [LO], predictor", "  off: {target: [LO], predictor", 1)
    text = text.replace("attack_images: ", "attack_images: 0", 1) + "seeds: [0, 010]\n"
    file.write_text(text)
    with pytest.raises(InputError) as caught:
        read_files([file])
    text = "\n".join(messages_of(caught.value))
    for words in ("key 'seeds' stands at line", "YAML reads the key off as false", "in base 8",
                  "seeds.1: 010: YAML reads it in base 8, as 8; write 10"):  # fmt: skip
        assert words in text


def test_a_file_that_a_rule_makes_may_be_absent(demo_text, at_home, tmp_path):
    """AlexNet is fetched to any path that ends with torchvision's own name, the phantom writes its annotations."""
    config = yaml.safe_load(demo_text)
    config["data"] |= {"root": str(tmp_path), "coco_annotations": f"{tmp_path}/coco/annotations_trainval2017.zip"}
    config["predictors"]["gnet"] |= {
        "prefilter": f"{tmp_path}/alexnet-owt-7be5be79.pth", "prefilter_channels": [64, 192],
    }  # fmt: skip
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(config))
    assert read_files([file])[1] == []


def test_weights_of_an_oracle_that_are_not_there_are_refused(demo_text, at_home, tmp_path):
    config = yaml.safe_load(demo_text)
    condition = {**config["conditions"]["LO"], "control": "features", "features": {"weights": "/nope.pth"}}
    config["conditions"]["LO-features"] = condition
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(config, sort_keys=False))
    with pytest.raises(InputError, match=r"study\.yaml:\d+: conditions\.LO-features\.features\.weights: '/nope\.pth'"):
        read_files([file])


def keys_of(node, path=()):
    """The path of every key and item of a configuration."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield (*path, key)
        yield from keys_of(value, (*path, key))


def test_whatever_stands_at_a_key_is_taken_or_refused_in_one_line_that_names_a_key(demo_text, at_home):
    """Every key of the demo in turn with one of some odd values, and left out."""
    demo = yaml.safe_load(demo_text) | {"claims": None}
    odd = [None, "a\nb", -1, {"a": 1}, float("nan"), [], 10**30, [{}], {1: 2}, True]
    refused = 0
    for number, path in enumerate(keys_of(demo)):
        for change in (odd[number % len(odd)], KeyError):
            config = copy.deepcopy(demo)
            place = config
            for key in path[:-1]:
                place = place[key]
            place[path[-1]] = change
            if change is KeyError:
                del place[path[-1]]
            try:
                ready(study_of(config, []), [])
            except InputError as error:
                refused += 1
                for line in messages_of(error):
                    assert line.startswith("config") and "\n" not in line and "regex" not in line, (path, change)
    assert refused > 200


WARNINGS = [
    ("attacks.pgd-linf.budgets", [0, 0.01, 0.03], "attacks.pgd-linf.budgets: 0.03: linf is given in units of 1/255"),
    ("attacks.pgd-linf.unit", "1", "attacks.pgd-linf.budgets: 5: linf is given here in pixel units"),
    ("tasks.digits.budgets", {"linf": [0, 0.1]}, "tasks.digits.budgets.linf: 0.1"),
    ("transfer.budget", 0.06, "transfer.budget: 0.06: linf is given in units of 1/255 here; 0.06 of [0, 1] is 15.3"),
    ("conditions.V1.weight", 0.5, "conditions.V1.weight: 0.5: none has 0.8"),
    ("tasks.digits.training.learning_rate", 50, "tasks.digits.training.learning_rate: 50: above 10"),
    ("predictors.gnet.learning_rate", 3.0, "predictors.gnet.learning_rate: 3: above 0.1 Adam diverges"),
    ("semantic.images", 4000, "semantic.images: 4000: the task phantom-scenes has at most 300 test images"),
]


@pytest.mark.parametrize(("path", "value", "says"), WARNINGS, ids=[path for path, _, _ in WARNINGS])
def test_what_is_hardly_meant_is_warned_of(path, value, says, demo_text, at_home, tmp_path):
    file = tmp_path / "study.yaml"
    file.write_bytes(applied(demo_text, {"set": {path: value}}))
    assert any(says in line for line in read_files([file])[1])


@pytest.mark.parametrize("name", ["demo", "study-small", "semantic", "factors", "calibration"])
def test_the_shipped_studies_get_no_warning(name, project, at_home):
    assert read_files([project / f"config/{name}.yaml"])[1] == []


def test_labels_of_real_atlases_are_asked_of_the_mirror_once_it_has_them(project, tmp_path, at_home):
    config = yaml.safe_load((project / "config/config.yaml").read_text())
    config["data"]["root"] = str(tmp_path)
    config["rois"]["V1"]["labels"] = ["V1v", "V1x"]
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(config))
    assert any("rois.V1.labels: 'V1x' is not among the labels known" in line for line in read_files([file])[1])
    table = tmp_path / "nsddata/freesurfer/subj01/label/prf-visualrois.mgz.ctab"
    table.parent.mkdir(parents=True)
    table.write_text("0 Unknown\n1 V1v\n2 V1d\n3 V2v\n4 V2d\n5 V3v\n6 V3d\n7 hV4\n")
    with pytest.raises(InputError, match=r"rois\.V1\.labels: 'V1x' is not a label of prf-visualrois.*nearest: V1"):
        read_files([file])
