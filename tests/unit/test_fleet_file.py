"""The fleet file: what protects a driver or a grid must be stated, and every fault is told at once."""

from datetime import UTC, date, datetime, time
from pathlib import Path

import pytest

from aggregator.files.fleet import read_fleet
from aggregator.model.errors import BadMessage
from aggregator.model.fleet import Approval, ExportSource, ExportTariff, FeedIn, FitExport
from aggregator.store import open_store

EXAMPLE = Path(__file__).parents[2] / "config" / "fleet.example.toml"
ZONES = ("Canvey", "Hendon Way")
HEADER = (
    "car_id,site_id,zone,export_limit_kw,export_source,import_limit_kw,charger_id,capacity_kwh,charge_kw,"
    "discharge_kw,eta_charge,eta_discharge,floor_soc,default_target_soc,default_depart_local"
)
LINES = (
    "007,h-1,Canvey,3.68,g98,18.4,q-1,40,7.4,7.4,0.93,0.93,0.3,0.9,07:30",
    "8,h-1,Canvey,3.68,g98,18.4,q-2,62,7.4,7.4,0.93,0.93,0.4,0.8,06:45",
)


def a_file(tmp_path, *changes):
    text = EXAMPLE.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path = tmp_path / "fleet.toml"
    path.write_text(text)
    return path


def a_csv(tmp_path, *lines, header=HEADER):
    path = tmp_path / "fleet.csv"
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def faults_of(path, zones=ZONES):
    with pytest.raises(BadMessage) as refused:
        read_fleet(path, zones)
    lines = [str(fault) for fault in refused.value.faults]
    assert all("\n" not in line for line in lines)
    assert all(line.startswith(path.name) for line in lines)
    return lines


def test_the_packaged_example_reads_clean():
    fleet = read_fleet(EXAMPLE, ZONES)
    assert [car.car_id for car in fleet.cars] == ["leaf-1", "leaf-2"]
    first = fleet.cars[0]
    assert (first.site.zone, first.site.export_limit_kw, first.site.export_source) == (
        "Hendon Way",
        3.68,
        ExportSource.G98,
    )
    assert first.default_intent.depart_local == time(7, 30)


def test_the_same_cars_have_the_same_digest_in_either_form(tmp_path):
    once = read_fleet(a_csv(tmp_path, *LINES))
    assert [car.car_id for car in once.cars] == ["007", "8"]
    assert {car.site.site_id for car in once.cars} == {"h-1"}
    assert once.digest == read_fleet(a_csv(tmp_path, *LINES)).digest
    assert once.digest != read_fleet(a_csv(tmp_path, *reversed(LINES))).digest


