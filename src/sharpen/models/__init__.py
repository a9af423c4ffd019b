"""From what a user types to a folder that transformers loads: hub ids, folders, GGUF files, registry packages."""

from sharpen.models.resolved import ResolvedModel, resolve

__all__ = ["ResolvedModel", "resolve"]
