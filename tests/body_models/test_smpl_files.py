"""Model files of the SMPL family: reading, and rejection of bad files."""

from __future__ import annotations

import io
import os
import pickle
import re
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import scipy.sparse as sp

from pose2mesh.body_models.smpl_files import JOINT_COUNTS, SmplModel, read_smpl
from pose2mesh.errors import InputError
from tests.body_models.smpl_fixtures import PARENTS, Malicious, Masked, fake_model, save_npz, save_pickle


def refusal(path: Path, model: SmplModel = "smpl") -> str:
    """The one-line message for a file that cannot be used."""
    with pytest.raises(InputError) as caught:
        read_smpl(path, model)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


@pytest.mark.parametrize("model", get_args(SmplModel))
def test_npz(model: SmplModel, tmp_path: Path) -> None:
    arrays = fake_model(model)
    found = read_smpl(save_npz(tmp_path / "model.npz", arrays), model)
    np.testing.assert_array_equal(found.template, arrays["v_template"].astype(np.float32))
    np.testing.assert_array_equal(found.faces, arrays["f"])
    np.testing.assert_array_equal(found.skin_weights, arrays["weights"].astype(np.float32))
    np.testing.assert_array_equal(found.shapes, arrays["shapedirs"][..., :10].astype(np.float32))
    np.testing.assert_array_equal(found.pose_shapes, arrays["posedirs"].astype(np.float32))
    np.testing.assert_array_equal(found.joint_regressor, arrays["J_regressor"].astype(np.float32))
    assert found.parents.tolist() == PARENTS[model]
    assert len(found.parents) == JOINT_COUNTS[model]
    for name, mean in found.hand_means.items():
        np.testing.assert_array_equal(mean, arrays[name].astype(np.float32))
    assert len(found.hand_means) == {"smpl": 0, "mano": 1}.get(model, 2)


@pytest.mark.parametrize("chumpy", [False, True])
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("model", ["smpl", "mano"])
def test_pickle_is_the_same_as_npz(model: SmplModel, protocol: int, chumpy: bool, tmp_path: Path) -> None:
    arrays = fake_model(model)
    path = save_pickle(tmp_path / "model.pkl", arrays, protocol, chumpy)
    assert (b"chumpy" in path.read_bytes()) == chumpy
    found = vars(read_smpl(path, model))
    expected = vars(read_smpl(save_npz(tmp_path / "model.npz", arrays), model))
    for name, array in expected.items():
        np.testing.assert_equal(found[name], array, err_msg=name)


def test_names_written_by_python_2(tmp_path: Path) -> None:
    """The official files' own opcodes: protocol 2 by Python 2, modules under their old names, bytes as latin1."""
    arrays = fake_model("smpl")
    data = pickle.dumps(arrays | {"J_regressor": sp.csc_matrix(arrays["J_regressor"])}, 2)
    for new, old in {
        b"cnumpy._core.multiarray\n": b"cnumpy.core.multiarray\n",
        b"cscipy.sparse._csc\n": b"cscipy.sparse.csc\n",
        b"cbuiltins\n": b"c__builtin__\n",
    }.items():
        data = data.replace(new, old)
    assert b"numpy.core" in data
    assert b"scipy.sparse.csc\n" in data
    path = tmp_path / "model.pkl"
    path.write_bytes(data)
    np.testing.assert_array_equal(read_smpl(path, "smpl").joint_regressor, arrays["J_regressor"].astype(np.float32))


