"""Files are data: what a checkpoint, a run directory or a packed set names starts, writes and fetches nothing."""

from __future__ import annotations

import copy
import importlib
import io
import json
import os
import pickle
import pkgutil
import random
import signal
import subprocess
import tempfile
import types
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import warm
import yaml
from omegaconf import OmegaConf
from PIL import Image
from whole_runs import INHERITED

import trainlab
from trainlab.configuration import build
from trainlab.configuration.stored import plain_config, read_config
from trainlab.errors import InputError
from trainlab.runtime import assembly
from trainlab.survival import checkpoint

GROUPS = ("model", "loss", "aug", "data")
NAMED = (
    *("os.system", "subprocess.run", "builtins.eval", "builtins.exec", "torch.hub.load", "pathlib.Path.write_text"),
    *("trainlab.sweeps.pool.os.system", "trainlab.sweeps.pool.subprocess.Popen", "trainlab.recording.commit.commit"),
    *(
        "trainlab.configuration.build.importlib.import_module",
        "trainlab.survival.atomic.atomic_write",
        "trainlab.data.sources.download.download_once",
    ),
    *(
        "trainlab.data.packed.writer.pack",
        "trainlab.command.packer.pack_in_sight",
        "trainlab.models.published_weights.torch.hub.load",
    ),
    *(
        "trainlab.training.train",
        "trainlab.command.rerun.rerun",
        "trainlab",
        "trainlab.",
        "..",
        "",
        "trainlab.data.sources.digits.np.save",
    ),
    *(
        "trainlab.objective.CrossEntropy.__init__",
        "trainlab.objective",
        "hydra_plugins.trainlab_launchers.SlurmLauncher",
    ),
)
WRONG: tuple[Any, ...] = (3, -1.5, "x", None, [], {}, [[[[1]]]], 10**30, True, {"_target_": "os.system"})


# What may be named


def modules() -> list[types.ModuleType]:
    found = pkgutil.walk_packages(trainlab.__path__, "trainlab.")
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        return [importlib.import_module(module.name) for module in found if module.name != "trainlab.__main__"]
    finally:  # the parent of a sweep's points blocks signals when it is imported, and the tests' processes inherit that
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def dotted_names() -> Iterator[str]:
    """Every attribute of every module of the package, and, each by one way, of the modules that it imports."""
    reached = set()
    for module in modules():
        for name, value in vars(module).items():
            yield f"{module.__name__}.{name}"
            if isinstance(value, types.ModuleType) and value not in reached:
                reached.add(value)
                yield from (f"{module.__name__}.{name}.{inner}" for inner in vars(value))


@pytest.mark.run
@pytest.mark.parametrize("group", GROUPS)
def test_of_all_that_the_package_reaches_only_confs_own_targets_can_be_named(group):
    accepted = set()
    for name in {*dotted_names(), *NAMED}:
        try:
            found = build.target(group, OmegaConf.create({"_target_": name}))
        except InputError:
            continue
        accepted.add(name)
        # defined there, and not something that the module has imported
        assert f"{found.__module__}.{found.__qualname__}" == name
    files = {str(OmegaConf.load(file)) for file in (build.CONF / group).glob("*.yaml")}
    assert accepted == build.targets(group)
    assert all(any(name in content for content in files) for name in accepted)
    assert len(accepted) >= 2


def test_one_groups_targets_are_not_anothers():
    for group in GROUPS:
        for other in set(GROUPS) - {group}:
            for name in build.targets(other):
                with pytest.raises(InputError, match="is not what a file of conf"):
                    build.target(group, OmegaConf.create({"_target_": name}))


def test_arguments_are_checked_before_the_call():
    node = OmegaConf.create({"_target_": "trainlab.models.mlp.MLP", "hidden": "many", "activation": "relu"})
    with pytest.raises(InputError, match=r"model.hidden=many cannot be used"):
        build.build("model", node, image_shape=(1, 8, 8), classes=10)
    node = OmegaConf.create({"_target_": "trainlab.models.mlp.MLP", "hidden": [4], "command": "touch pwned"})
    with pytest.raises(InputError, match="command"):
        build.build("model", node, image_shape=(1, 8, 8), classes=10)


# What a file leaves open


