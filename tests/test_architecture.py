"""The structure of the package: one direction of imports, one name for one thing, short ways of data."""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from types import FrameType

import numpy as np
import pytest
import torch

from pose2mesh import load

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "pose2mesh"

# From the bottom to the top: each imports those before it alone. `docs/architecture.md` prints this list.
ORDER = [
    "errors", "skeletons", "io", "geometry", "metrics", "graph", "body_models", "models", "datasets", "config",
    "inference", "visualization", "detectors", "motion", "evaluation", "baselines", "model_zoo", "training",
    "pipelines", "server", "crawl", "cli",
]  # fmt: skip

# File names that stand in several packages, since each of these packages has one.
SHARED_MODULE_NAMES = {"registry", "interface"}

# Words of identifiers that the project does not use: the left column of its vocabulary (`docs/concepts.md`).
DENIED_WORDS = {
    "judge", "judged", "critics", "doubt", "doubts", "sighting", "sightings", "manners", "supply", "taught", "teacher",
    "told", "nobody", "whoever", "picture", "pictures",
}  # fmt: skip

# Files of other projects that documents name.
FOREIGN_FILES = {"eval.py", "data/3dpw2coco.py"}

# Keys of configs and names of weights in bundles and checkpoints that exist; they stay.
STORED_NAMES = {"pictures", "pictures_from", "out_of_picture", "critics", "teacher"}


@cache
def modules() -> dict[str, Path]:
    """Dotted name without the package's → file."""
    names = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports() -> dict[str, set[tuple[str, int]]]:
    """Module → modules of the package that it imports, with the line; inside functions and for type checking, too."""
    known = modules()
    edges: dict[str, set[tuple[str, int]]] = defaultdict(set)
    for name, path in known.items():
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}:{node.lineno}: a relative import"
                targets = [f"{node.module}.{alias.name}" for alias in node.names]
                targets = [full if full.removeprefix("pose2mesh.") in known else str(node.module) for full in targets]
            elif isinstance(node, ast.Import):
                targets = [alias.name for alias in node.names]
            else:
                continue
            for target in targets:
                if target.partition(".")[0] == "pose2mesh":
                    edges[name].add((target.removeprefix("pose2mesh").removeprefix("."), node.lineno))
    return edges


def test_imports_go_one_way() -> None:
    rank = {name: number for number, name in enumerate(ORDER)}
    wrong = []
    for name, targets in imports().items():
        if name == "":  # the package itself hands on names of any part
            continue
        for target, line in targets:
            here, there = name.partition(".")[0], target.partition(".")[0]
            if there == "" or rank[there] > rank[here]:
                wrong.append(f"{modules()[name].relative_to(ROOT)}:{line} imports {target or 'pose2mesh'}")
    assert not wrong, "\n".join(sorted(wrong))


def test_no_files_import_each_other_in_a_circle() -> None:
    edges = {name: {target for target, _ in targets} for name, targets in imports().items() if name}
    TopologicalSorter(edges).prepare()  # raises CycleError, which names the files


def test_nothing_stands_loose_at_the_top() -> None:
    found = {
        path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path.is_dir() and any(path.glob("*.py")))
    }
    assert found == {*ORDER, "__init__"}


def test_packages_have_empty_faces() -> None:
    filled = [path for name, path in modules().items() if path.name == "__init__.py" and name and path.stat().st_size]
    assert not filled


def test_no_two_public_classes_have_one_name() -> None:
    places = defaultdict(list)
    for name, path in modules().items():
        for node in tree(path).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(name)
    assert not {name: found for name, found in places.items() if len(found) > 1}


def test_no_two_modules_have_one_name() -> None:
    places = defaultdict(list)
    for name, path in modules().items():
        if path.name != "__init__.py":
            places[path.stem].append(name)
    assert {stem for stem, found in places.items() if len(found) > 1} <= SHARED_MODULE_NAMES


def test_files_are_short() -> None:
    lines = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in modules().items()}
    assert not {name: count for name, count in lines.items() if count > 400}


