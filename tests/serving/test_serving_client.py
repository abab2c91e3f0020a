"""Messages between a robot and its policy."""

import ast
import subprocess
import sys
from pathlib import Path

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from foresight.core.observation import Observation
from foresight.serving import client
from foresight.serving.client import RemotePolicy, ServerError, as_message, pack, unpack

DTYPES = st.sampled_from([np.uint8, np.int64, np.float32, np.float64, np.bool_, np.float16])


@given(hnp.arrays(DTYPES, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)))
def test_arrays_arrive_as_they_were_sent(array):
    back = unpack(pack({"a": array}))["a"]
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)
    assert back.flags.writeable


def test_a_view_that_is_not_contiguous_arrives_whole():
    picture = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)[:, ::-1]
    np.testing.assert_array_equal(unpack(pack(picture)), picture)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        msgpack.packb(msgpack.ExtType(7, b"x")),
        msgpack.packb(msgpack.ExtType(1, msgpack.packb(["|O", [1]]) + b"12345678")),
        msgpack.packb(msgpack.ExtType(1, msgpack.packb(["<f4", [3]]) + b"1234")),
        msgpack.packb(msgpack.ExtType(1, b"\xc1")),
    ],
)
def test_what_is_no_message_is_a_value_error(data):
    with pytest.raises(ValueError):
        unpack(data)


def test_objects_and_odd_arrays_are_not_sent():
    with pytest.raises(TypeError, match="cannot be sent"):
        pack({"a": object()})
    with pytest.raises(TypeError, match="cannot be sent"):
        pack(np.array(["text"]))


def test_an_observation_is_a_dict_or_an_object():
    picture = np.zeros((2, 3, 3), np.uint8)
    one = as_message({"images": {"front": picture}, "state": [1, 2]})
    other = as_message(Observation({"front": picture}, np.float32([1, 2])))
    assert one["state"].dtype == np.float32
    assert pack(one) == pack(other)
    assert "executed" not in one and "age" not in one
    late = as_message(Observation({}, executed=np.float32([1]), age=2))
    assert late["executed"].tolist() == [1] and late["age"] == 2
    with pytest.raises(TypeError, match="has no 'image'"):
        as_message({"image": picture})


def test_the_file_stands_alone(tmp_path):
    """A robot's computer gets this file and three packages, no torch and nothing of ours."""
    source = Path(client.__file__).read_text(encoding="utf-8")
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(str(node.module).partition(".")[0])
    assert names - set(sys.stdlib_module_names) == {"msgpack", "numpy", "websockets"}
    (tmp_path / "foresight_client.py").write_text(source, encoding="utf-8")
    code = "import sys, foresight_client; print('torch' in sys.modules, 'foresight' in sys.modules)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_a_server_that_is_not_there_is_named():
    with pytest.raises(ServerError, match=r"No server answers at ws://127\.0\.0\.1:9"):
        RemotePolicy("ws://127.0.0.1:9", patience=0)
