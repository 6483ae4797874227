"""The checks, as sessions: ``nox`` runs all of them, ``nox -l`` lists them."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import nox

nox.needs_version = ">=2025.2.9"
nox.options.sessions = ["tests", "lint", "types", "docs", "examples", "build"]

PROJECT: Final[dict[str, Any]] = nox.project.load_toml("pyproject.toml")

#: The Python that runs nox, which is there for certain.
THIS_PYTHON: Final = f"{sys.version_info.major}.{sys.version_info.minor}"

#: Keeps the current directory off ``sys.path``, in the tests' own subprocesses too:
#: what is tested is the package that was installed, not the one that lies here.
INSTALLED_ONLY: Final = {"PYTHONSAFEPATH": "1"}


def _works(version: str) -> bool:
    """Tell whether a Python of this version is here, and not only a shim for one."""
    command = [f"python{version}", "-c", "import sys; print(*sys.version_info[:2])"]
    try:
        answer = subprocess.run(  # noqa: S603 - our own words
            command, capture_output=True, check=True, text=True
        )
    except (OSError, subprocess.CalledProcessError):
        return False
    return answer.stdout.split() == version.split(".")


# Nox skips a Python that is missing, but takes it for an error where CI is set.
PYTHONS: Final = [
    version
    for version in nox.project.python_versions(PROJECT)
    if version == THIS_PYTHON or _works(version)
] or [THIS_PYTHON]


def _group(name: str) -> list[str]:
    return list(nox.project.dependency_groups(PROJECT, name))


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests on the installed package; -- passes arguments to pytest."""
    session.install(".", *_group("tests"))
    if session.posargs or session.python != THIS_PYTHON:
        session.run("pytest", *session.posargs, env=INSTALLED_ONLY)
        return
    data = Path(session.virtualenv.location, "coverage")
    env = INSTALLED_ONLY | {"COVERAGE_FILE": str(data)}
    pytest = Path(session.bin, "pytest")
    session.run("coverage", "run", str(pytest), env=env)
    session.run("coverage", "combine", "--quiet", env=env)
    session.run("coverage", "report", env=env)


@nox.session
def slow(session: nox.Session) -> None:
    """Run the tests that take minutes, which no other session does."""
    session.install(".", *_group("tests"))
    session.run("pytest", "-m", "slow", *session.posargs, env=INSTALLED_ONLY)


@nox.session
def lint(session: nox.Session) -> None:
    """Check the style, and that the formatter has nothing to do."""
    session.install(*_group("lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types, strictly, of everything that is Python."""
    session.install(*PROJECT["project"]["dependencies"], *_group("types"))
    session.run("mypy", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation into docs/_build/html; a warning is an error."""
    session.install(".", *_group("docs"))
    session.run(
        *("sphinx-build", "-W", "--keep-going", "-E", "-b", "html"),
        *("docs", "docs/_build/html"),
        env=INSTALLED_ONLY,
    )


@nox.session
def examples(session: nox.Session) -> None:
    """Run every example as the program it is."""
    session.install(".")
    for program in sorted(Path("examples").glob("*.py")):
        session.run("timeout", "20", "python", str(program), external=True)


def _build(session: nox.Session, directory: Path) -> tuple[Path, Path]:
    """Make the sdist, and the wheel from that sdist; return both."""
    session.run("hatchling", "build", "-t", "sdist", "-d", str(directory))
    (sdist,) = directory.glob("*.tar.gz")
    options = ("--no-deps", "--no-build-isolation")
    session.run("pip", "wheel", *options, "-w", str(directory), str(sdist))
    (wheel,) = directory.glob("*.whl")
    return sdist, wheel


@nox.session
def build(session: nox.Session) -> None:
    """Test what would be published: sdist, wheel from it, tests on that wheel."""
    session.install(*PROJECT["build-system"]["requires"], *_group("tests"))
    with tempfile.TemporaryDirectory(prefix="trionitro-build-") as directory:
        sdist, wheel = _build(session, Path(directory))
        session.install(str(wheel))

        # The sdist brings its own tests. Its package is left out, so that they can
        # find no other than the wheel's.
        unpack = ("tar", "-xzf", str(sdist), "-C", directory, "--exclude=*/trionitro")
        session.run(*unpack, external=True)
        with session.chdir(Path(directory, sdist.name.removesuffix(".tar.gz"))):
            session.run("trionitro", "--help", silent=True)
            session.run("pytest", *session.posargs, env=INSTALLED_ONLY)


@nox.session(reuse_venv=True)
def guest(session: nox.Session) -> None:
    """Test the wheel on a real kernel, in virtual machines; -- is for pytest in one.

    After ``-- benchmarks`` it is what these are told; ``out/FILE.json`` comes here.

    """
    requirements = PROJECT["project"]["dependencies"]
    tools = PROJECT["build-system"]["requires"]
    session.install(*requirements, *tools, *_group("guest-tests"))
    what, arguments = "test", session.posargs
    if arguments[:1] == ["benchmarks"]:
        what, *arguments = arguments
    with tempfile.TemporaryDirectory(prefix="trionitro-guest-") as directory:
        _, wheel = _build(session, Path(directory))
        # Of the same version as the one before, which pip would keep.
        session.install("--force-reinstall", "--no-deps", str(wheel))
        session.run("python", "-m", "guestkit", what, str(wheel), *arguments)
