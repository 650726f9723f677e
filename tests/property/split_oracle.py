"""A second opinion on the split, written from the file's JSON with energies as variables, no code shared."""

import itertools

import highspy

BIG = 1e30


def needs(raw, car):
    slots, hours = raw["event"]["n_slots"], raw["slot_hours"]
    later = max(0, car["depart_slot"] - max(slots, car["arrive_slot"]))
    return max(car["floor_kwh"], car["target_kwh"] - later * hours * raw["eta_charge"] * car["charge_kw"])


def plugged(raw, car):
    return list(range(car["arrive_slot"], min(car["depart_slot"], raw["event"]["n_slots"])))


def must_charge(raw, car):
    return bool(plugged(raw, car)) and car["energy_kwh"] < needs(raw, car) - 1e-9


def load(raw, site, slot):
    return (raw["sites"][site].get("base_load_kw") or [0.0] * raw["event"]["n_slots"])[slot]


def first_charge(raw):
    """Slot by slot: every car below its floor takes what is left, the earliest departure first."""
    hours, least = raw["slot_hours"], {}
    stored = {car["id"]: car["energy_kwh"] for car in raw["cars"]}
    for slot in range(raw["event"]["n_slots"]):
        room = {name: site["import_limit_kw"] - load(raw, name, slot) for name, site in raw["sites"].items()}
        for car in sorted(raw["cars"], key=lambda car: (car["depart_slot"], car["id"])):
            gap_kw = (car["floor_kwh"] - stored[car["id"]]) / raw["eta_charge"] / hours
            if slot in plugged(raw, car) and gap_kw > 0:
                power = min(car["charge_kw"], room[car["site"]], gap_kw)
                least[car["id"], slot] = power
                room[car["site"]] -= power
                stored[car["id"]] += power * hours * raw["eta_charge"]
    return least


def missed_kwh(raw):
    """What each must-charge car misses with none but its like at its site, the earliest departure first."""
    musts = [car for car in raw["cars"] if must_charge(raw, car)]
    return Oracle({**raw, "cars": musts}, missed={}).pinned_kwh() if musts else {}


