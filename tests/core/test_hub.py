import os
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from foresight.core.errors import ForesightError
from foresight.core.hub import fetch, push
from hub_server import hub_server

ROUND = """
import sys
from foresight.core.hub import fetch, push
print(push(sys.argv[1], "somebody/arm", message="first"))
print(fetch("somebody/arm"))
"""


@pytest.fixture
def checkpoint(tmp_path):
    folder = tmp_path / "arm"
    folder.mkdir()
    (folder / "config.json").write_text('{"type": "test"}')
    save_file({"w": np.arange(6, dtype=np.float32)}, folder / "model.safetensors")
    (folder / "weights.pt").write_bytes(b"a pickle")
    return folder


def run(code, server, home, *words):
    env = {
        **os.environ,
        "HF_ENDPOINT": server.url,
        "HF_HOME": str(home),
        "HF_TOKEN": "hf_test",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    command = [sys.executable, "-c", code, *map(str, words)]
    return subprocess.run(
        command, env=env, capture_output=True, text=True, timeout=400, check=False
    )


def test_there_and_back(checkpoint, tmp_path):
    with hub_server() as server:
        done = run(ROUND, server, tmp_path / "home", checkpoint)
        assert done.returncode == 0, done.stderr
        where, folder = done.stdout.splitlines()
        assert where.startswith(f"{server.url}/somebody/arm/commit/")
        assert set(server.files["somebody/arm"]) == {"config.json", "model.safetensors"}
        assert server.private["somebody/arm"] is True
    again = load_file(os.path.join(folder, "model.safetensors"))
    np.testing.assert_array_equal(again["w"], np.arange(6, dtype=np.float32))
    assert not os.path.exists(os.path.join(folder, "weights.pt"))


def test_what_the_hub_refuses_is_a_sentence(checkpoint, tmp_path):
    code = f"""
from foresight.core.errors import ForesightError
from foresight.core.hub import fetch, push
for call in (lambda: push({str(checkpoint)!r}, "somebody/arm"), lambda: fetch("nobody/nothing")):
    try:
        call()
    except ForesightError as error:
        print("SENTENCE", error)
"""
    with hub_server() as server:
        server.refuse = True
        done = run(code, server, tmp_path / "home")
    assert done.stdout.count("SENTENCE") == 2, done.stderr + done.stdout
    assert "hf auth login" in done.stdout
    assert "nobody/nothing is neither a folder here" in done.stdout


def test_folders_need_no_hub(checkpoint, tmp_path):
    assert fetch(checkpoint) == checkpoint
    with pytest.raises(ForesightError, match="is a file"):
        fetch(checkpoint / "config.json")
    with pytest.raises(ForesightError, match="no hub id"):
        fetch(tmp_path / "not" / "there")
    with pytest.raises(ForesightError, match=r"no config\.json"):
        push(tmp_path, "somebody/arm")
    with pytest.raises(ForesightError, match="OWNER/NAME"):
        push(checkpoint, "arm")


def test_without_the_client_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ForesightError, match=r"foresight-robotics\[hub\]"):
        fetch("somebody/arm")
