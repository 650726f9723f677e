"""FlexMeasures' own scheduler on one depot: a problem on stdin, cost and seconds on stdout, both JSON.

Runs in an environment that has FlexMeasures and nothing of ours. Its device scheduler with its default
solver is called as its storage scheduler does: a table a car, one for the site, one commitment for the
site's energy. Building these tables is not timed.
"""

import json
import sys
from time import perf_counter

import numpy as np
import pandas as pd
from flask import Flask
from flexmeasures.data.models.planning import FlowCommitment
from flexmeasures.data.models.planning.linear_optimization import device_scheduler
from flexmeasures.data.models.planning.utils import initialize_df
from flexmeasures.utils.config_defaults import Config

START = pd.Timestamp("2025-01-08T12:00Z")
CAR = (
    "equals",
    "max",
    "min",
    "efficiency",
    "derivative equals",
    "derivative max",
    "derivative min",
    "derivative down efficiency",
    "derivative up efficiency",
    "stock delta",
)
SITE = ("derivative max", "derivative min")


def table(columns, problem):
    length = pd.Timedelta(hours=problem["slot_hours"])
    return initialize_df(list(columns), START, START + len(problem["price_gbp_per_kwh"]) * length, length)


def car_table(car, problem):
    """Stock counts from where the car starts, in kW times slots, as flow is in kW."""
    frame, hours = table(CAR, problem), problem["slot_hours"]
    slot = np.arange(len(frame))
    plugged = (slot >= car["arrive_slot"]) & (slot < car["depart_slot"])
    least_kwh = np.where(slot == car["depart_slot"] - 1, car["target_kwh"], car["lowest_kwh"])
    frame["derivative max"] = car["charge_kw"] * plugged
    frame["derivative min"] = -car["discharge_kw"] * plugged
    frame["derivative up efficiency"] = car["eta_charge"]
    frame["derivative down efficiency"] = car["eta_discharge"]
    frame["min"] = (least_kwh - car["energy_kwh"]) / hours
    frame["max"] = (car["capacity_kwh"] - car["energy_kwh"]) / hours
    frame["stock delta"] = 0.0
    return frame


def site_table(problem):
    frame = table(SITE, problem)
    frame["derivative max"] = problem["import_limit_kw"]
    frame["derivative min"] = -problem["export_limit_kw"]
    return frame


def energy(problem):
    index = table(SITE, problem).index
    price = pd.Series(np.array(problem["price_gbp_per_kwh"]) * problem["slot_hours"], index)
    return FlowCommitment(
        name="energy",
        index=index,
        quantity=pd.Series(0.0, index),
        upwards_deviation_price=price,
        downwards_deviation_price=price,
    )


def main():
    problem = json.load(sys.stdin)
    app = Flask("peer")
    app.config.update(FLEXMEASURES_LP_SOLVER=Config.FLEXMEASURES_LP_SOLVER, LOGGING_LEVEL="INFO")
    seconds = []
    with app.app_context():
        for _ in range(problem["runs"]):
            cars = [car_table(car, problem) for car in problem["cars"]]
            site, commitments = site_table(problem), [energy(problem)]
            began = perf_counter()
            flows, _, result, _ = device_scheduler(
                cars, site, commitments=commitments, initial_stock=[0.0] * len(cars)
            )
            seconds.append(perf_counter() - began)
    net_kw = np.sum([flow.to_numpy() for flow in flows], axis=0)
    cost_gbp = float(net_kw @ np.array(problem["price_gbp_per_kwh"])) * problem["slot_hours"]
    answer = {"seconds": seconds, "cost_gbp": cost_gbp, "status": str(result.solver.termination_condition)}
    sys.stdout.write(json.dumps(answer) + "\n")


main()