@pytest.mark.parametrize(
    "value",
    [
        "${oc.env:HOME}",
        "${oc.env:HOME,x}",
        "${run_stamp:}",
        "${oc.decode:'1'}",
        "x${seed}",
        "${seed}${seed}",
        "${oc.select:${seed},1}",
        "${now:%Y}",
        "${reg}",
        "${nowhere}",
        "${a}",
        "${b}",
    ],
)
def test_only_references_to_values_of_the_same_file_are_looked_up(value):
    with pytest.raises(InputError, match="a file") as raised:
        read_config({"seed": 1, "reg": {"l2": 0.1}, "a": value, "b": "${a}"}, "a file")
    assert os.environ.get("HOME", "/nowhere/at/all") not in str(raised.value)


def test_references_of_our_own_files_are_looked_up():
    plain = {"reg": {"dropout": 0.5}, "model": {"dropout": "${reg.dropout}", "init": "${oc.select:data.init,kaiming}"}}
    assert OmegaConf.to_container(read_config(plain, "f"), resolve=True)["model"] == {"dropout": 0.5, "init": "kaiming"}


def test_what_the_environment_gave_is_fixed_when_it_is_written(monkeypatch):
    monkeypatch.setenv("TRAINLAB_TEST", "here")
    cfg = OmegaConf.create({"root": "${oc.env:TRAINLAB_TEST}/x", "reg": {"l2": 1}, "same": "${reg.l2}"})
    assert plain_config(cfg) == {"root": "here/x", "reg": {"l2": 1}, "same": "${reg.l2}"}


@pytest.mark.parametrize("kind", ["lists", "references"])
def test_a_configuration_that_names_itself_many_times_is_refused(kind):
    if kind == "lists":
        node: Any = ["x"] * 10
        for _ in range(12):
            node = [node] * 10  # 10¹³ values in a few lines of YAML
        plain = {"a": node}
    else:
        plain = {f"a{i}": f"${{a{i + 1}}}" for i in range(50)}
    with pytest.raises(InputError):
        read_config(plain, "f")


# Whole commands on hostile files, in one process in which nothing may happen


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("hostile")


@pytest.fixture(scope="module")
def pictures(folder):
    """A folder of classes, each picture of another colour."""
    for part in ("train", "val"):
        for name in ("cat", "dog"):  # enough of each for a validation set to be cut
            (folder / "pictures" / part / name).mkdir(parents=True)
            for number in range(120 if part == "train" else 6):
                Image.new("RGB", (16, 16), (2 * number, 90, 90)).save(folder / f"pictures/{part}/{name}/{number}.png")
    return folder / "pictures"


@pytest.fixture(scope="module")
def good(train, folder, pictures):
    quick = ("logger=csv", "trainer.max_epochs=2")
    runs = {
        "digits": train("model=mlp", "model.hidden=[8]", *quick, folder=folder / "digits"),
        "moons": train("model=mlp", "model.hidden=[8]", "data=moons", *quick, folder=folder / "moons"),
        "pictures": train(
            *("model=perceptron", "data=image_folder", f"data.root={pictures}", "data.size=8", "data.batch_size=4"),
            *(*quick, "optim=momentum", "optim.schedule=plateau", "trainer.patience=5", "data.val_fraction=0.3"),
            folder=folder / "good_pictures",
        ),
    }
    assert all(run.status == 0 for run in runs.values()), [run.err for run in runs.values()]
    return {name: run.folder for name, run in runs.items()}


def guarded(folder: Path, well: list, hostile: list) -> list[dict[str, Any]]:
    """What came of each case. Fails where something forbidden was done."""
    cases = folder / "cases.json"
    cases.write_text(json.dumps({"well": well, "hostile": hostile}, default=str))
    words = [str(Path(__file__).with_name("guarded.py")), str(cases), str(folder)]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with warm.Popen(words, cwd=folder, env=INHERITED | {"NETRC": os.devnull}, **pipes) as process:
        out, err = process.communicate(timeout=500)
    assert process.returncode == 0, err[-3000:]
    came = [json.loads(line) for line in out.splitlines() if line.startswith('{"command"')]
    assert len(came) == len(hostile)
    return came


def tracebacks(came: list[dict[str, Any]]) -> list[str]:
    """The ends of those that should have been sentences, each once."""
    ends = {}
    for case in came:
        if case["came"] != "done" and not case["came"].startswith("error: "):
            lines = [line for line in case["came"].splitlines() if "trainlab/" in line or not line.startswith(" ")]
            ends["\n".join(lines[-4:])] = case["words"][0]
    return [f"{case}\n{end}" for end, case in ends.items()]


