"""``foresight doctor``: findings, exit codes, and what it says when something is missing."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from foresight.cli import doctor, main


@pytest.mark.slow
def test_this_machine_is_healthy(capsys):
    assert main(["doctor", "--json"]) == 0, capsys.readouterr().out
    found = json.loads(capsys.readouterr().out)
    assert found["healthy"]
    checks = {check["name"]: check for check in found["checks"]}
    assert checks["rendering"]["ok"] and "frames/s" in checks["rendering"]["found"]
    assert "mujoco 3.3.2" in checks["extras"]["found"]
    assert "libx264rgb" in checks["video"]["found"]


@pytest.fixture
def findings(monkeypatch):
    """Let the doctor find what a test says."""

    def install(*checks: doctor.Check) -> None:
        monkeypatch.setattr(doctor, "examine", lambda path, encoder: iter(checks))

    return install


def test_something_needed_is_missing(findings, capsys):
    findings(
        doctor.Check("python", True, "3.11"),
        doctor.Check("rendering", False, "no [EGL]", "apt-get install libegl1"),
    )
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "no [EGL]" in out
    assert "apt-get install libegl1" in out and "Still needed: rendering." in out


def test_something_optional_is_missing(findings, capsys):
    findings(doctor.Check("git", False, "not installed", "apt-get install git", needed=False))
    assert main(["doctor"]) == 0
    assert "All that is needed is here." in capsys.readouterr().out


def test_a_long_command_stays_on_one_line(findings, capsys):
    command = "apt-get install -y " + " ".join(f"package-{i}" for i in range(20))
    findings(doctor.Check("rendering", False, "nothing", command))
    main(["doctor"])
    assert command in capsys.readouterr().out


def test_a_check_that_breaks_is_a_finding(monkeypatch):
    def broken() -> doctor.Check:
        raise ImportError("libtorch.so: cannot open")

    monkeypatch.setattr(doctor, "check_torch", broken)
    monkeypatch.setattr(doctor, "check_rendering", lambda: doctor.Check("rendering", True, ""))
    monkeypatch.setattr(doctor, "check_bf16", lambda: doctor.Check("bf16", True, ""))
    torch = next(check for check in doctor.examine(Path()) if check.name == "torch")
    assert not torch.ok and "libtorch.so" in torch.found


@pytest.mark.parametrize(
    ("why", "ok", "fix"),
    [
        ("", True, ""),
        ("there is no C++ compiler (c++)", False, "install -y g++"),
        ("the processor has no AMX", False, "nothing to mend"),
    ],
)
def test_what_the_encoder_runs_as(monkeypatch, why, ok, fix):
    from foresight import native

    monkeypatch.setattr(native, "library", lambda: None if why else object())
    monkeypatch.setattr(native, "why_not", lambda: why)
    check = doctor.check_native()
    assert check.ok is ok and not check.needed and fix in check.fix and why in check.found


def test_the_wrong_pair_of_simulators(monkeypatch):
    found = dict.fromkeys(doctor.EXTRAS, "1.0") | {"mujoco": "4.0.0", "dm_control": "1.0.50"}
    monkeypatch.setattr(doctor, "versions", lambda names: found)
    check = doctor.check_extras()
    assert not check.ok and check.needed and "foresight-robotics[dmc]" in check.fix


def test_missing_packages_and_missing_extras(monkeypatch):
    found = doctor.versions()
    monkeypatch.setattr(doctor, "versions", lambda names=(): found | {"av": doctor.ABSENT})
    check = doctor.check_packages()
    assert not check.ok and check.needed and "av" in check.found
    absent = dict.fromkeys(doctor.EXTRAS, doctor.ABSENT) | {"tensorboard": "2.0"}
    monkeypatch.setattr(doctor, "versions", lambda names=(): absent)
    check = doctor.check_extras()
    assert not check.ok and not check.needed and "tensorboard 2.0" in check.found
    assert check.fix == 'pip install "foresight-robotics[dmc,hdf5,hub,metaworld,ppo,serve]"'
    for check in (doctor.check_rendering(), doctor.check_encoders()):
        assert not check.ok and not check.needed and "foresight-robotics[" in check.fix


def test_rendering_that_fails_names_the_packages(monkeypatch):
    def fail(*args, **kwargs):
        return subprocess.CompletedProcess(args, 1, "", "Traceback\nImportError: no libEGL")

    monkeypatch.setattr(subprocess, "run", fail)
    monkeypatch.setattr(doctor.sys, "platform", "linux")
    check = doctor.check_rendering()
    assert not check.ok and check.found == "ImportError: no libEGL"
    assert "libosmesa6" in check.fix


def test_disk_of_a_folder_that_is_not_there_yet(tmp_path, monkeypatch):
    assert str(tmp_path) in doctor.check_disk(tmp_path / "a" / "b").found
    monkeypatch.setattr(doctor, "NEEDED_GIB", 1e9)
    assert not doctor.check_disk(tmp_path).ok


def test_encoders_in_the_model_cache(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("FORESIGHT_HOME", str(tmp_path / "home"))
    missing = doctor.check_encoders()
    assert not missing.ok and not missing.needed and "hf download" in missing.fix
    snapshot = tmp_path / "models--facebook--vjepa2-vitl-fpc64-256" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").touch()
    assert "facebook/vjepa2-vitl-fpc64-256" in doctor.check_encoders().found
    own = tmp_path / "home" / "encoders" / "random-small"
    own.mkdir(parents=True)
    (own / "config.json").touch()
    assert "random-small in" in doctor.check_encoders().found


def test_an_encoder_is_told_with_the_part_that_is_read(tmp_path):
    folder = Path(__file__).parents[1] / "data" / "vjepa21-reference"
    weights = load_file(folder / "meta_vjepa21_encoder_small.safetensors")
    torch.save({"encoder": weights, "target_encoder": weights}, tmp_path / "v.pt")
    found = doctor.check_encoder(str(tmp_path / "v.pt"))
    assert found.ok and found.found == (
        "V-JEPA 2.1, 12 blocks of 128 channels, 384x384 pixels; target_encoder, names without "
        "module.backbone."
    )
    assert doctor.check_encoder("foresight-small").found.startswith("V-JEPA 2, ")
    missing = doctor.check_encoder(str(tmp_path / "no.pt"))
    assert not missing.ok and "There is no encoder" in missing.found