def test_array_written_by_python_2(tmp_path: Path) -> None:
    """An array's bytes as a string (opcode T): all byte values must be kept."""
    arrays = fake_model("smpl")
    raw = arrays["v_template"].tobytes()
    assert len(set(raw)) == 256
    stream = io.BytesIO()
    stream.write(b"\x80\x02}(")
    for key, value in arrays.items():
        if key != "v_template":
            stream.write(pickle.dumps(key, 2)[2:-1] + pickle.dumps(value, 2)[2:-1])
    stream.write(
        b"X\n\x00\x00\x00v_template" + b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    )
    stream.write(
        b"(K\x01K\xa2K\x03\x86cnumpy\ndtype\nU\x02f8K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    )
    stream.write(b"\x89T" + len(raw).to_bytes(4, "little") + raw + b"tbu.")
    path = tmp_path / "model.pkl"
    path.write_bytes(stream.getvalue())
    np.testing.assert_array_equal(read_smpl(path, "smpl").template, arrays["v_template"].astype(np.float32))


def test_malicious_pickle_is_refused_before_it_does_anything(tmp_path: Path) -> None:
    target = tmp_path / "created"
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(fake_model("smpl") | {"extra": Malicious(target)}))
    assert re.search(r"names the global _?io\.open, .*: refused", refusal(path))
    assert not target.exists()
    pickle.loads(path.read_bytes())["extra"].close()
    assert target.exists()  # so it would have been, without restriction


@pytest.mark.parametrize(
    "value",
    [os.system, eval, getattr, np.load, np.ndarray.tofile, OrderedDict(), Path("x")],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_any_other_name_is_refused(value: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    for protocol in (0, 2, 4):
        if value is np.ndarray.tofile and protocol < 4:
            continue  # cannot be named
        path.write_bytes(pickle.dumps(fake_model("smpl") | {"extra": value}, protocol))
        assert "names the global" in refusal(path)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_unneeded_arrays_may_be_of_any_kind(protocol: int, tmp_path: Path) -> None:
    extra = [
        np.array(["a"]),
        np.array([{}], object),
        np.zeros(2, "f4,O"),
        np.float64(3),
        np.empty(0),
        {1, 2},
        b"",
        b"\xff",
    ]
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(fake_model("smpl") | {"extra": extra}, protocol))
    expected = fake_model("smpl")["v_template"].astype(np.float32)
    np.testing.assert_array_equal(read_smpl(path, "smpl").template, expected)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_array_with_pointers_among_its_fields_is_refused(protocol: int, tmp_path: Path) -> None:
    """A dtype's state declares whether it holds objects; trusted, a false one turns bytes of the file into pointers."""
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(fake_model("smpl") | {"v_template": np.zeros(162, "f4,O")}, protocol))
    assert refusal(path) == "v_template cannot be read (found an array of 'V12', expected numbers)"


def test_order_of_axes_is_kept(tmp_path: Path) -> None:
    """By columns, as protocol 5 writes it too; big-endian."""
    arrays = fake_model("smpl")
    expected = arrays["v_template"].astype(np.float32)
    arrays["v_template"] = np.asfortranarray(arrays["v_template"].astype(">f8"))
    for protocol in (2, 5):
        path = tmp_path / "model.pkl"
        path.write_bytes(pickle.dumps(arrays, protocol))
        np.testing.assert_array_equal(read_smpl(path, "smpl").template, expected)


def test_reconstructor_makes_stand_ins_alone(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps({"extra": Masked(set)}, 2))
    assert refusal(path) == "not a readable pickle (an object of set)"


def test_sparse_index_beyond_its_shape_is_refused(tmp_path: Path) -> None:
    regressor = sp.csc_matrix(fake_model("smpl")["J_regressor"])
    regressor.indices[3] = 10_000
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(fake_model("smpl") | {"J_regressor": regressor}))
    assert refusal(path).startswith("J_regressor cannot be read (")


def test_chumpy_expression_that_is_needed(tmp_path: Path) -> None:
    path = save_pickle(tmp_path / "model.pkl", fake_model("smpl"), chumpy=True)
    path.write_bytes(path.read_bytes().replace(b"X\x01\x00\x00\x00x", b"X\x01\x00\x00\x00y"))
    assert "a chumpy expression of " in refusal(path)


