"""``flexloop demo``: one real winter weekday, end to end, in separate processes on a fast clock."""
