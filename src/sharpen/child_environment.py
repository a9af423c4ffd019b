"""What of this process's environment its child processes get: names that programs need to run, and no keys."""

from __future__ import annotations

import os

__all__ = ["MORE", "child_environment", "keep_only_allowed"]

MORE = "SHARPEN_VERIFIER_ENV"
"""Names, parted by commas, that children get beside the usual ones: for a verifier that needs one."""

_NAMES = frozenset(
    (
        "PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "TMP", "TEMP", "TZ", "TERM", "LANG", "LANGUAGE", "PWD", "VIRTUAL_ENV",
        "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LD_PRELOAD", "SYSTEMROOT", "SSL_CERT_FILE", "SSL_CERT_DIR", "XDG_CACHE_HOME",
        "XDG_RUNTIME_DIR", "HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "NLTK_DATA", "CUDA_VISIBLE_DEVICES", "SHARPEN_CACHE", MORE,
    )
)  # fmt: skip
_BEGINNINGS = ("LC_", "PYTHON", "OMP_", "MKL_", "OPENBLAS_", "NUMEXPR_", "CONDA_PREFIX", "COV_CORE_", "COVERAGE_")


def child_environment() -> dict[str, str]:
    """The variables that a child process gets: these alone, whatever else is set here.

    Keys of served models and clouds are not among them. `SHARPEN_VERIFIER_ENV=NAME,NAME` adds others.
    """
    more = {name.strip() for name in os.environ.get(MORE, "").split(",")}
    return {name: value for name, value in os.environ.items() if name in _NAMES or name in more or name.startswith(_BEGINNINGS)}


def keep_only_allowed() -> None:
    """Forget all other variables, in a process that was forked and has them already."""
    for name in os.environ.keys() - child_environment().keys():
        del os.environ[name]
