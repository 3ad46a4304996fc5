"""A fresh environment that has all that this one has, to install packages into."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path


class Environment:
    """A virtual environment beside this one.

    Args:
        root: new folder for it.
    """

    def __init__(self, root: Path):
        venv.create(root, with_pip=False)
        self.root, self.python = root, root / "bin" / "python"
        places = [place for place in sys.path if Path(place).name == "site-packages"]
        lines = [f"import site; site.addsitedir({place!r})" for place in places]
        [packages] = root.glob("lib/python*/site-packages")
        (packages / "beside.pth").write_text("\n".join(lines) + "\n")

    def install(self, *packages: Path) -> None:
        """Install packages from their folders, as `pip install` does."""
        options = ("--no-deps", "--no-build-isolation", "--no-index", "--quiet")
        self._run(
            sys.executable, "-m", "pip", "--python", self.python, "install", *options, *packages
        )

    def run(self, *arguments: object, folder: Path) -> str:
        """Call `python ...` in a folder; return what it printed."""
        return self._run(self.python, *arguments, folder=folder)

    def _run(self, *command: object, folder: Path | None = None) -> str:
        variables = {k: v for k, v in os.environ.items() if not k.startswith("KERAS_LISTEN_")}
        path = os.pathsep.join([str(self.root / "bin"), variables.get("PATH", "")])
        done = subprocess.run(
            [str(part) for part in command],
            cwd=folder,
            env=variables | {"PATH": path, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        said = done.stdout + done.stderr
        assert done.returncode == 0, said
        return said
