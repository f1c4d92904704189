"""`pose2mesh serve`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from pose2mesh.cli.console import say, warn
from pose2mesh.errors import InputError
from pose2mesh.io.extras import not_installed


@dataclass(frozen=True)
class ServeOptions:
    """Address of the server, and the model and detector that it runs.

    Attributes:
        port: The port to listen on; 0 takes a free one.
        host: The address to listen on: by default for this machine alone; 0.0.0.0 for the network.
        model: `default`, a bundle file, or a file that `export` wrote.
        backend: What runs the networks: torch or onnx.
        detector: Person and keypoint detector for images; an extra of the install. Its model is downloaded when the app
            starts.
        detector_model: A model file of the detector in place of the download; repeat the option for a second file.
        offline: Download nothing.
    """

    port: int = 8000
    host: str = "127.0.0.1"
    model: str = "default"
    backend: Literal["torch", "onnx"] = "torch"
    detector: Literal["auto", "movenet", "blazepose", "rtmpose"] = "auto"
    detector_model: Annotated[tuple[Path, ...], Parameter(consume_multiple=False)] = ()
    offline: bool = False


_DEFAULTS = ServeOptions()


def serve(*, options: Annotated[ServeOptions, Parameter(name="*")] = _DEFAULTS) -> int:
    """Serve a browser app and an HTTP API that recover people from images and keypoints."""
    try:
        from pose2mesh.server import server
    except ModuleNotFoundError as error:
        if error.name not in ("starlette", "uvicorn", "h11"):
            raise
        raise InputError(f"serve: {not_installed(error.name, 'serve')}") from error
    return server.serve(
        options.host,
        options.port,
        options.model,
        options.backend,
        options.detector,
        options.detector_model,
        options.offline,
        say,
        warn,
    )