def identifiers(path: Path) -> Iterator[tuple[str, int]]:
    """Names that a file defines: of classes, functions, parameters, variables and attributes."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield node.name, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr, node.lineno


def words(identifier: str) -> set[str]:
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", identifier)}


def test_words_of_an_identifier() -> None:
    assert words("SMPLBody_isTold") == {"smpl", "body", "is", "told"}


def test_identifiers_use_the_words_of_the_field() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} {name}"
        for path in modules().values()
        for name, line in identifiers(path)
        if words(name) & DENIED_WORDS and name not in STORED_NAMES
    ]
    wrong += [f"{path.relative_to(ROOT)}" for path in modules().values() if words(path.stem) & DENIED_WORDS]
    assert not wrong, "\n".join(wrong)


def files_crossed(call: Callable[[], object]) -> set[str]:
    """The files of the package whose functions are entered while `call` runs."""
    entered = set()
    here = f"{PACKAGE}/"

    def watch(frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(here) and frame.f_code.co_name != "<module>":
            entered.add(frame.f_code.co_filename.removeprefix(here))

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        call()
    finally:
        sys.setprofile(before)
    return entered


def test_a_forward_pass_crosses_few_files() -> None:
    network = load().backend.network  # type: ignore[attr-defined]
    joints = len(network.joint_set)
    given = torch.rand(1, joints, 2) * 100, torch.ones(1, joints)
    with torch.no_grad():
        network(*given)  # the first pass of all computes the polynomials of the Laplacians, which are then kept
        crossed = files_crossed(lambda: network(*given))
    assert 0 < len(crossed) <= 5, sorted(crossed)


def test_recovering_keypoints_crosses_few_files() -> None:
    predictor = load()
    keypoints = np.random.default_rng(0).uniform(0, 300, (17, 2))
    predictor.recover(keypoints, joints="coco")  # as above
    crossed = files_crossed(lambda: predictor.recover(keypoints, joints="coco"))
    assert 0 < len(crossed) <= 10, sorted(crossed)


def test_anny_is_named_where_it_is_defined_and_chosen() -> None:
    naming = {name for name, targets in imports().items() if any(t.startswith("body_models.anny") for t, _ in targets)}
    naming |= {name for name in modules() if "anny" in name.rpartition(".")[2]}
    assert len(naming) <= 5, sorted(naming)


def documents() -> list[Path]:
    pages = [path for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.parts]
    return [*pages, ROOT / "README.md", ROOT / "CONTRIBUTING.md"]


def test_the_documents_print_the_order_of_imports() -> None:
    page = " ".join((ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").split())
    assert " < ".join(ORDER) in page


@pytest.mark.parametrize("page", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_paths_named_in_documents_exist(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    missing = []
    for name in re.findall(r"`((?:[\w.-]+/)*[\w-]+\.py)`", text):
        places = (ROOT, PACKAGE, page.parent, ROOT / "scripts", ROOT / "benchmarks")
        if name not in FOREIGN_FILES and not any((place / name).exists() for place in places):
            missing.append(name)
    for name in re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", text):
        if not (page.parent / name).exists():
            missing.append(name)
    assert not missing


def registry_entries() -> list[tuple[str, str]]:
    """(registry, name) of everything that is chosen by name."""
    from pose2mesh.baselines.registry import FITTING_METHODS, LEARNED_METHODS
    from pose2mesh.datasets.registry import DATASETS
    from pose2mesh.detectors.registry import DETECTORS
    from pose2mesh.evaluation.protocols import PROTOCOLS
    from pose2mesh.models.lifter_registry import LIFTERS
    from pose2mesh.pipelines.formats import FORMATS
    from pose2mesh.skeletons import INPUT_ORDERS, JOINT_SETS

    registries = {
        "INPUT_ORDERS": INPUT_ORDERS, "JOINT_SETS": JOINT_SETS, "DATASETS": DATASETS, "PROTOCOLS": PROTOCOLS,
        "LIFTERS": LIFTERS, "FITTING_METHODS": FITTING_METHODS, "LEARNED_METHODS": LEARNED_METHODS,
        "DETECTORS": DETECTORS, "WRITERS": FORMATS,
    }  # fmt: skip
    return [(registry, name) for registry, entries in registries.items() for name in entries]


@cache
def text_of(pattern: str) -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(ROOT.glob(pattern)))


@pytest.mark.parametrize(("registry", "name"), registry_entries())
def test_every_entry_of_a_registry_has_a_page_and_a_test(registry: str, name: str) -> None:
    whole_word = re.compile(rf"(?<![\w-]){re.escape(name)}(?![\w-])")
    assert whole_word.search(text_of("docs/**/*.md")), f"{registry}: no page names {name}"
    assert whole_word.search(text_of("tests/**/*.py")), f"{registry}: no test names {name}"
    assert registry in text_of("docs/architecture.md")
