"""Pickles are read without running code in them."""

from __future__ import annotations

import collections
import pickle
from pathlib import Path

import numpy as np
import pytest

from pose2mesh.errors import InputError
from pose2mesh.io.safe_pickle import read_plain


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_and_plain_values(tmp_path: Path, protocol: int) -> None:
    content = {
        "array": np.arange(6.0).reshape(2, 3),
        "columns": np.asfortranarray(np.eye(3, dtype=np.float32)),
        "objects": np.array([None, "x"], object),
        "number": np.float64(2.5),
        "plain": [1, "é", None, True, (b"\xff", 3.5)],
    }
    path = tmp_path / "file.pkl"
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    found = read_plain(path)
    np.testing.assert_array_equal(found["array"], content["array"])
    np.testing.assert_array_equal(found["columns"], np.eye(3))
    assert found["objects"].tolist() == [None, "x"]
    assert found["number"] == 2.5
    assert found["plain"] == content["plain"]


def test_python_2(tmp_path: Path) -> None:
    # {'a': np.array([1.0, 2.0])} as Python 2 and NumPy 1 write it: text is bytes, the module's name is an old one.
    numbers = np.array([1.0, 2.0]).tobytes()
    text = (
        b"\x80\x02}q\x00U\x01aq\x01cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00\x85U\x01b\x87R"
        b"(K\x01K\x02\x85cnumpy\ndtype\nU\x02f8K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        b"U\x10" + numbers + b"tbs."
    )
    path = tmp_path / "file.pkl"
    path.write_bytes(text)
    np.testing.assert_array_equal(read_plain(path)["a"], [1, 2])


@pytest.mark.parametrize("content", [print, collections.OrderedDict(a=1), np.load, np.lib, Path()])
def test_anything_else_is_refused(tmp_path: Path, content: object) -> None:
    path = tmp_path / "file.pkl"
    try:
        path.write_bytes(pickle.dumps(content))
    except TypeError:  # modules cannot be pickled the usual way
        path.write_bytes(b"cnumpy\nlib\n.")
    with pytest.raises(InputError, match="names the global"):
        read_plain(path)


def test_a_forged_type_makes_no_objects_of_bytes(tmp_path: Path) -> None:
    path = tmp_path / "file.pkl"
    honest = pickle.dumps(np.arange(4.0), protocol=2)
    path.write_bytes(honest.replace(b"X\x02\x00\x00\x00f8", b"X\x02\x00\x00\x00O8"))
    assert path.read_bytes() != honest
    with pytest.raises(InputError, match="expected numbers"):
        read_plain(path)


@pytest.mark.parametrize("content", [b"", b"garbage", pickle.dumps(np.arange(100))[:-50]])
def test_damaged_files(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file.pkl"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"file\.pkl: not a readable pickle"):
        read_plain(path)
