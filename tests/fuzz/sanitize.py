"""The compiled kernel under gcc's address and undefined-behaviour sanitizers: corpus, fuzzer and tests, every access watched.

`python -m tests.fuzz.sanitize SECONDS` builds the kernel in a temporary directory, fuzzes it there and runs its tests. Where
the compiler has no sanitizers it says so and ends well: nothing was asked of it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
COPIED = ("gateway", "tests")


def main(seconds: str) -> int:
    """Build, fuzz, test; the exit status."""
    preload = library()
    if not preload:
        sys.stdout.write("skipped: this machine's gcc has no address sanitizer\n")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        build(Path(folder))
        environment = os.environ | {
            "LD_PRELOAD": preload,
            "PYTHONMALLOC": "malloc",  # each object in a block of its own, with a red zone around it
            "ASAN_OPTIONS": "detect_leaks=0",  # the interpreter itself leaves memory behind when it ends
            "UBSAN_OPTIONS": "print_stacktrace=1",
        }
        fuzz = ["tests.fuzz.kernel", seconds, "1", "compiled"]
        tests = ["pytest", "tests/gateway/kernel", "-k", "compiled", "-p", "no:cacheprovider", "--timeout", "600"]
        for arguments in (fuzz, tests):
            ended = subprocess.run([sys.executable, "-m", *arguments], cwd=folder, env=environment, check=False)
            if ended.returncode:
                return ended.returncode
    return 0


def library() -> str:
    """Where the sanitizer's library is; nothing if gcc cannot make a program with it."""
    gcc = shutil.which("gcc")
    if gcc is None:
        return ""
    flags = ["-fsanitize=address,undefined", "-x", "c", "-", "-o", os.devnull]
    tried = subprocess.run([gcc, *flags], input=b"int main(void) { return 0; }", capture_output=True, check=False)
    if tried.returncode:
        return ""
    told = subprocess.run([gcc, "-print-file-name=libasan.so"], capture_output=True, check=True).stdout.decode().strip()
    return told if Path(told).is_absolute() else ""


def build(folder: Path) -> None:
    """Copy what is needed and compile there. Raises CalledProcessError."""
    for name in COPIED:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    for name in ("setup.py", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, folder)
    environment = os.environ | {"TAILGATE_SANITIZE": "1", "TAILGATE_PURE": "0", "TAILGATE_CHECKED": "0", "CC": "gcc"}
    command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
    subprocess.run(command, cwd=folder, env=environment, check=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "60"))