@pytest.mark.parametrize("suffix", [".npz", ".pkl"])
def test_truncated_or_no_file(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"model{suffix}"
    assert refusal(path) == "no such file"
    save = save_npz if suffix == ".npz" else save_pickle
    whole = save(path, fake_model("smpl")).read_bytes()
    for length in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert refusal(path).startswith("not a readable ")


def test_damaged_npz(tmp_path: Path) -> None:
    path = save_npz(tmp_path / "model.npz", fake_model("smpl"))
    data = bytearray(path.read_bytes())
    data[1000:1400] = bytes(400)
    path.write_bytes(data)
    assert refusal(path).startswith("not a readable .npz file (")


def test_other_kinds_of_file(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps([1, 2]))
    assert refusal(path) == "holds a list, expected a dictionary of arrays"
    assert refusal(tmp_path / "model.txt") == "expected a model file, .npz or .pkl"


@pytest.mark.parametrize("save", [save_npz, save_pickle])
@pytest.mark.parametrize(("given", "wanted"), [("mano", "smpl"), ("smpl", "mano"), ("smplx", "smplh")])
def test_another_model(given: str, wanted: SmplModel, save: Callable[..., Path], tmp_path: Path) -> None:
    """A file of another model is reported as such, even if it also lacks arrays: a hand given as a body."""
    path = save(tmp_path / ("model.npz" if save is save_npz else "model.pkl"), fake_model(given))
    expected = f"{JOINT_COUNTS[given]} joints (the file is of {given}), expected {JOINT_COUNTS[wanted]} of {wanted}"
    assert refusal(path, wanted) == f"kintree_table has {expected}"


def without(key: str) -> Callable[[dict[str, Any]], None]:
    return lambda arrays: arrays.pop(key)


def altered(key: str, change: Callable[[Any], Any]) -> Callable[[dict[str, Any]], None]:
    return lambda arrays: arrays.update({key: change(arrays[key])})


def poisoned(array: np.ndarray) -> np.ndarray:
    array.flat[5] = np.nan
    return array


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("v_template"), "no array 'v_template', expected in a file of smpl"),
        (without("kintree_table"), "no array 'kintree_table', expected in a file of smpl"),
        (altered("v_template", lambda a: a[:, :2]), "v_template has shape (162, 2), expected (any, 3)"),
        (altered("v_template", poisoned), "v_template holds nan, expected finite numbers"),
        (altered("v_template", lambda a: a[:0]), "v_template has shape (0, 3), expected (any, 3)"),
        (altered("v_template", lambda a: a > 0), "v_template holds bool, expected numbers"),
        (altered("f", lambda a: a + 1), "f names vertices 1 to 162, expected 0 to 161"),
        (altered("weights", lambda a: a.T), "weights has shape (24, 162), expected (162, 24)"),
        (altered("shapedirs", lambda a: a[..., :6]), "shapedirs has 6 shapes, expected at least 10"),
        (altered("shapedirs", lambda a: a[:80]), "shapedirs has shape (80, 3, 10), expected (162, 3, any)"),
        (altered("posedirs", lambda a: a[..., :9]), "posedirs has shape (162, 3, 9), expected (162, 3, 207)"),
        (altered("J_regressor", lambda a: a[:, :9]), "J_regressor has shape (24, 9), expected (24, 162)"),
        (altered("kintree_table", lambda a: a[0]), "kintree_table has shape (24,) of uint32, expected (2, J) of "),
        (altered("kintree_table", lambda a: a[:, ::-1]), "kintree_table has parents [-1, 20, 19, "),
    ],
)  # fmt: skip
@pytest.mark.parametrize("save", [save_npz, save_pickle])
def test_wrong_array(change: Callable[[Any], None], message: str, save: Callable[..., Path], tmp_path: Path) -> None:
    arrays = fake_model("smpl")
    change(arrays)
    if save is save_pickle:
        path = tmp_path / "model.pkl"
        path.write_bytes(pickle.dumps(arrays, 2))
    else:
        path = save_npz(tmp_path / "model.npz", arrays)
    assert refusal(path).startswith(message)


def test_objects_in_place_of_numbers(tmp_path: Path) -> None:
    """In `.npz` they would have to be unpickled; in a pickle their dtype reveals them."""
    arrays = fake_model("smpl") | {"v_template": np.full((162, 3), {}, object)}
    assert "Object arrays cannot be loaded" in refusal(save_npz(tmp_path / "model.npz", arrays))
    message = "v_template holds object, expected numbers"
    assert refusal(save_pickle(tmp_path / "model.pkl", arrays)) == message
