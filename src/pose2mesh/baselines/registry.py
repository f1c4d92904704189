"""Registry of the baselines by name: methods that fit a body to 2D joints, and trained methods.

A method's file is imported when the method is requested, because it may need libraries that the others do not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from pose2mesh.errors import InputError
from pose2mesh.io.names import nearest

if TYPE_CHECKING:
    from pose2mesh.baselines.common.body_layer import BodyLayer
    from pose2mesh.baselines.common.fitting import Fitter
    from pose2mesh.baselines.interface import FittingBaseline, LearnedBaseline
    from pose2mesh.baselines.methods.arnab import Arnab
    from pose2mesh.baselines.methods.smplify import SMPLify

PRETRAINING = "reader"  # the network that pre-trains the backbone of the image methods


class LearnedMethod(NamedTuple):
    """A method that is trained.

    Attributes:
        make: Builds the network, freshly initialised, from a body layer and settings.
        settings: Dataclass of the method's settings.
        starts_from: Method whose trained bundle initialises the network (`pretrained` of a config names the bundle).
            `PRETRAINING`: the backbone is initialised, and the bundle is optional. Any other method: all weights that
            both networks have are initialised, and the bundle is required. None: random initialisation only.
    """

    make: Callable[[BodyLayer, Any], LearnedBaseline]
    settings: type
    starts_from: str | None = None


def _smplify(fitter: Fitter) -> SMPLify:
    from pose2mesh.baselines.common.initial_bodies import mean_pose
    from pose2mesh.baselines.methods.smplify import FROM_MEAN_POSE, SMPLify

    return SMPLify("smplify", fitter, mean_pose, FROM_MEAN_POSE)


def _smplify_started(fitter: Fitter) -> SMPLify:
    from pose2mesh.baselines.common.initial_bodies import NetworkStart
    from pose2mesh.baselines.methods.smplify import FROM_NETWORK, SMPLify
    from pose2mesh.inference.predictor import Predictor
    from pose2mesh.inference.torch_backend import TorchBackend
    from pose2mesh.models.bundle.bundle_info import DEFAULT

    network = Predictor(TorchBackend.load(DEFAULT, "cpu"))
    return SMPLify("smplify-started", fitter, NetworkStart(network, fitter), FROM_NETWORK)


def _arnab(fitter: Fitter) -> Arnab:
    from pose2mesh.baselines.methods.arnab import Arnab

    return Arnab(_smplify_started(fitter))


def _reader() -> LearnedMethod:
    from pose2mesh.baselines.methods.pretraining_network import PretrainingNetwork, PretrainingSettings

    return LearnedMethod(PretrainingNetwork, PretrainingSettings)


def _hmr() -> LearnedMethod:
    from pose2mesh.baselines.methods.hmr import HMR, HMRSettings

    return LearnedMethod(HMR, HMRSettings, starts_from=PRETRAINING)


def _nbf() -> LearnedMethod:
    from pose2mesh.baselines.methods.nbf import NBF, NBFSettings

    return LearnedMethod(NBF, NBFSettings)


def _pavlakos() -> LearnedMethod:
    from pose2mesh.baselines.methods.pavlakos import Pavlakos, PavlakosSettings

    return LearnedMethod(Pavlakos, PavlakosSettings)


def _graphcmr() -> LearnedMethod:
    from pose2mesh.baselines.methods.graphcmr import GraphCMR, GraphCMRSettings

    return LearnedMethod(GraphCMR, GraphCMRSettings, starts_from=PRETRAINING)


def _spin() -> LearnedMethod:
    from pose2mesh.baselines.methods.spin import SPIN, SPINSettings

    return LearnedMethod(SPIN, SPINSettings, starts_from=PRETRAINING)


def _retrained() -> LearnedMethod:
    from pose2mesh.baselines.methods.hmr_video_fits import HMRVideoFits, HMRVideoFitsSettings

    return LearnedMethod(HMRVideoFits, HMRVideoFitsSettings, starts_from="hmr")


def _lassner() -> LearnedMethod:
    from pose2mesh.baselines.methods.lassner import Lassner, LassnerSettings

    return LearnedMethod(Lassner, LassnerSettings)


FITTING_METHODS: dict[str, Callable[[Fitter], FittingBaseline]] = {
    "smplify": _smplify,
    "smplify-started": _smplify_started,
    "arnab": _arnab,
}
LEARNED_METHODS: dict[str, Callable[[], LearnedMethod]] = {
    "lassner": _lassner,
    "pavlakos": _pavlakos,
    "nbf": _nbf,
    "hmr": _hmr,
    "graphcmr": _graphcmr,
    "spin": _spin,
    "retrained": _retrained,
    PRETRAINING: _reader,
}


def find_learned_method(name: str, source: str) -> LearnedMethod:
    """A learned method by name.

    Args:
        name: A key of `LEARNED_METHODS`.
        source: File or run that names the method, for the error message.

    Raises:
        InputError: there is no such method; the message gives the nearest name.
    """
    if name not in LEARNED_METHODS:
        near = nearest(str(name), LEARNED_METHODS)
        raise InputError(f"{source}: method {name!r} is not known; the nearest is {near!r}")
    return LEARNED_METHODS[name]()
