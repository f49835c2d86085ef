"""Give one reader damaged bytes, led by the code that they reach (atheris, which is libFuzzer for Python).

`python tests/fuzz/run.py READER [option of libFuzzer, folder or file]...`: goes on until `-max_total_time`, and ends
with an error code at the first input that is neither read nor refused, which lies in `-artifact_prefix` then.
"""

from __future__ import annotations

import logging
import shlex
import sys
import tempfile
import warnings
from pathlib import Path

import atheris

# What else leads to new inputs: Pillow takes three seconds to prepare, and so only where it reads.
ALSO = {
    "images": ["PIL"],
    "photos": ["PIL"],
    "painted_hints": ["PIL"],
    "configurations_in_toml": ["tomllib"],
    "tars": ["tarfile"],
}

with atheris.instrument_imports(include=["batch_processing", *ALSO.get(sys.argv[1], [])]):
    from fuzz.readers import PATIENCE_S, READERS


def main() -> None:
    name, *options = sys.argv[1:]
    reader = READERS[name]
    logging.disable()  # what is left out of an archive is no news here
    warnings.simplefilter("ignore")  # what Pillow thinks of a damaged header
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"given{reader.suffix}"
        words = Path(folder) / "words"
        words.write_text(
            "".join('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n' for word in reader.words)
        )

        def one(data: bytes) -> None:
            path.write_bytes(data)
            reader.refusal(path)

        limits = [
            f"-max_len={reader.longest}",
            f"-timeout={12 * PATIENCE_S:.0f}",  # of a wall clock, on a machine that others use too
            "-rss_limit_mb=1500",  # Python with its libraries has 250
            *([f"-dict={words}"] if reader.words else []),
        ]
        # libFuzzer gives the first word to a shell when it starts itself again, to choose among inputs.
        itself = shlex.join([sys.executable, __file__, name])
        atheris.Setup([itself, *limits, *options], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