class Oracle:
    """Gives must-charge cars what they would have among themselves, then maximises what is delivered."""

    def __init__(self, raw, missed=None):
        self.raw, self.model = raw, highspy.Highs()
        self.missed = missed_kwh(raw) if missed is None else missed
        self.model.setOptionValue("output_flag", False)
        self.model.setOptionValue("threads", 1)
        exact = 1e-9 if all(car.get("min_kw", 0) == 0 for car in raw["cars"]) else 1e-6
        for name in ("primal_feasibility", "dual_feasibility", "mip_feasibility"):
            self.model.setOptionValue(f"{name}_tolerance", exact)
        self.spare = 5 * exact
        self.model.setOptionValue("mip_rel_gap", 0.0)
        self.model.setOptionValue("presolve", "off")
        self.up = raw["event"].get("direction", "up") == "up"
        self.power, self.missing, self.overs = {}, {}, []
        least = first_charge(raw)
        for car in raw["cars"]:
            self.add_car(car, least)
        self.add_sites()
        self.delivered = self.add_request()

    def add_car(self, car, least):
        raw, model, name = self.raw, self.model, car["id"]
        must, hours = must_charge(raw, car), raw["slot_hours"]
        stored = car["energy_kwh"]
        for slot in plugged(raw, car):
            takes = must or not self.up
            x = model.addVariable(lb=least.get((name, slot), 0.0) if takes else 0.0, ub=BIG)
            most = car["charge_kw"] if takes else car["discharge_kw"]
            if self.missed.get(name, 0.0) > 1e-6:
                room = raw["sites"][car["site"]]["import_limit_kw"] - load(raw, car["site"], slot)
                most = min(most, max(0.0, room))
            if car.get("min_kw") and not takes:
                on = model.addBinary()
                model.addConstr(x - car["min_kw"] * on >= 0)
                model.addConstr(x - most * on <= 0)
            else:
                model.addConstr(1 * x <= most)
            if takes:
                self.power[name, slot] = -1 * x
                gain = raw["eta_charge"] * hours * x
            else:
                self.power[name, slot] = 1 * x
                gain = -hours / raw["eta_discharge"] * x
            after = model.addVariable(lb=0.0, ub=max(car["max_kwh"], car["energy_kwh"]))
            model.addConstr(after == stored + gain)
            if not must:
                model.addConstr(after >= car["floor_kwh"])
            stored = after
        if plugged(raw, car):
            most = self.missed[name] + self.spare if name in self.missed else BIG
            self.missing[name] = model.addVariable(lb=0.0, ub=most if must else 0.0)
            model.addConstr(stored + self.missing[name] >= needs(raw, car))

    def add_sites(self):
        for name, slot in itertools.product(self.raw["sites"], range(self.raw["event"]["n_slots"])):
            cars = [car["id"] for car in self.raw["cars"] if car["site"] == name]
            total = sum((self.power[car, slot] for car in cars if (car, slot) in self.power), start=0.0)
            if isinstance(total, float):
                continue
            site, base = self.raw["sites"][name], load(self.raw, name, slot)
            self.model.addConstr(total >= base - site["import_limit_kw"])
            takers = [car for car in self.raw["cars"] if car["site"] == name and must_charge(self.raw, car)]
            if any(self.missed.get(car["id"], 0.0) > 1e-6 for car in takers):
                drawn = [self.power[car["id"], slot] for car in takers if (car["id"], slot) in self.power]
                if drawn:  # what another exports must not move what is owed to who is short anyway
                    self.model.addConstr(sum(drawn) >= min(0.0, base - site["import_limit_kw"]))
            allowed = site["export_limit_kw"] + base
            if allowed >= 0:
                self.model.addConstr(total <= allowed)
            else:
                over = self.model.addVariable(lb=0.0, ub=-allowed)
                self.model.addConstr(total - over <= allowed)
                self.overs.append(over)

    def add_request(self):
        delivered = []
        for slot, request in enumerate(self.raw["event"]["request_kw"]):
            cars = [car["id"] for car in self.raw["cars"] if (car["id"], slot) in self.power]
            total = sum((self.power[car, slot] for car in cars), start=0.0)
            way = 1.0 if self.up else -1.0
            served = self.model.addVariable(lb=-BIG, ub=way * request)
            if isinstance(total, float):
                self.model.addConstr(1 * served <= 0.0)
            else:
                self.model.addConstr(served - way * total <= 0)
                if self.up and request >= 0:
                    self.model.addConstr(total <= request)
            delivered.append(served)
        return delivered

    def optimum_kwh(self):
        """Return delivered kWh and what each car misses of its need."""
        model = self.model
        if self.overs:
            self.pin(sum(self.overs, start=0.0))
        model.maximize(sum(self.delivered, start=0.0))
        assert model.getModelStatus() == highspy.HighsModelStatus.kOptimal
        return self.raw["slot_hours"] * sum(model.val(served) for served in self.delivered)

    def pinned_kwh(self):
        """Return the least that each car can miss, one after the other."""
        if self.overs:
            self.pin(sum(self.overs, start=0.0))
        cars = sorted(self.raw["cars"], key=lambda car: (car["depart_slot"], car["id"]))
        return {car["id"]: self.pin(1 * self.missing[car["id"]]) for car in cars}

    def pin(self, amount):
        self.model.minimize(amount)
        assert self.model.getModelStatus() == highspy.HighsModelStatus.kOptimal
        least = max(0.0, self.model.getInfo().objective_function_value)
        self.model.addConstr(amount <= least + self.spare)
        return least


