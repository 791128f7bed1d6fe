"""The command line: `sslcourse run | lab | build | check-env | prefetch | release | grade | export | site | board`.

Each command is one module, imported when it is called, so that a machine which lacks what one of them needs can use the
others; this file needs Python alone, and check-env starts where torch does not. What a user can mend is a Refusal: one
sentence on stderr, exit code 2, no traceback.
"""

import argparse
import importlib
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from sslcourse.weeks import SCALES, week_id

OLDEST_PYTHON = (3, 11)

# nbformat brings jsonschema, and this the grammar of international addresses, which takes three seconds to compile for
# a format that no notebook has. Without the package jsonschema leaves that one format alone.
sys.modules.setdefault("rfc3987_syntax", None)


class Refusal(Exception):
    """What was wrong, what was expected, what to do: one sentence for the person at the command line."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command. Returns 0, or 1 for findings and failures, or 2 for a request that cannot be met."""
    try:
        options = _parser().parse_args(arguments)
        if sys.version_info < OLDEST_PYTHON:
            raise Refusal(too_old(sys.version_info[:2]))
        return options.command(options)
    except Refusal as refusal:
        _close_bars()
        print(f"sslcourse: {refusal}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        _close_bars()
        begin = "\n" if sys.stderr.isatty() else ""  # the terminal has just shown ^C
        print(f"{begin}sslcourse: interrupted.", file=sys.stderr)
        return 130
    except Exception as error:
        if not (library := _broken_library(error)):
            raise
        _close_bars()
        why = " ".join(str(error).split()).rstrip(".")
        print(
            f"sslcourse: the library {library} cannot be imported ({why}); install it anew, and ask `sslcourse "
            "check-env` what else is amiss on this machine.",
            file=sys.stderr,
        )
        return 2


def _broken_library(error: Exception) -> str:
    """The library whose import raised the error, "" for an error of another kind."""
    if isinstance(error, ModuleNotFoundError):
        name = (error.name or "").partition(".")[0]
        return "" if name == "sslcourse" else name
    importing = False
    for frame, _ in traceback.walk_tb(error.__traceback__):
        name = frame.f_globals.get("__name__", "").partition(".")[0]
        if importing and name not in ("importlib", "sslcourse", "_frozen_importlib", "_frozen_importlib_external"):
            return name
        importing |= name in ("importlib", "_frozen_importlib")
    return ""


def _close_bars() -> None:
    """Progress bars that a library left behind end their line, so that what is said next has one of its own."""
    library = sys.modules.get("tqdm.std")
    for bar in list(getattr(library.tqdm, "_instances", ()) if library else ()):
        bar.close()


def too_old(python: tuple[int, int]) -> str:
    """What to say of a Python below OLDEST_PYTHON."""
    return (
        f"Python {python[0]}.{python[1]} is too old; the course needs {OLDEST_PYTHON[0]}.{OLDEST_PYTHON[1]} or newer."
    )


def checkout() -> Path:
    """The folder of the course that the working directory is in. Raises Refusal outside."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "sslcourse" / "__init__.py").is_file() and (folder / "notebooks").is_dir():
            return folder
    raise Refusal(f"{here} is not inside a copy of the course; go to the folder that holds notebooks/ and sslcourse/.")


class _Parser(argparse.ArgumentParser):
    """argparse, with its complaints as one sentence."""

    def error(self, message: str):
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help.\n")


def _parser() -> argparse.ArgumentParser:
    side_by_side = _whole("notebooks run side by side in a whole number")
    processes = _whole("a number of processes is a whole number", 10_000)
    at_once, seconds = _whole("submissions at once are a whole number"), _whole("seconds are a whole number")
    parser = _Parser(prog="sslcourse", description="The self-supervised learning course.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND", parser_class=_Parser)

    run = commands.add_parser("run", help="execute the solved notebooks; figures and results go to runs/")
    run.add_argument("weeks", nargs="*", type=week_id, metavar="WEEK", help="such as 4 or week04; else all")
    run.add_argument("--scale", type=_scale, default="tiny", help="dry, tiny (default), small or full")
    run.add_argument("--jobs", type=side_by_side, metavar="N", help="notebooks side by side (default: cores; full: 1)")
    run.add_argument("--profile", action="store_true", help="show the ten slowest cells and their share")
    run.add_argument("--record", action="store_true", help="write what comes out to sslcourse/expected/")
    run.add_argument("--seeds", type=_seed, nargs="+", metavar="N", help="with --record (default 0 1 2)")
    run.add_argument("--sweeps", action="store_true", help="with --record: compute and record the sweeps only")
    run.add_argument("--processes", type=processes, metavar="N", help="one week as a program, on N GPUs (or of a CPU)")
    run.set_defaults(command=_run)

    lab = commands.add_parser("lab", help="open a notebook in a copy of your own")
    lab.add_argument("week", type=week_id, metavar="WEEK", help="for example 4 or week04")
    lab.add_argument("--no-open", action="store_true", help="make the copy, do not start JupyterLab")
    lab.set_defaults(command=_lab)

    build = commands.add_parser("build", help="make notebooks and solution modules from the source scripts")
    build.add_argument("weeks", nargs="*", type=week_id, metavar="WEEK", help="such as week04; all when none is named")
    build.add_argument("--check", action="store_true", help="only compare, and name what does not fit the sources")
    build.add_argument("--no-execute", action="store_true", help="leave stale notebooks stale; --check says so")
    build.add_argument("--force", action="store_true", help="run fresh notebooks too, as after a change in the library")
    build.set_defaults(command=_build)

    check_env = commands.add_parser("check-env", help="describe this machine and say what is missing, for an issue")
    check_env.set_defaults(command=_check_env)

    prefetch = commands.add_parser("prefetch", help="fetch the data that notebooks need, ahead of a class")
    prefetch.add_argument("weeks", nargs="+", type=week_id, metavar="WEEK")
    prefetch.add_argument("--scale", type=_scale, required=True, help="small or full; dry and tiny need no data")
    prefetch.set_defaults(command=_prefetch)

    release = commands.add_parser("release", help="hand weeks out to students, without their solutions")
    release.add_argument("weeks", nargs="*", type=week_id, metavar="WEEK", help="that join; else those that are there")
    release.add_argument("--to", type=Path, metavar="FOLDER", help="new, a git repository, or a .zip")
    release.add_argument("--with-solutions", action="store_true", help="of the weeks before the named one")
    release.add_argument("--repository", metavar="ADDRESS", help="of the hand-out, such as https://github.com/OWNER/NAME")
    release.add_argument("--wheel", metavar="ADDRESS", help="of a wheel that Colab installs instead")
    release.add_argument("--nbgrader", type=Path, metavar="COURSE", help="an nbgrader course folder instead")
    release.set_defaults(command=_release)

    grade = commands.add_parser("grade", help="judge a folder of submissions, without believing them")
    grade.add_argument("submissions", type=Path, metavar="SUBMISSIONS", help="STUDENT/WEEK/NOTEBOOK.ipynb, or files")
    grade.add_argument("--to", type=Path, required=True, metavar="RESULTS", help="for points, pages and summary")
    grade.add_argument("--week", type=week_id, metavar="WEEK", help="such as week04; else every week that is found")
    grade.add_argument("--jobs", type=at_once, metavar="N", help="submissions at once; else one, or as joblib is told")
    grade.add_argument("--seconds", type=seconds, default=10, metavar="N", help="of computing for an exercise (10)")
    what = grade.add_mutually_exclusive_group()
    what.add_argument("--nbgrader", type=Path, metavar="COURSE", help="enter points into this gradebook too")
    what.add_argument("--repair", action="store_true", help="only write the notebooks as nbgrader can take them")
    grade.set_defaults(command=_grade)

    export = commands.add_parser("export", help="write a project as a report, slides or PDF, without its code")
    export.add_argument("notebook", type=Path, metavar="NOTEBOOK", help="a file that ends in .ipynb, with its outputs")
    export.add_argument("--to", choices=("report", "slides", "pdf"), default="report", help="report (default) is HTML")
    export.add_argument("--code", action="store_true", help="keep the code")
    export.set_defaults(command=_export)

    site = commands.add_parser("site", help="build the web site of the course from the executed notebooks")
    site.add_argument("--to", type=Path, metavar="FOLDER", help="site/ of the checkout unless given")
    site.add_argument("--students", action="store_true", help="without the solved pages")
    site.add_argument("--repository", metavar="ADDRESS", help="such as https://github.com/OWNER/NAME, for links")
    site.set_defaults(command=_site)

    board = commands.add_parser("board", help="train all methods under equal terms; goes on where it was cut off")
    board.add_argument("--worlds", nargs="+", default=[], metavar="WORLD", help="scenes, tissue, cifar10; else all")
    board.add_argument("--methods", nargs="+", default=[], metavar="METHOD", help="such as SimCLR; else all")
    board.add_argument("--minutes", type=_minutes, metavar="N", help="begin no further training after so many")
    board.set_defaults(command=_board)
    return parser


def _scale(text: str) -> str:
    if text not in SCALES:
        raise argparse.ArgumentTypeError(f"there is no scale {text!r}; choose one of {', '.join(SCALES)}")
    return text


def _seed(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise argparse.ArgumentTypeError(f"a seed is a whole number from 0 on, not {text!r}")
    return int(text)


def _whole(words: str, below: int = 10**6) -> Callable[[str], int]:
    """A reader of whole numbers from 1 on; words: what they are, the beginning of the sentence."""

    def read(text: str) -> int:
        if not (text.isascii() and text.isdecimal() and len(text) < 10 and 0 < int(text) < below):
            raise argparse.ArgumentTypeError(f"{words} from 1 on, not {text!r}")
        return int(text)

    return read


def _minutes(text: str) -> float:
    try:
        if 0 < (minutes := float(text)) < float("inf"):
            return minutes
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"minutes are a number above 0, not {text!r}")


def _module(name: str) -> ModuleType:
    """The module of a command, imported when it is asked for."""
    return importlib.import_module(f"sslcourse.cli.{name}")


def _run(options: argparse.Namespace) -> int:
    if options.processes:
        if options.record or options.seeds or options.sweeps:
            raise Refusal("--processes runs a program and records nothing; leave out --record, --seeds and --sweeps.")
        if options.jobs or options.profile:
            raise Refusal("--jobs and --profile are for notebooks, and --processes runs a program; leave them out.")
        return _module("processes").run(checkout(), options.weeks, options.scale, options.processes)
    if options.record:
        if options.jobs or options.profile:
            raise Refusal("--jobs and --profile go without --record, which runs one notebook at a time.")
        seeds = options.seeds or [0, 1, 2]
        return _module("record").record(checkout(), options.weeks, options.scale, seeds, options.sweeps)
    if options.seeds or options.sweeps:
        raise Refusal("--seeds and --sweeps belong to --record; for a run with another seed set SSLCOURSE_SEED.")
    return _module("run").run(checkout(), options.weeks, options.scale, options.jobs, options.profile)


def _lab(options: argparse.Namespace) -> int:
    return _module("lab").lab(checkout(), options.week, open_browser=not options.no_open)


def _build(options: argparse.Namespace) -> int:
    if options.check:
        return _module("compare").report(checkout(), options.weeks)
    return _module("build").build(checkout(), options.weeks, execute=not options.no_execute, force=options.force)


def _check_env(options: argparse.Namespace) -> int:
    return _module("check_env").check_env()


def _prefetch(options: argparse.Namespace) -> int:
    return _module("prefetch").prefetch(options.weeks, options.scale)


def _release(options: argparse.Namespace) -> int:
    if (options.to is None) == (options.nbgrader is None):
        raise Refusal("Name where to: --to FOLDER for students, or --nbgrader COURSE for grading with nbgrader.")
    if options.nbgrader is not None:
        return _module("grade.course").course(checkout(), options.weeks, options.nbgrader)
    stamp = (options.repository, options.wheel)
    return _module("release").release(checkout(), options.weeks, options.to, options.with_solutions, *stamp)


def _grade(options: argparse.Namespace) -> int:
    root, submissions, to = checkout(), options.submissions, options.to
    if options.repair:
        return _module("grade.command").mend(root, submissions, to, options.week)
    return _module("grade.command").grade(
        root, submissions, to, options.week, options.jobs, options.seconds, options.nbgrader
    )


def _export(options: argparse.Namespace) -> int:
    return _module("export").export(options.notebook, options.to, options.code)


def _site(options: argparse.Namespace) -> int:
    root = checkout()
    return _module("site").site(root, options.to or root / "site", not options.students, options.repository)


def _board(options: argparse.Namespace) -> int:
    return _module("board").board(checkout(), options.worlds, options.methods, options.minutes)
