"""The command line: `sharpen`."""

from sharpen.cli.app import app

__all__ = ["app"]