def changed(content: Any, keys: tuple, value: Any) -> Any:
    """A copy with the value at `keys` replaced."""
    new = copy.deepcopy(content)
    node = new
    for key in keys[:-1]:
        node = node[key]
    node[keys[-1]] = value
    return new


def leaves(node: Any, path: tuple = ()) -> Iterator[tuple]:
    """The places of all values in nested containers, the containers' own among them."""
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in pairs:
        yield (*path, key)
        yield from leaves(value, (*path, key))


def read_whole(run: Path) -> dict[str, Any]:
    return torch.load(run / "checkpoints/last.ckpt", weights_only=True)


def write(content: Any, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)
    return path


def warm_up(good: dict[str, Path], folder: Path, *commands: str) -> list:
    """Each way in which one of these commands can go well."""
    picture = folder / "pictures/val/cat/0.png"
    figure = f"--figure={folder / 'figure.png'}"
    new = Path(tempfile.mkdtemp(dir=folder))
    cases = [
        ["evaluate", [f"ckpt={good['digits']}"]],
        ["evaluate", [f"ckpt={good['moons']}"]],
        ["predict", [good["pictures"], picture, figure]],
        ["predict", [good["pictures"], picture, "--similar", "train", figure]],
        ["report", [good["moons"], good["digits"], "--out", folder / "report"]],
        ["rerun", [good["moons"], f"hydra.run.dir={new / 'again'}"]],
        ["train", [new / "on", "model=mlp", "model.hidden=[8]", "data=moons", "logger=csv", "trainer.max_epochs=3"]],
    ]
    return [case for case in cases if case[0] in commands]