def best_of_subsets_kwh(raw):
    """The minimum cut, found over all sets of slots: what is wanted outside, what the cars have inside.

    None must charge; by the max-flow min-cut theorem it is the most that any split delivers.

    For sites with one car each, exporting, with one limit in all slots, and cars there from the start.
    """
    slots, hours = raw["event"]["n_slots"], raw["slot_hours"]
    best = BIG
    for picks in itertools.product((0, 1), repeat=slots):
        chosen = {slot for slot in range(slots) if picks[slot]}
        bound = sum(max(0.0, raw["event"]["request_kw"][t]) * hours for t in range(slots) if t not in chosen)
        for car in raw["cars"]:
            reserve = max(needs(raw, car), car["floor_kwh"])
            energy = raw["eta_discharge"] * max(0.0, car["energy_kwh"] - reserve)
            power = min(car["discharge_kw"], raw["sites"][car["site"]]["export_limit_kw"])
            bound += min(energy, power * hours * len(chosen & set(plugged(raw, car))))
        best = min(best, bound)
    return best + sum(min(0.0, request) * hours for request in raw["event"]["request_kw"])


def broken_rules(raw, answer, tolerance=1e-7):
    """Return a line for every rule of the file's format that the set-points break."""
    kw, slots = answer["export_kw"], range(raw["event"]["n_slots"])
    found = [line for car in raw["cars"] for line in broken_by_car(raw, car, kw, tolerance)]
    for name, slot in itertools.product(raw["sites"], slots):
        site, base = raw["sites"][name], load(raw, name, slot)
        total = sum(kw[car["id"]][slot] for car in raw["cars"] if car["site"] == name) - base
        if (
            not -site["import_limit_kw"] - tolerance
            <= total
            <= max(site["export_limit_kw"], -base) + tolerance
        ):
            found.append(f"{name} carries {total} in {slot}")
    for slot, request in enumerate(raw["event"]["request_kw"]):
        total = sum(values[slot] for values in kw.values())
        if raw["event"]["direction"] == "up" and request >= 0 and total > request + tolerance:
            found.append(f"{total} is exported in {slot}, {request} wanted")
    return found


def broken_by_car(raw, car, kw, tolerance):
    """Yield a line for every rule of one car that its set-points break."""
    name, must, stored = car["id"], must_charge(raw, car), car["energy_kwh"]
    up, here = raw["event"]["direction"] == "up", plugged(raw, car)
    lowest, most = min(stored, car["floor_kwh"]), max(stored, car["max_kwh"])
    before, after = {}, {}
    for slot, value in enumerate(kw[name]):
        before[slot] = stored
        gain = -value / raw["eta_discharge"] if value > 0 else -value * raw["eta_charge"]
        after[slot] = stored = stored + raw["slot_hours"] * gain
        faults = {
            "moves but is not there": slot not in here and value != 0,
            "beyond its power": not -car["charge_kw"] - tolerance <= value <= car["discharge_kw"] + tolerance,
            "below its least power": 0 < value < car.get("min_kw", 0.0) - tolerance,
            "discharges": value > 0 and (must or not up),
            "charges": value < 0 and up and not must,
            f"stores {stored}": slot in here and not lowest - tolerance <= stored <= most + tolerance,
        }
        yield from (f"{name} {what} in {slot}" for what, broken in faults.items() if broken)
    if here and not must and stored < needs(raw, car) - tolerance:
        yield f"{name} ends with {stored}, needs {needs(raw, car)}"
    short = must and stored < needs(raw, car) - 1e-6
    for slot in here:
        full = kw[name][slot] <= tolerance - car["charge_kw"]
        mates = [kw[mate["id"]][slot] for mate in raw["cars"] if mate["site"] == car["site"]]
        room = raw["sites"][car["site"]]["import_limit_kw"] - load(raw, car["site"], slot) - tolerance
        below = max(before[slot], after[slot]) < car["floor_kwh"] - tolerance
        if below and not (full or -sum(value for value in mates if value < 0) >= room):
            yield f"{name} is below its floor and not at full power in {slot}"
        if short and not (full or -sum(value for value in mates if value < 0) >= room):
            yield f"{name} can't reach its target and is not at full power in {slot}"
