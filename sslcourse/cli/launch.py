"""Where a notebook runs without installing anything: the cell that installs the course there, and links that open it.

The cell never installs by name: a name that nobody holds on the package index could be taken by anybody. It installs
the address that `sslcourse release` stamps into it, the repository of the hand-out or a wheel, and says so without one.

References: https://pip.pypa.io/en/stable/topics/vcs-support/ and https://mybinder.readthedocs.io/en/latest/howto/languages.html
"""

import re
from urllib.parse import quote

from nbformat import NotebookNode

from sslcourse.cli import Refusal

_UNSTAMPED = 'COURSE = ""'
CELL = f"""# On Colab and Kaggle this installs the course; anywhere else it does nothing.
import importlib.util
import os
import subprocess
import sys

{_UNSTAMPED}  # the address that pip installs there; `sslcourse release` writes it
elsewhere = "google.colab" in sys.modules or "KAGGLE_KERNEL_RUN_TYPE" in os.environ
if elsewhere and importlib.util.find_spec("sslcourse") is None:
    if not COURSE:
        raise RuntimeError(
            "This notebook does not know where its course lies: write the address into COURSE above, git+https://... "
            "of the repository or https://... of a wheel, and run this cell again."
        )
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", COURSE], check=True)
    importlib.invalidate_caches()"""

_PLAIN = r"https://[A-Za-z0-9.-]+(:\d+)?/[A-Za-z0-9._~/+-]+"


def repository(address: str) -> str:
    """https://host/owner/name for an address as git has it, without user, password and .git. Raises Refusal."""
    text = address.strip()
    if found := re.fullmatch(r"(?:ssh://)?[\w.-]+@([\w.-]+)(?::\d+/|[:/])(.+)", text):
        text = f"https://{found[1]}/{found[2]}"
    text = re.sub(r"^https://[^/@]*@", "https://", text).rstrip("/").removesuffix(".git")
    if not re.fullmatch(_PLAIN, text) or text.count("/") < 4 or ".." in text:
        raise Refusal(f"{address!r} is no address of a repository; it looks like https://github.com/OWNER/NAME.")
    return text


def wheel(address: str) -> str:
    """The address of a wheel. Raises Refusal for anything else, a mere name above all."""
    if not re.fullmatch(_PLAIN, address) or not address.endswith(".whl") or ".." in address:
        raise Refusal(
            f"{address!r} is no address of a wheel; it looks like https://.../sslcourse-0.1.0-py3-none-any.whl."
        )
    return address


def stamp(notebook: NotebookNode, what: str) -> bool:
    """Write what pip installs ("git+https://..." or a wheel) into the first cell; whether there was a place for it."""
    for cell in notebook.cells:
        lines = cell.source.split("\n")
        if cell.cell_type == "code" and any(line.startswith(_UNSTAMPED) for line in lines):
            stamped = f'COURSE = "{what}"'
            cell.source = "\n".join(stamped if line.startswith(_UNSTAMPED) else line for line in lines)
            return True
    return False


def links(repository: str | None, branch: str, path: str) -> dict[str, str]:
    """{"Colab": address, ...}: where the notebook at `path` of a public repository opens; {} where none reads it."""
    host, _, project = (repository or "").removeprefix("https://").partition("/")
    branch, path = quote(branch, safe="/"), quote(path)
    if host == "github.com" and project.count("/") == 1:
        return {
            "Colab": f"https://colab.research.google.com/github/{project}/blob/{branch}/{path}",
            "Binder": f"https://mybinder.org/v2/gh/{project}/{quote(branch, safe='')}?labpath={path}",
            "Kaggle": f"https://kaggle.com/kernels/welcome?src={repository}/blob/{branch}/{path}",
        }
    if host == "gitlab.com":
        ref = f"{quote(project, safe='')}/{quote(branch, safe='')}"
        return {"Binder": f"https://mybinder.org/v2/gl/{ref}?labpath={path}"}
    return {}
