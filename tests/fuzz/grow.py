"""Fuzz the readers for a while, and keep the inputs that together reach all the code that was reached.

`python tests/fuzz/grow.py [--seconds N] [READER]...` (`make fuzz`), all readers by default, one after the other. An
input that takes a reader down is kept as `fault-...`, and the end is an error: mend the reader and keep the file.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from fuzz.readers import CORPUS, READERS

RUN = Path(__file__).parent / "run.py"
MERGE_S = 300
"""Seconds of choosing among the inputs of one reader."""


def fuzz(name: str, work: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run one reader from its kept inputs and examples; new inputs come into `work / "found"`, faults into `work`."""
    found, examples = work / "found", work / "examples"
    for folder, contents in ((found, ()), (examples, READERS[name].examples)):
        folder.mkdir(parents=True, exist_ok=True)
        for content in contents:
            (folder / hashlib.sha1(content, usedforsecurity=False).hexdigest()).write_bytes(content)
    folders = [str(found), str(examples), *([str(CORPUS / name)] if (CORPUS / name).exists() else [])]
    return subprocess.run(
        [sys.executable, str(RUN), name, f"-artifact_prefix={work}/", *options, *folders],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="backslashreplace",
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )


def faults(work: Path) -> list[Path]:
    """The inputs that took the reader down (libFuzzer calls them crash, timeout, oom or leak)."""
    return [path for path in sorted(work.iterdir()) if path.is_file()]


def grow(name: str, seconds: int) -> bool:
    """Whether the reader had no fault."""
    home = CORPUS / name
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        ran = fuzz(name, work, f"-max_total_time={seconds}")
        print(name, *ran.stdout.splitlines()[-30 if ran.returncode else -1 :], sep="\n", flush=True)
        if ran.returncode:
            home.mkdir(exist_ok=True)
            for path in faults(work):
                kind, _, digest = path.name.partition("-")
                shutil.copy(path, home / f"fault-{kind}-{digest[:12]}")
            return False
        chosen = work / "chosen"
        chosen.mkdir()
        merged = subprocess.run(
            [
                *[sys.executable, str(RUN), name, "-set_cover_merge=1", f"-max_total_time={MERGE_S}"],
                *[str(each) for each in (chosen, work / "found", work / "examples", home) if each.exists()],
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        inputs = list(chosen.iterdir())
        print(name, f"{len(inputs)} inputs, {sum(path.stat().st_size for path in inputs)} bytes", flush=True)
        if merged.returncode or not inputs:
            return False
        home.mkdir(exist_ok=True)
        for path in home.iterdir():
            if not path.name.startswith("fault-"):
                path.unlink()
        for path in inputs:
            shutil.copy(path, home / path.name[:12])
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("readers", nargs="*", metavar="READER")
    parser.add_argument("--seconds", type=int, default=120)
    given = parser.parse_args()
    fine = [
        grow(name, given.seconds)
        for name in given.readers or [name for name, reader in READERS.items() if reader.is_led]
    ]
    sys.exit(0 if all(fine) else "A reader has a fault: see tests/fuzz/corpus/*/fault-*")


if __name__ == "__main__":
    main()
