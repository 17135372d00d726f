"""C sources of the benchmarks, compiled on this machine and loaded.

Nothing outside the benchmarks needs a compiler.
"""

import ctypes
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from facejax.files import atomic_path
from facejax.weights import cache_dir

FLAGS = ("-O3", "-std=c11", "-fPIC", "-shared", "-pthread")


class NoCompilerError(RuntimeError):
    """There is no C compiler here, or it refused; the message says which, in one line."""


def load(source: Path) -> tuple[ctypes.CDLL, str]:
    """Returns the compiled source, and the first line of the compiler's version.

    The compiler is $CC, else cc; what it made is kept in the cache of `facejax weights`.

    Raises:
      NoCompilerError: nothing to compile with, or the compiler failed.
    """
    compiler = shutil.which(os.environ.get("CC") or "cc")
    if compiler is None:
        raise NoCompilerError(f"no C compiler: {os.environ.get('CC') or 'cc'} is not installed")
    version = _output([compiler, "--version"]).split("\n")[0]
    recipe = "\n".join((version, *FLAGS, source.read_text()))
    name = f"{source.stem}-{hashlib.sha256(recipe.encode()).hexdigest()[:16]}.so"
    path = cache_dir() / "bench" / name
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(path) as partial:
                _output([compiler, *FLAGS, str(source), "-o", str(partial), "-lm"])
        return ctypes.CDLL(str(path)), version
    except (OSError, ValueError) as error:
        raise NoCompilerError(f"{source.name} cannot be kept or loaded: {error}") from error


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    except subprocess.CalledProcessError as error:
        reason = (error.stderr.strip().splitlines() or [f"exit status {error.returncode}"])[0]
        raise NoCompilerError(f"{command[0]} failed: {reason}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoCompilerError(f"{command[0]} failed: {error}") from error
    return done.stdout
