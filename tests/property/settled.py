"""A statement's figures and its re-computation's, side by side: whole Wh, exact money."""

from decimal import Decimal

import pandas as pd

KWH = {
    "instructed": "instructed_kwh",
    "baseline": "baseline_export_kwh",
    "metered": "metered_export_kwh",
    "delivered": "delivered_kwh",
    "deficiency": "deficiency_kwh",
}
MONEY = ("availability_gbp", "utilisation_gbp", "penalty_gbp", "factor", "amount_gbp")
BILLIONTH = Decimal("1e-9")


def figures(table):
    """Return a statement's lines by opportunity and half-hour."""
    return {
        (row["opportunity"].removeprefix("'"), row["period_start_utc"]): {
            "settlement": (
                row["zone"],
                row["product"],
                row["settlement_date"],
                int(row["settlement_period"]),
            ),
            **{ours: int(Decimal(row[theirs]) * 1000) for ours, theirs in KWH.items()},
            **{name: Decimal(row[name]).quantize(BILLIONTH) for name in MONEY},
        }
        for row in table.to_dict("records")
    }


def recomputed(oracle, start, end):
    """Return the oracle's lines likewise."""
    return {
        (row["opportunity"], f"{pd.Timestamp(row['start'], unit='us'):%Y-%m-%dT%H:%M:%SZ}"): {
            "settlement": (
                row["zone"],
                row["product"],
                str(row["settlement_date"]),
                row["settlement_period"],
            ),
            **{name: int(row[f"{name}_wh"]) for name in KWH},
            **{name: Decimal(row[name]).quantize(BILLIONTH) for name in MONEY},
        }
        for row in oracle.statement(start, end).to_dict("records")
    }