def configurations(folder: Path, good: dict[str, Path]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Hostile configurations by the good run that they are made from."""
    config = {name: read_whole(run)["trainlab"]["config"] for name, run in good.items()}
    touch = {"command": f"touch {folder.parent / 'pwned'}"}
    for name in NAMED:
        for group in ("model", "loss", "aug"):
            yield "digits", changed(config["digits"], (group,), {"_target_": name, "name": "mlp", **touch})
        yield "digits", changed(config["digits"], ("data", "_target_"), name)
        yield "digits", changed(config["digits"], ("data", "load"), {"_target_": name, **touch})
    elsewhere = str(folder.parent / "elsewhere")
    loads = {
        "cifar10": {"root": elsewhere, "download": True},
        "fashion_mnist": {"root": elsewhere, "download": True},
        "imagenet": {"root": str(folder / "pictures"), "packed": elsewhere, "size": 8},
        "image_folder": {"root": "/proc/self/mem"},
        "elpv": {"size": 10**9},
        "points.moons": {"n_samples": 10**12},
        "points.circles": {"n_samples": "many"},
        "digits": {"download": True},
    }
    for source, arguments in loads.items():
        target = f"trainlab.data.{source}" + ("" if "." in source else ".load")
        yield "digits", changed(config["digits"], ("data", "load"), {"_target_": target, **arguments})
    yield "digits", changed(config["digits"], ("model", "hidden"), [10**6, 10**6])
    yield "digits", changed(config["digits"], ("model", "hidden"), [10**12])
    yield "digits", changed(config["digits"], ("model", "hidden"), [20_000] * 100)
    yield "moons", changed(config["moons"], ("data", "n_samples"), 10**12)
    for key in ("root", "split_seed"):
        yield "digits", changed(config["digits"], ("data", key), "${oc.env:HOME}")
    alexnet = yaml.safe_load((build.CONF / "model/alexnet.yaml").read_text())["model"]
    yield "digits", changed(config["digits"], ("model",), {**alexnet, "weights": "torchvision", "dropout": 0.5})
    draw = random.Random(0)
    for name in good:
        places = [place for place in leaves(config[name]) if place[0] not in ("describe", "recipe", "logger")]
        for place in places:
            yield name, changed(config[name], place, draw.choice(WRONG))


@pytest.mark.run
def test_no_configuration_in_a_checkpoint_does_anything_or_ends_in_a_traceback(good, folder):
    content = {name: read_whole(run) for name, run in good.items()}
    hostile = []
    for number, (name, config) in enumerate(configurations(folder, good)):
        there = changed(content[name], ("trainlab", "config"), config)
        path = write(there, folder / f"config_{number}" / "checkpoints/best.ckpt")
        kind = number % 3 if number > 4 * len(NAMED) + 20 else 3  # of the many, each meets one command
        if kind in (0, 3):
            hostile.append(["evaluate", [f"ckpt={path}"]])
        if kind in (1, 3):
            picture = folder / "pictures/val/cat/0.png"
            hostile.append(["predict", [path, picture, "--similar", "train", f"--figure={folder / 'figure.png'}"]])
        if kind in (2, 3):
            run = path.parents[1]
            (run / ".hydra").mkdir()
            (run / ".hydra/config.yaml").write_text(yaml.safe_dump(config))
            (run / "results.json").write_text((good[name] / "results.json").read_text())
            hostile.append(["report", [run, "--out", folder / "report"]])
    came = guarded(folder, warm_up(good, folder, "evaluate", "predict", "report"), hostile)
    assert not tracebacks(came)
    assert not (folder.parent / "pwned").exists()
    assert not (folder.parent / "elsewhere").exists()
    refused = [case for case in came if case["came"].startswith("error: ")]
    assert len(refused) > 4 * len(NAMED)  # the tests reach what they are about
    assert all(len(case["came"]) < 1500 and "\n" not in case["came"] for case in refused)


@pytest.mark.run
def test_no_run_directory_does_anything_when_it_is_run_again(good, folder):
    hostile = []
    config = yaml.safe_load((good["moons"] / ".hydra/config.yaml").read_text())
    draw = random.Random(1)
    made = [changed(config, place, draw.choice(WRONG)) for place in leaves(config) if place[0] != "describe"]
    made += [changed(config, ("hydra",), {"callbacks": {"x": {"_target_": "os.system", "command": "touch pwned"}}})]
    made += [
        changed(config, ("defaults",), [{"model": "../../etc/passwd"}]),
        changed(config, ("loss",), {"_target_": "os.getcwd"}),
    ]
    made += [
        changed(config, ("data", "split_seed"), "${oc.env:HOME}"),
        changed(config, ("model", "hidden"), [10**6] * 3),
    ]
    made = [changed(one, ("trainer", "max_epochs"), 1) if isinstance(one.get("trainer"), dict) else one for one in made]
    for number, one in enumerate(made):
        trainer = one.get("trainer")
        if isinstance(trainer, dict) and (trainer.get("devices") != 1 or trainer.get("nodes") != 1):
            continue  # to start processes is what such a run is
        run = folder / f"rerun_{number}"
        (run / ".hydra").mkdir(parents=True)
        (run / ".hydra/config.yaml").write_text(yaml.safe_dump(one))
        hostile.append(["rerun", [run, f"hydra.run.dir={folder / f'rerun_{number}_again'}"]])
    for number, text in enumerate(("", "a: [", "\x00", "[1, 2]", "!!python/object/apply:os.system ['touch pwned']")):
        run = folder / f"broken_{number}"
        (run / ".hydra").mkdir(parents=True)
        (run / ".hydra/config.yaml").write_text(text)
        hostile.append(["rerun", [run, f"hydra.run.dir={folder / f'broken_{number}_again'}"]])
    came = guarded(folder, warm_up(good, folder, "rerun"), hostile)
    assert not tracebacks(came)
    assert all(case["came"].startswith("error: ") for case in came[-5:])


@pytest.mark.run
def test_a_run_that_goes_on_from_a_hostile_checkpoint_ends_in_a_sentence(good, folder):
    content = read_whole(good["moons"])
    draw = random.Random(2)
    places = [p for p in leaves(content) if p[0] not in ("state_dict", "trainlab", "pytorch-lightning_version")]
    alike = {}  # the loops of evaluation have the same counters each, and a run that goes on reads none of them
    for place in places:
        evaluation = place[0] == "loops" and place[1:2] not in ((), ("fit_loop",))
        alike[("evaluation", *place[2:]) if evaluation else place] = place
    hostile = []
    for number, place in enumerate(alike.values()):
        path = write(changed(content, place, draw.choice(WRONG)), folder / f"on_{number}.ckpt")
        words = ["model=mlp", "model.hidden=[8]", "data=moons", "logger=csv", "trainer.max_epochs=3", f"ckpt={path}"]
        command = "train with curves" if "rows" in place else "train undrawn"
        hostile.append([command, [folder / f"going_on_{number}", *words]])
    came = guarded(folder, warm_up(good, folder, "train"), hostile)
    assert not tracebacks(came)
    assert any(case["came"].startswith("error: ") for case in came)


# Pickles and sizes


class Command:
    def __reduce__(self):
        return os.system, ("touch pwned",)


def archive_of(pickled: bytes, path: Path) -> Path:
    """A file of torch's form with that pickle."""
    torch.save({"x": torch.zeros(1)}, io.BytesIO())
    buffer = io.BytesIO()
    torch.save({"x": torch.zeros(1)}, buffer)
    with zipfile.ZipFile(buffer) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as new:
        for name in old.namelist():
            new.writestr(name, pickled if name.endswith("data.pkl") else old.read(name))
    return path


@pytest.mark.parametrize(
    "value",
    [Command(), bytearray(10), np.zeros(3), range(10**12), {1, 2}, 1j, Path("x")],
    ids=lambda v: type(v).__name__,
)
def test_a_pickle_that_names_anything_but_tensors_is_not_read(tmp_path, value):
    path = archive_of(pickle.dumps({"trainlab": value}, protocol=2), tmp_path / "x.ckpt")
    with pytest.raises(InputError, match="not a checkpoint of this project"):
        checkpoint.read(str(path))


@pytest.mark.run
def test_a_view_larger_than_its_file_is_not_read(good, tmp_path):
    content = read_whole(good["digits"])
    name = "net.layers.1.weight"
    assert name in content["state_dict"]
    content["state_dict"][name] = torch.zeros(1).expand(10**6, 10**6)
    with pytest.raises(InputError, match="damaged"):
        checkpoint.read(str(write(content, tmp_path / "x.ckpt")))


@pytest.mark.run
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("input_shape", [1, 10**6, 10**6]),
        ("input_shape", [3, 8, 8, 8]),
        ("stored", 10**9),
        ("mean", [0.1] * 9),
        ("classes", []),
    ],
)
def test_sizes_in_a_checkpoint_are_bounded_by_its_weights(good, tmp_path, key, value):
    from trainlab.survival.trained import read_trained

    path = write(changed(read_whole(good["digits"]), ("trainlab", key), value), tmp_path / "x.ckpt")
    with pytest.raises(InputError):
        read_trained(str(path))


