"""The learned methods by name: each with its network and what may be set of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from pose2mesh.errors import InputError
from pose2mesh.io.names import nearest

if TYPE_CHECKING:
    from pose2mesh.baselines.common.body_layer import BodyLayer
    from pose2mesh.baselines.observation import LearnedBaseline

READER = "reader"


class Method(NamedTuple):
    """A learned method.

    Attributes:
        make: The network, freshly initialised, of a body and settings.
        settings: The dataclass of these.
        starts_from: The method whose trained bundle it starts from (`pretrained` of a config names one): the reader,
            for its backbone, where one is named; another, for all that both have, and then one must be. None: nothing.
    """

    make: Callable[[BodyLayer, Any], LearnedBaseline]
    settings: type
    starts_from: str | None = None


def _reader() -> Method:
    from pose2mesh.baselines.methods.pretraining_network import PretrainingNetwork, PretrainingSettings

    return Method(PretrainingNetwork, PretrainingSettings)


def _hmr() -> Method:
    from pose2mesh.baselines.methods.hmr import HMR, HMRSettings

    return Method(HMR, HMRSettings, starts_from=READER)


def _nbf() -> Method:
    from pose2mesh.baselines.methods.nbf import NBF, NBFSettings

    return Method(NBF, NBFSettings)


def _pavlakos() -> Method:
    from pose2mesh.baselines.methods.pavlakos import Pavlakos, PavlakosSettings

    return Method(Pavlakos, PavlakosSettings)


def _graphcmr() -> Method:
    from pose2mesh.baselines.methods.graphcmr import GraphCMR, GraphCMRSettings

    return Method(GraphCMR, GraphCMRSettings, starts_from=READER)


def _spin() -> Method:
    from pose2mesh.baselines.methods.spin import SPIN, SPINSettings

    return Method(SPIN, SPINSettings, starts_from=READER)


def _retrained() -> Method:
    from pose2mesh.baselines.methods.hmr_video_fits import HMRVideoFits, HMRVideoFitsSettings

    return Method(HMRVideoFits, HMRVideoFitsSettings, starts_from="hmr")


def _lassner() -> Method:
    from pose2mesh.baselines.methods.lassner import Lassner, LassnerSettings

    return Method(Lassner, LassnerSettings)


# Imported when asked for: a method's file may bring libraries of its own.
METHODS: dict[str, Callable[[], Method]] = {
    "lassner": _lassner,
    "pavlakos": _pavlakos,
    "nbf": _nbf,
    "hmr": _hmr,
    "graphcmr": _graphcmr,
    "spin": _spin,
    "retrained": _retrained,
    READER: _reader,
}


def find_method(name: str, source: str) -> Method:
    """A method by name; `source` is named in the error.

    Raises:
        InputError: there is none of that name; the nearest is named.
    """
    if name not in METHODS:
        raise InputError(f"{source}: method {name!r} is not known; the nearest is {nearest(str(name), METHODS)!r}")
    return METHODS[name]()
