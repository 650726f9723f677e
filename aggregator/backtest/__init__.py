"""The whole chain over recorded years: forecast, bid, award, split, meter, settle, day by day."""