@pytest.mark.parametrize(
    ("old", "new", "where", "value", "allowed"),
    [
        ("floor_soc = 0.30", "floor_soc = 0.29", "car[0].floor_soc", "0.29", "greater than or equal to 0.3"),
        ("floor_soc = 0.40", "", "car[1].floor_soc", "(missing)", "there is no default"),
        ("export_limit_kw = 3.68", "", "site[0].export_limit_kw", "(missing)", "there is no default"),
        ('export_source = "g98"', "", "site[0].export_source", "(missing)", "there is no default"),
        ('export_source = "g98"', 'export_source = "g97"', "site[0].export_source", "g97", "'g98', 'g99'"),
        ('export_source = "g98"', 'export_source = "none"', "site[0].export_limit_kw", "3.68", "0 where"),
        ('car_id = "leaf-2"', 'car_id = "leaf-1"', "car[1].car_id", "leaf-1", "car[0] has it"),
        (
            'charger_id = "quasar-2"',
            'charger_id = "quasar-1"',
            "car[1].charger_id",
            "quasar-1",
            "car[0] has it",
        ),
        ('site_id = "home-2"', 'site_id = "home-1"', "site[1].site_id", "home-1", "site[0] has it"),
        ('car_id = "leaf-2"', "car_id = 2", "car[1].car_id", "2", "a text in quotes"),
        ('zone = "Canvey"', 'zone = "Camden"', "site[1].zone", "Camden", "Canvey, Hendon Way"),
        ("capacity_kwh = 40", "capacity_kwh = nan", "car[0].capacity_kwh", "nan", "a finite number"),
        ("capacity_kwh = 40", "capacity_kwh = true", "car[0].capacity_kwh", "True", "number"),
        ("import_limit_kw = 18.4", "import_limit_kw = inf", "site[0].import_limit_kw", "inf", "finite"),
        ("capacity_kwh = 40", "capacity_kw = 40", "car[0].capacity_kw", "40", "unknown key; known here"),
        ("eta_charge = 0.93", "eta_charge = 93", "car[0].eta_charge", "93", "less than or equal to 1"),
        (
            "default_target_soc = 0.9",
            "default_target_soc = 0.2",
            "default_target_soc",
            "0.2",
            "floor_soc 0.3",
        ),
        (
            'depart_local = "07:30"',
            'depart_local = "07:30Z"',
            "default_depart_local",
            "07:30Z",
            "without a zone",
        ),
        ('depart_local = "07:30"', "depart_local = 7.5", "default_depart_local", "7.5", "local time of day"),
        ("capacity_kwh = 40", "capacity_kwh = 1001", "car[0].capacity_kwh", "1001", "equal to 1000"),
        ("capacity_kwh = 40", 'capacity_kwh = "40"', "car[0].capacity_kwh", "40", "without quotes"),
        ("floor_soc = 0.30", 'floor_soc = "0.3"', "car[0].floor_soc", "0.3", "without quotes"),
        ("# min_kw = 0", "min_kw = 7.5", "car[0].min_kw", "7.5", "at most charge_kw (7.4)"),
        ("export_limit_kw = 3.68", "export_limit_kw = 3.69", "site[0].export_limit_kw", "3.69", "3.68"),
        (
            "export_limit_kw = 3.68",
            "phases = 3\nexport_limit_kw = 11.05",
            "export_limit_kw",
            "11.05",
            "11.04",
        ),
        ('car_id = "leaf-1"', r'car_id = "leaf\u0000"', "car[0].car_id", r"leaf\x00", "control characters"),
        ('zone = "Canvey"', r'zone = "Can\nvey"', "site[1].zone", r"Can\nvey", "control characters"),
        ('# dark_from = "20:00"', 'dark_from = "20:00"', "site[0].dark_until", "(missing)", "go together"),
    ],
)
def test_a_wrong_value_is_named_with_field_and_what_is_allowed(tmp_path, old, new, where, value, allowed):
    found = [line for line in faults_of(a_file(tmp_path, (old, new))) if where in line and allowed in line]
    assert len(found) == 1
    assert value in found[0]


def test_a_car_at_a_home_that_is_not_there_is_named(tmp_path):
    text = EXAMPLE.read_text().replace('site_id = "home-1"\ncharger_id', 'site_id = "home-9"\ncharger_id')
    path = tmp_path / "fleet.toml"
    path.write_text(text)
    (line,) = faults_of(path)
    assert "car[0].site_id" in line
    assert "home-9" in line


def test_any_zone_will_do_where_none_is_configured(tmp_path):
    path = a_file(tmp_path, ('zone = "Canvey"', 'zone = "Camden"'))
    assert read_fleet(path).zones == ("Camden", "Hendon Way")


@pytest.mark.parametrize("name", ["fleet.toml", "fleet.csv"])
def test_a_file_that_is_not_there_is_named(tmp_path, name):
    with pytest.raises(BadMessage, match=name):
        read_fleet(tmp_path / name)


