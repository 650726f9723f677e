import json
from pathlib import Path

import pytest

from aggregator.files.plan import read_plan
from aggregator.plan import solve_plan
from aggregator.solver import SolverChoice

CASES = sorted(path for path in (Path(__file__).parent / "plan").iterdir() if path.is_dir())


@pytest.mark.parametrize("solver", ["glpk", "highs"])
@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name)
def test_a_worked_plan_comes_out_as_worked(case, solver):
    expected = json.loads((case / "expected.json").read_text())
    answer = solve_plan(read_plan(case / "plan.json"), SolverChoice(solver))
    assert answer["expected_revenue"] == pytest.approx(expected["expected_revenue"], abs=1e-6)
    assert answer["bid_kw"] == pytest.approx(expected["bid_kw"], abs=1e-6)
    assert answer["solver"]["status"] == "optimal"
