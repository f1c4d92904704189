"""`pose2mesh crawl`."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from pose2mesh.cli.console import say, warn
from pose2mesh.crawl.crawl_options import CrawlOptions


def crawl(*, options: Annotated[CrawlOptions, Parameter(name="*")]) -> int:
    """Collect images of people, with pseudo-labels and their licences, from web sites or a folder."""
    options.check()
    from pose2mesh.crawl import crawl_jobs

    if options.remove:
        return crawl_jobs.remove(options.out, list(options.remove), say)
    return crawl_jobs.collect(options, say, warn)