@pytest.mark.parametrize(("name", "text"), [("fleet.toml", "[[car"), ("fleet.toml", ""), ("fleet.csv", "")])
def test_a_file_that_holds_no_fleet_is_refused(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    assert faults_of(path)


def test_all_faults_are_told_at_once(tmp_path):
    lines = faults_of(
        a_file(
            tmp_path,
            ("floor_soc = 0.30", "floor_soc = 0.2"),
            ("export_limit_kw = 3.68", ""),
            ('export_source = "g99"', ""),
            ('car_id = "leaf-2"', 'car_id = "leaf-1"'),
            ('zone = "Canvey"', 'zone = "Camden"'),
            ("capacity_kwh = 62", "capacity_kwh = nan"),
            ("default_target_soc = 0.8", "default_target_soc = 0.35"),
        )
    )
    for part in ("0.2", "export_limit_kw", "export_source", "leaf-1", "Camden", "nan", "0.35"):
        assert [line for line in lines if part in line], part
    assert len(lines) == 7


def test_what_g98_does_not_cover_takes_an_approval_and_is_then_not_bounded(tmp_path):
    bigger = ("export_limit_kw = 3.68", "export_limit_kw = 17.3")
    for source in ("g99", "g100"):
        path = a_file(tmp_path, bigger, ('export_source = "g98"', f'export_source = "{source}"'))
        assert read_fleet(path).cars[0].site.export_limit_kw == 17.3
    three = a_file(tmp_path, ("export_limit_kw = 3.68", "phases = 3\nexport_limit_kw = 11.04"))
    assert read_fleet(three).cars[0].site.export_limit_kw == 11.04


def test_a_car_that_never_discharges_needs_no_least_power_to_do_so(tmp_path):
    path = a_file(tmp_path, ("# min_kw = 0", "min_kw = 1.4"), ("discharge_kw = 7.4", "discharge_kw = 0"))
    assert read_fleet(path).cars[0].charger.min_kw == 1.4


def test_a_home_that_stands_twice_is_one_fault(tmp_path):
    (line,) = faults_of(a_file(tmp_path, ('site_id = "home-2"', 'site_id = "home-1"')))
    assert "site[1].site_id" in line


# CSV


@pytest.mark.parametrize(
    ("lines", "parts"),
    [
        ([LINES[0].replace(",0.3,", ",0.25,")], ("line 2.floor_soc", "0.25")),
        ([LINES[0].replace("3.68", "")], ("line 2.export_limit_kw", "(missing)")),
        ([LINES[0].replace("40,", "NaN,")], ("line 2.capacity_kwh", "NaN", "a finite number")),
        ([LINES[0], LINES[0]], ("line 3.car_id", "007", "an id of its own; line 2 has it")),
        ([LINES[0] + ",1"], ("header", "too many fields")),
        (["007,h-1"], ("line 2.zone", "(missing)")),
        (['"007'], ("line",)),
        ([LINES[0].replace("007", "0\x077")], ("line 2.car_id", r"0\x077", "control characters")),
        ([LINES[0].replace("3.68", "5")], ("line 2.export_limit_kw", "'5'", "at most 3.68")),
        ([LINES[0].replace(",40,", ",forty,")], ("line 2.capacity_kwh", "forty", "a number")),
        ([LINES[0].replace(",40,", ",4O" + "0" * 500 + ",")], ("line 2.capacity_kwh", "…", "a number")),
        ([LINES[0], LINES[1].replace("h-1,Canvey", "h-2,Camden")], ("line 3.zone", "Camden")),
    ],
)
def test_a_wrong_line_is_named(tmp_path, lines, parts):
    found = faults_of(a_csv(tmp_path, *lines))
    assert [line for line in found if all(part in line for part in parts)]


def test_an_unknown_column_is_named(tmp_path):
    path = a_csv(tmp_path, *LINES, header=HEADER.replace("floor_soc", "floor"))
    (line,) = faults_of(path)
    assert "floor" in line
    assert "floor_soc" in line


def test_a_column_that_stands_twice_is_named(tmp_path):
    path = a_csv(tmp_path, LINES[0] + ",0.9", header=HEADER + ",floor_soc")
    (line,) = faults_of(path)
    assert "floor_soc" in line


def test_a_home_must_be_stated_alike_on_each_line_and_every_clash_is_told(tmp_path):
    clash = LINES[1].replace("3.68", "7.36")
    lines = faults_of(a_csv(tmp_path, LINES[0], clash, clash.replace("8,h-1", "9,h-1").replace("q-2", "q-3")))
    assert len(lines) == 2
    assert "line 3.export_limit_kw: '7.36'" in lines[0]
    assert "the same home as on line 2, '3.68'" in lines[0]
    assert "line 4.export_limit_kw" in lines[1]


# approvals, boundary meters, house loads


def test_a_source_that_says_no_more_is_granted_and_none_is_none(tmp_path):
    none = LINES[1].replace("h-1", "h-2").replace("3.68,g98", "0,none")
    sites = [car.site for car in read_fleet(a_csv(tmp_path, LINES[0], none)).cars]
    assert [site.approval for site in sites] == [Approval.GRANTED, Approval.NONE]
    assert not any(site.boundary_meter or site.house_load_kw for site in sites)


@pytest.mark.parametrize("form", ["toml", "csv"])
def test_an_approval_has_a_state_and_a_date_in_either_form(tmp_path, form):
    if form == "toml":
        path = a_file(
            tmp_path,
            ('# approval = "granted"', 'approval = "granted" #'),
            ("# approved_from", "approved_from"),
        )
    else:
        header = HEADER + ",approval,approved_from"
        path = a_csv(tmp_path, LINES[0] + ",granted,2025-02-01", header=header)
    site = read_fleet(path).cars[0].site
    assert (site.approval, site.approved_from) == (Approval.GRANTED, date(2025, 2, 1))


@pytest.mark.parametrize(
    ("columns", "values", "where", "value", "allowed"),
    [
        ("approval", "none", "line 2.approval", "none", "granted, applied or refused"),
        ("approval", "pending", "line 2.approval", "pending", "'applied'"),
        ("approval,approved_from", "applied,2025-02-01", "line 2.approval", "applied", "granted where"),
        ("approved_from", "2025-02-01", "line 2.approval", "(missing)", "granted where"),
        (
            "approval,approved_from",
            "granted,1738368000",
            "line 2.approved_from",
            "1738368000",
            "a local date",
        ),
        ("approval,approved_from", "granted,2025-02-30", "line 2.approved_from", "2025-02-30", "date"),
        ("boundary_meter", "perhaps", "line 2.boundary_meter", "perhaps", "true or false"),
        ("house_load_kw", "0.3 0.4", "line 2.house_load_kw", "0.3 0.4", "one figure, or 24"),
        ("house_load_kw", "-1", "line 2.house_load_kw[0]", "-1", "greater than or equal to 0"),
        ("house_load_kw", "nan", "line 2.house_load_kw[0]", "nan", "a finite number"),
        ("fit_generation_payer", "Example", "line 2.fit_generation_payer", "Example", "where solar_kw is 0"),
        ("solar_kw,fit_export", "4,metered", "line 2.fit_generation_payer", "(missing)", "who pays, where"),
        ("fit_export", "half", "line 2.fit_export", "half", "'deemed' or 'metered'"),
        (
            "solar_kw,fit_generation_payer,fit_export,export_tariff",
            "4,Example,deemed,half_hourly",
            "line 2.export_tariff",
            "half_hourly",
            "none where fit_export is deemed: an export is paid for once",
        ),
        (
            "solar_kw,fit_generation_payer,fit_export,export_tariff,export_gbp_per_kwh",
            "4,Example,metered,flat,0.15",
            "line 2.export_tariff",
            "flat",
            "none where fit_export is metered: an export is paid for once",
        ),
        ("export_tariff", "flat", "line 2.export_gbp_per_kwh", "(missing)", "a price where"),
        ("export_gbp_per_kwh", "0.15", "line 2.export_gbp_per_kwh", "0.15", "where export_tariff is none"),
        ("feed_in_from", "2025-04-01", "line 2.feed_in_from", "2025-04-01", "left out where neither"),
        ("warranty_throughput_kwh", "0", "line 2.warranty_throughput_kwh", "0", "greater than 0"),
    ],
)
def test_what_is_wrong_about_a_home_is_one_line(tmp_path, columns, values, where, value, allowed):
    (line,) = faults_of(a_csv(tmp_path, f"{LINES[0]},{values}", header=f"{HEADER},{columns}"))
    assert line.startswith(f"fleet.csv: {where}: {value!r}")
    assert allowed in line


def test_nothing_can_be_granted_by_nobody(tmp_path):
    line = LINES[0].replace("3.68,g98", "0,none") + ",granted"
    (fault,) = faults_of(a_csv(tmp_path, line, header=f"{HEADER},approval"))
    assert "line 2.approval: 'granted'" in fault
    for word in ("none", "applied", "refused"):
        read_fleet(a_csv(tmp_path, line.replace("granted", word), header=f"{HEADER},approval"))


def test_a_house_load_is_one_figure_or_those_of_a_day_in_either_form(tmp_path):
    by_hours = [round(0.1 * hour, 1) for hour in range(24)]
    text = " ".join(map(str, by_hours))
    header = f"{HEADER},boundary_meter,house_load_kw"
    in_csv = read_fleet(a_csv(tmp_path, f"{LINES[0]},true,{text}", header=header)).cars[0].site
    listed = a_file(tmp_path, ("# house_load_kw = 0.4", f"house_load_kw = {by_hours} #"))
    in_toml = read_fleet(listed).cars[0].site
    assert in_csv.house_load_kw == in_toml.house_load_kw == tuple(by_hours)
    assert in_csv.boundary_meter
    assert read_fleet(a_file(tmp_path, ("# house_load_kw", "house_load_kw"))).cars[0].site.house_load_kw == (
        0.4,
    )
    local_six = datetime(2025, 7, 1, 5, 30, tzinfo=UTC)
    assert in_csv.house_kw(local_six) == 0.6


def test_who_pays_for_exports_is_read_and_kept(tmp_path):
    header = (
        f"{HEADER},solar_kw,fit_generation_payer,export_tariff,export_gbp_per_kwh,feed_in_from,"
        "warranty_throughput_kwh"
    )
    fleet = read_fleet(a_csv(tmp_path, f"{LINES[0]},4,Example,flat,0.15,2025-04-01,10000", header=header))
    (car,) = fleet.cars
    paid = FeedIn("Example", FitExport.NONE, ExportTariff.FLAT, 0.15, date(2025, 4, 1))
    assert (car.site.feed_in, car.warranty_throughput_kwh) == (paid, 10_000)
    with open_store(f"sqlite:///{tmp_path / 'f.db'}", create=True) as store:
        store.fleet.replace(fleet, datetime(2025, 1, 1, tzinfo=UTC), "fleet.csv")
        assert store.fleet.load() == fleet


def test_why_no_car_may_discharge_is_told_in_counts(tmp_path):
    header = f"{HEADER},approval,approved_from,solar_kw"
    rows = []
    for n, (source, more) in enumerate(
        [
            ("3.68,g98", ",,"),
            ("0,none", ",,"),
            ("3.68,g98", "applied,,"),
            ("5,g99", "applied,,"),
            ("5,g100", "refused,,"),
            ("5,g100", "granted,2025-02-01,"),
            ("0,g100", ",,"),
            ("3.68,g98", ",,3.68"),
        ]
    ):
        line = LINES[0].replace("007,h-1", f"{n},h-{n}").replace("q-1", f"q-{n}")
        rows.append(f"{line.replace('3.68,g98', source)},{more}")
    fleet = read_fleet(a_csv(tmp_path, *rows, header=header))
    told = {
        "approval applied": 2,
        "approval refused": 1,
        "approved from 2025-02-01": 1,
        "export limit 0": 1,
        "no export approval": 1,
        "panels may take all of the export limit": 1,
    }
    assert fleet.bars_to_discharge(datetime(2025, 1, 31, 23, 59, 59, tzinfo=UTC)) == told
    del told["approved from 2025-02-01"]
    assert fleet.bars_to_discharge(datetime(2025, 2, 1, tzinfo=UTC)) == told