@pytest.mark.run
@pytest.mark.parametrize("hidden", [[10**12], [10**6, 10**6], [1000] * 1000])
def test_a_network_that_the_machine_cannot_hold_is_refused_before_it_is_made(hidden, monkeypatch):
    monkeypatch.setattr(assembly, "free_memory", lambda: 2e8)
    node = OmegaConf.create({"_target_": "trainlab.models.mlp.MLP", "name": "mlp", "hidden": hidden})
    with pytest.raises(InputError, match=r"model=mlp of this size needs more than the .* of memory that are free"):
        assembly.build_net(node, (1, 8, 8), 10)


# Packed sets


@pytest.mark.run
def test_no_description_of_a_packed_set_ends_in_a_traceback(good, folder, pictures):
    from trainlab.data.packed.format import checksum_of
    from trainlab.data.packed.listing import list_images
    from trainlab.data.packed.writer import Form, pack

    hostile = []
    for store in ("raw", "jpeg"):
        whole = folder / f"packed_{store}"
        pack(list_images(pictures), whole, Form(8, store), workers=1)
        said = json.loads((whole / "set.json").read_text())
        draw = random.Random(3)
        made = [changed(said, place, value) for place in leaves(said) for value in draw.sample(WRONG, 2)]
        for key in ("count", "bytes"):
            made.append(changed(said, ("splits", "train", key), 10**12))
        made += [changed(said, ("size",), 10**6), changed(said, ("splits", "../../x"), said["splits"]["train"])]
        for number, one in enumerate(made):
            there = folder / f"packed_{store}_{number}"
            there.mkdir()
            for file in whole.iterdir():
                if file.name != "set.json":
                    (there / file.name).hardlink_to(file)
            one["checksum"] = checksum_of(one) if number % 2 else one["checksum"]
            (there / "set.json").write_text(json.dumps(one))
            hostile.append(["packed", [there]])
        well = ["packed", [whole]]
    came = guarded(folder, [well], hostile)
    assert not tracebacks(came)
    assert sum(case["came"].startswith("error: ") for case in came) > len(came) // 3
